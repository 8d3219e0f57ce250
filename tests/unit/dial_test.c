/*
 * dial_test.c - sockets as nbc_dial leaves them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connect.h"
#include "internal.h"
#include "test.h"

/* A listener at a port of the system's choice. */
static int
listen_anywhere(char port[8])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
	    listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		abort();
	snprintf(port, 8, "%d", ntohs(at.sin_port));
	return fd;
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static void
test_point_106_tcp_options(void)
{
	char port[8], host[] = "127.0.0.1";
	int listener = listen_anywhere(port), fd;
	struct nbc_target target = { .host = host, .port = port };
	struct nbc_limit limit = { nbc_now_ms() + 5000, -1 };
	struct nbc_error err;

	target.family = NBC_TCP;
	fd = nbc_dial(&target, &limit, &err);
	CHECK(fd >= 0);
	CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
	CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	close(fd);
	close(listener);
}

static const struct test tests[] = {
	TEST(point_106_tcp_options),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
