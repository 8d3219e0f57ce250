/*
 * taken_test.c - what of the bytes that were sent the peer has taken.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <poll.h>

#include "taken.h"
#include "tcp_pair.h"
#include "test.h"

#define MUCH	(4 * 1024 * 1024)

static uint8_t bytes[MUCH];

/* Whether the peer has them, or our own system still. */
static void
test_given(void)
{
	uint64_t begin, given;
	int pair[2];
	ssize_t sent, n;

	CHECK(tcp_pair(pair, 4096));
	begin = bytes_given(pair[0]);
	CHECK(begin != 0 && all_taken(pair[0]));	/* with the handshake */
	CHECK(send(pair[0], bytes, 28, 0) == 28);
	CHECK(bytes_given(pair[0]) == begin + 28);
	sent = send(pair[0], bytes, MUCH, MSG_DONTWAIT);
	CHECK(sent > 0 && sent < MUCH && !all_taken(pair[0]));
	given = begin + 28 + (uint64_t)sent;
	CHECK(bytes_given(pair[0]) == given);
	for (size_t got = 0; got < 28 + (size_t)sent; got += (size_t)n) {
		n = recv(pair[1], bytes, sizeof(bytes), 0);
		CHECK(n > 0 && bytes_given(pair[0]) == given);
	}
	while (!all_taken(pair[0]))	/* the last acknowledgement is on its way */
		(void)poll(NULL, 0, 1);
	CHECK(bytes_given(pair[0]) == given);
	close(pair[0]);
	close(pair[1]);
}

static void
test_nobody_knows(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(send(pair[0], bytes, 28, 0) == 28);
	CHECK(bytes_given(pair[0]) == 0 && all_taken(pair[0]));
	close(pair[0]);
	close(pair[1]);
}

static const struct test tests[] = {
	{ "TCP: bytes that were given, taken or not", test_given },
	{ "UNIX socket: nobody knows how many", test_nobody_knows },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
