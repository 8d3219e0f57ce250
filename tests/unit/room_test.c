/*
 * room_test.c - how much a socket holds.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "room.h"
#include "tcp_pair.h"
#include "test.h"

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* The most that this system gives a TCP socket to receive into, or 0. */
static int
tcp_most(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_rmem", "r");
	int most = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d %*d %d", &most) != 1)
		most = 0;
	fclose(f);
	return most;
}

static void
test_tcp(void)
{
	int pair[2], want = 2 * 1024 * 1024;
	char byte = 0;

	if (want > tcp_most() / 2)
		want = tcp_most() / 2;
	CHECK(tcp_pair(pair, 0));
	CHECK(want > 0 && option(pair[0], SO_RCVBUF) < want);
	socket_make_room(pair[0]);
	CHECK(option(pair[0], SO_RCVBUF) >= want);
	/* and no receive waits for that much */
	CHECK(option(pair[0], SO_RCVLOWAT) == 1);
	CHECK(send(pair[1], "x", 1, 0) == 1 && recv(pair[0], &byte, 1, 0) == 1);
	CHECK(byte == 'x');
	close(pair[0]);
	close(pair[1]);
}

static void
test_unix(void)
{
	int pair[2], before;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	before = option(pair[0], SO_SNDBUF);
	socket_make_room(pair[0]);
	CHECK(option(pair[0], SO_SNDBUF) >= before);
	/* who may not have more than the system's limit gets that */
	CHECK(geteuid() != 0 || option(pair[0], SO_SNDBUF) >= 1024 * 1024);
	close(pair[0]);
	close(pair[1]);
}

/* ---- what there is room for goes in whole -------------------------------------- */

#define BATCH	(2u * 1024 * 1024)

/* Until there is no room for one more; true: each went in whole. */
static bool
fill(int fd, const uint8_t *batch, size_t length)
{
	size_t room = socket_room(fd);

	while (room >= socket_need(length)) {
		if (send(fd, batch, length, MSG_DONTWAIT) != (ssize_t)length)
			return false;
		room = socket_room(fd);
	}
	return true;
}

/* As the system says that there is room, there is room for a batch. */
static bool
has_room_when_told(const int pair[2], uint8_t *batch)
{
	struct pollfd at = { .fd = pair[0], .events = POLLOUT };

	while (poll(&at, 1, 0) == 0)
		if (recv(pair[1], batch, BATCH, 0) <= 0)
			return false;
	return geteuid() != 0 || socket_room(pair[0]) >= socket_need(BATCH);
}

static void
check_whole(const int pair[2])
{
	static const size_t lengths[] = { 28, 4096 + 28, 65536, 262144 + 28, BATCH };
	uint8_t *batch = calloc(1, BATCH);

	socket_make_room(pair[0]);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		CHECK(fill(pair[0], batch, lengths[i]));
		CHECK(has_room_when_told(pair, batch));
	}
	/* and of more there is no promise */
	while (send(pair[0], batch, BATCH, MSG_DONTWAIT) > 0)
		;
	CHECK(socket_room(pair[0]) < socket_need(BATCH));
	free(batch);
	close(pair[0]);
	close(pair[1]);
}

static void
test_whole_tcp(void)
{
	int pair[2];

	CHECK(tcp_pair(pair, 0));
	check_whole(pair);
}

static void
test_whole_unix(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	check_whole(pair);
	CHECK(socket_room(-1) == 0);
}

static const struct test tests[] = {
	{ "TCP: room to receive for a batch, and receives do not wait", test_tcp },
	{ "UNIX socket: room to send for a batch", test_unix },
	{ "TCP: what there is room for goes in whole", test_whole_tcp },
	{ "UNIX socket: what there is room for goes in whole", test_whole_unix },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
