/*
 * dial_test.c - sockets as nbc_dial leaves them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

static int
dial(char *host, char *port)
{
	struct nbc_target target = { .family = NBC_TCP, .host = host, .port = port };
	struct nbc_limit limit = { nbc_now_ms() + 60000, -1 };
	struct nbc_error err;
	int fd = nbc_dial(&target, &limit, &err);

	CHECK(fd >= 0);
	return fd;
}

static void
test_point_106_tcp_options(void)
{
	char port[8], host[] = "127.0.0.1";
	int listener = listen_anywhere(port), fd = dial(host, port);

	CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
	CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	close(fd);
	close(listener);
}

/* ---- how a connection ends ------------------------------------------------- */

enum ending { LOST, KILLED, IN_ORDER };

/* As much as a socket takes whose peer does not read. */
static size_t
fill(int fd)
{
	static const char buf[4096];
	ssize_t n;
	size_t sent = 0;

	while ((n = nbc_os_send(fd, buf, sizeof buf)) > 0)
		sent += (size_t)n;
	return sent;
}

/* A process that connects, fills its socket, says how far, and ends so. */
static void
be_client(char *host, char *port, int report, enum ending ending)
{
	int fd = dial(host, port);
	size_t sent = fill(fd);

	if (ending == IN_ORDER)
		nbc_end_in_order(fd);
	if (ending != KILLED)
		close(fd);
	if (write(report, &sent, sizeof sent) != (ssize_t)sizeof sent)
		abort();
	while (ending == KILLED)
		pause();
	_exit(0);
}

/* All that comes, and in *error how it ends: 0 or an errno. */
static size_t
drain(int fd, int *error)
{
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
		got += (size_t)n;
	*error = n < 0 ? errno : 0;
	return got;
}

static void
check_ending(enum ending ending)
{
	char port[8], host[] = "127.0.0.1";
	int listener = listen_anywhere(port), report[2], error, fd;
	size_t sent = 0, got;
	pid_t pid;

	if (pipe(report) != 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0)
		be_client(host, port, report[1], ending);
	fd = accept(listener, NULL, NULL);
	CHECK(read(report[0], &sent, sizeof sent) == (ssize_t)sizeof sent);
	if (ending == KILLED)
		kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	got = drain(fd, &error);
	if (ending == IN_ORDER)
		CHECK(got == sent && error == 0);
	else
		CHECK(got < sent && error == ECONNRESET);
	close(fd);
	close(listener);
	close(report[0]);
	close(report[1]);
}

static void
test_lost_connection_sends_no_more(void)
{
	check_ending(LOST);
}

static void
test_killed_process_sends_no_more(void)
{
	check_ending(KILLED);
}

static void
test_end_in_order_sends_the_rest(void)
{
	check_ending(IN_ORDER);
}

static const struct test tests[] = {
	TEST(point_106_tcp_options),
	TEST(lost_connection_sends_no_more),
	TEST(killed_process_sends_no_more),
	TEST(end_in_order_sends_the_rest),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
