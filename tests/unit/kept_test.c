/*
 * kept_test.c - what outlives the daemon, who asks for it, and how it is ended.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd_message.h"
#include "kept.h"
#include "reset.h"
#include "test.h"

static struct state state = { .name = "kept", .lock = -1 };

/* A file that is the same, by whatever descriptor. */
static bool
is_same(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	    x.st_dev == y.st_dev;
}

static bool
hears(int sock, struct kept *k, enum kept_what what)
{
	struct kept_message m;

	return kept_hear(sock, k, &m) && m.what == what;
}

static void
test_daemon_and_helper(void)
{
	const struct kept_message fuse = { .what = KEPT_FUSE };
	const struct kept_message all = { .what = KEPT_ALL_THERE };
	const struct kept_message memory = { .what = KEPT_MEMORY };
	struct kept_message conn = {
		.what = KEPT_CONN, .conn = 31, .path = 2, .framing = NBE_EXTENDED,
	};
	int pair[2], file = open("/proc/self/exe", O_RDONLY);
	int other = open("/", O_RDONLY);
	struct kept k;

	kept_init(&k);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	CHECK(kept_tell(pair[0], &fuse, file) && hears(pair[1], &k, KEPT_FUSE));
	CHECK(k.fuse >= 0 && is_same(k.fuse, file));
	CHECK((fcntl(k.fuse, F_GETFD) & FD_CLOEXEC) != 0);
	CHECK(kept_tell(pair[0], &conn, file) && hears(pair[1], &k, KEPT_CONN));
	CHECK(is_same(k.conn[31].fd, file) && k.conn[31].path == 2 &&
	    k.conn[31].framing == NBE_EXTENDED && k.conn[30].fd == -1);
	CHECK(kept_tell(pair[0], &conn, other) && hears(pair[1], &k, KEPT_CONN));
	CHECK(is_same(k.conn[31].fd, other));
	CHECK(!k.conn[31].has_session);
	conn.what = KEPT_SESSION;
	conn.session[KEPT_SESSION_MAX - 1] = 7;
	CHECK(kept_tell(pair[0], &conn, other) && hears(pair[1], &k, KEPT_SESSION));
	CHECK(is_same(k.conn[31].fd, other) && k.conn[31].path == 2 &&
	    k.conn[31].has_session && k.conn[31].session[KEPT_SESSION_MAX - 1] == 7);
	conn.what = KEPT_CONN_ENDED;
	CHECK(kept_tell(pair[0], &conn, -1) && hears(pair[1], &k, KEPT_CONN_ENDED));
	CHECK(k.conn[31].fd == -1);
	conn = (struct kept_message){ .what = KEPT_CONN, .conn = NBE_MAX_CONNS };
	CHECK(kept_tell(pair[0], &conn, file) && hears(pair[1], &k, KEPT_CONN));
	CHECK(kept_tell(pair[0], &memory, other) && hears(pair[1], &k, KEPT_MEMORY));
	CHECK(is_same(k.memory, other) && is_same(k.fuse, file));
	k.memory_max = 1;		/* the file is larger */
	CHECK(kept_tell(pair[0], &memory, file) && hears(pair[1], &k, KEPT_MEMORY));
	CHECK(is_same(k.memory, other));
	CHECK(kept_tell(pair[0], &all, -1) && hears(pair[1], &k, KEPT_ALL_THERE));
	/* Of another version: its descriptor is not kept. */
	CHECK(fd_send(pair[0], "", 1, file) && !hears(pair[1], &k, KEPT_FUSE));
	CHECK(k.conn[0].fd == -1);
	CHECK(k.fuse >= 0);
	close(pair[0]);
	CHECK(!hears(pair[1], &k, KEPT_FUSE));
	close(pair[1]);
	kept_close(&k);
	CHECK(k.fuse == -1);
	close(file);
	close(other);
}

/* The status of a child that asks: what it got is file, or nothing. */
static int
ask(int file)
{
	struct kept k;

	kept_ask(&state, &k);
	if (k.fuse < 0 && k.conn[0].fd < 0)
		return 1;
	return is_same(k.fuse, file) && is_same(k.conn[5].fd, file) &&
	    k.conn[5].framing == NBE_STRUCTURED && !k.conn[5].has_session &&
	    is_same(k.conn[6].fd, file) && k.conn[6].has_session &&
	    k.conn[6].session[0] == 9 ? 0 : 2;
}

static int
asked_and_given(int door, int file, const struct kept *given)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0)
		_exit(ask(file));
	kept_give(door, given);
	(void)waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_at_the_door(void)
{
	int file = open("/proc/self/exe", O_RDONLY), door, second;
	struct kept nothing, k;

	kept_init(&nothing);
	kept_init(&k);
	k.fuse = file;
	k.conn[5] = (struct kept_conn){ .fd = file, .framing = NBE_STRUCTURED };
	k.conn[6] = (struct kept_conn){ .fd = file, .has_session = true,
		.session = { 9 } };
	CHECK(!kept_is_there(&state) && ask(file) == 1);
	door = kept_listen(&state);
	CHECK(door >= 0 && kept_is_there(&state));
	kept_give(door, &k);		/* who only looked has gone */
	CHECK(asked_and_given(door, file, &k) == 0);
	CHECK(asked_and_given(door, file, &nothing) == 1);
	/* The next one takes the place of the one before. */
	second = kept_listen(&state);
	CHECK(second >= 0 && asked_and_given(second, file, &k) == 0);
	close(door);
	CHECK(kept_is_there(&state));
	close(second);
	CHECK(!kept_is_there(&state) && ask(file) == 1);
	close(file);
}

/* ---- the end of a connection of which others have copies ---------------------- */

static void
connected(int *client, int *server)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	int door = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(door, (struct sockaddr *)&at, len) == 0 && listen(door, 1) == 0);
	CHECK(getsockname(door, (struct sockaddr *)&at, &len) == 0);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(*client, (struct sockaddr *)&at, len) == 0);
	*server = accept(door, NULL, NULL);
	close(door);
}

/* More than the peer takes, so that some is in our own kernel. */
static size_t
fill(int fd)
{
	static const char bytes[65536];
	size_t sent = 0;
	ssize_t n;

	while ((n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	return sent;
}

static void
test_reset(void)
{
	static char bytes[65536];
	struct pollfd wait;
	int client, server, copy;
	size_t sent, got = 0;
	ssize_t n;

	connected(&client, &server);
	copy = dup(client);
	sent = fill(client);
	socket_reset(client);
	wait = (struct pollfd){ .fd = server };
	CHECK(poll(&wait, 1, 60000) == 1);	/* asked for or not: POLLERR */
	while ((n = read(server, bytes, sizeof(bytes))) > 0)
		got += (size_t)n;
	CHECK(n == -1 && errno == ECONNRESET && got < sent);
	close(copy);
	close(server);
}

/* The end, at once. */
static void
test_reset_of_another_kind(void)
{
	int pair[2], copy;
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	copy = dup(pair[0]);
	CHECK(write(pair[0], "x", 1) == 1);
	socket_reset(pair[0]);
	CHECK(read(pair[1], &byte, 1) == 1 && read(pair[1], &byte, 1) == 0);
	close(copy);
	close(pair[1]);
}

static const struct test tests[] = {
	{ "from the daemon to its helper", test_daemon_and_helper },
	{ "at the door of a device", test_at_the_door },
	{ "a reset, though others have the socket", test_reset },
	{ "the end of a UNIX socket likewise", test_reset_of_another_kind },
};

int
main(void)
{
	char dir[] = "/tmp/kept_test.XXXXXX", path[STATE_PATH_MAX];
	int failed;

	if (mkdtemp(dir) == NULL)
		return 99;
	snprintf(state.dir, sizeof(state.dir), "%s", dir);
	failed = TEST_MAIN(tests);
	unlink(state_path(&state, "kept", path));
	rmdir(dir);
	return failed;
}
