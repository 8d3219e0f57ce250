/*
 * dial_test.c - sockets as nbc_dial leaves them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* ---- what cannot be dialed --------------------------------------------------- */

static void
check_refused(const char *host, const char *port, const char *said)
{
	char host_copy[64], port_copy[32];
	struct nbc_target target = { .host = host_copy, .port = port_copy };
	struct nbc_limit limit = { nbc_now_ms() + 60000, -1 };
	struct nbc_error err = { .kind = NBC_OK };

	target.family = NBC_TCP;
	snprintf(host_copy, sizeof host_copy, "%s", host);
	snprintf(port_copy, sizeof port_copy, "%s", port);
	CHECK(nbc_dial(&target, &limit, &err) == -1);
	CHECK(err.kind == NBC_USAGE && !err.transient);
	CHECK(strstr(err.text, said) != NULL);
	if (strstr(err.text, said) == NULL)
		printf("# %s %s: %s\n", host, port, err.text);
}

/* However a front came by it. */
static void
test_port_out_of_range(void)
{
	static const char *const ports[] = {
		"", "0", "65536", "76345", "18446744073709562425", "+80", "-1", " 80",
	};

	for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
		check_refused("127.0.0.1", ports[i], "from 1 to 65535");
}

static void
test_link_local_without_interface(void)
{
	check_refused("fe80::1", "10809", "needs its interface");
}

/* ---- a name service that does not answer --------------------------------------- */

#define SLOW_NAME	"slow.example"

static int stuck[2];			/* a byte lets one look-up go on */
static atomic_uint lookups;		/* of the slow name, under way */

int	__real_getaddrinfo(const char *, const char *, const struct addrinfo *,
	    struct addrinfo **);
int	__wrap_getaddrinfo(const char *, const char *, const struct addrinfo *,
	    struct addrinfo **);

int
__wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
    struct addrinfo **list)
{
	char byte;
	int gai;

	if (strcmp(host, SLOW_NAME) != 0 || (hints->ai_flags & AI_NUMERICHOST) != 0)
		return __real_getaddrinfo(host, port, hints, list);
	atomic_fetch_add(&lookups, 1);
	gai = read(stuck[0], &byte, 1) != 1 ? EAI_SYSTEM :
	    __real_getaddrinfo("127.0.0.1", port, hints, list);
	atomic_fetch_sub(&lookups, 1);
	return gai;
}

static void
answer_lookups(unsigned n)
{
	while (n-- > 0)
		if (write(stuck[1], "", 1) != 1)
			abort();
}

static void
wait_for_lookups(unsigned n)
{
	while (atomic_load(&lookups) != n)
		usleep(1000);
}

/* The links of this directory are two, and one for each thread; an emulator has one of
 * its own. */
static nlink_t links_at_first;

static nlink_t
thread_links(void)
{
	struct stat st = { 0 };

	return stat("/proc/self/task", &st) == 0 ? st.st_nlink : 0;
}

/* What a thread has that is on its way out would be lost in a child, for there it is
 * not. */
static void
wait_for_threads(void)
{
	while (thread_links() > links_at_first)
		usleep(1000);
}

/* Once in vain, for this long, or until cancel_fd is readable. */
static void
dial_in_vain(int64_t ms, int cancel_fd, struct nbc_error *err)
{
	char host[] = SLOW_NAME;
	struct nbc_target target = { .family = NBC_TCP, .host = host };
	struct nbc_limit limit = { nbc_now_ms() + ms, cancel_fd };

	CHECK(nbc_dial(&target, &limit, err) == -1);
}

static void
test_resolver_has_no_more_time_than_the_rest(void)
{
	struct nbc_error err;

	dial_in_vain(50, -1, &err);
	CHECK(err.kind == NBC_RESOLVE && err.transient);
	CHECK(strstr(err.text, "name service does not answer") != NULL);
	wait_for_lookups(1);
	answer_lookups(1);
	wait_for_lookups(0);
}

static void
test_resolver_is_cancelled(void)
{
	struct nbc_error err;
	int cancel[2];

	if (pipe(cancel) != 0 || write(cancel[1], "", 1) != 1)
		abort();
	dial_in_vain(60000, cancel[0], &err);
	CHECK(err.kind == NBC_CANCELLED);
	wait_for_lookups(1);
	answer_lookups(1);
	wait_for_lookups(0);
	close(cancel[0]);
	close(cancel[1]);
}

static void
test_resolver_answers(void)
{
	char port[8], host[] = SLOW_NAME;
	int listener = listen_anywhere(port), fd;

	answer_lookups(1);
	fd = dial(host, port);
	close(fd);
	close(listener);
}

/* The sanitizer cannot always stop a thread that is left behind, and then does not see
 * what it has. */
static bool leaves_thread;
int	__lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return leaves_thread;
}

/* The look-up is still under way at exit, which the process survives. */
static void
test_process_ends_before_the_resolver(void)
{
	struct nbc_error err;
	int status;
	pid_t pid;

	wait_for_threads();
	pid = fork();
	if (pid == 0) {
		leaves_thread = true;
		dial_in_vain(50, -1, &err);
		wait_for_lookups(1);
		exit(7);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static const struct test tests[] = {
	TEST(point_106_tcp_options),
	TEST(lost_connection_sends_no_more),
	TEST(killed_process_sends_no_more),
	TEST(end_in_order_sends_the_rest),
	TEST(port_out_of_range),
	TEST(link_local_without_interface),
	TEST(resolver_has_no_more_time_than_the_rest),
	TEST(resolver_is_cancelled),
	TEST(resolver_answers),
	TEST(process_ends_before_the_resolver),
};

int
main(void)
{
	if (pipe(stuck) != 0)
		abort();
	links_at_first = thread_links();
	return TEST_MAIN(tests);
}
