/*
 * kept_test.c - a descriptor that outlives the daemon, and who asks for it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kept.h"
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

static void
test_over_a_socket(void)
{
	int pair[2], fd = -2, file = open("/proc/self/exe", O_RDONLY);

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	CHECK(kept_send(pair[0], file) && kept_receive(pair[1], &fd));
	CHECK(fd >= 0 && is_same(fd, file));
	CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	close(fd);
	CHECK(kept_send(pair[0], -1) && kept_receive(pair[1], &fd) && fd == -1);
	/* Not what was sent here, but no fault: nothing came. */
	CHECK(send(pair[0], "", 0, 0) == 0 && !kept_receive(pair[1], &fd) && fd == -1);
	close(pair[0]);
	CHECK(!kept_receive(pair[1], &fd) && fd == -1);
	close(pair[1]);
	close(file);
}

/* The status of a child that asks: what it got is file, or nothing. */
static int
ask(int file)
{
	int fd = kept_ask(&state);

	return fd < 0 ? 1 : is_same(fd, file) ? 0 : 2;
}

static int
asked_and_given(int door, int file, int given)
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

	CHECK(!kept_is_there(&state) && kept_ask(&state) == -1);
	door = kept_listen(&state);
	CHECK(door >= 0 && kept_is_there(&state));
	kept_give(door, file);		/* who only looked has gone */
	CHECK(asked_and_given(door, file, file) == 0);
	CHECK(asked_and_given(door, file, -1) == 1);
	/* The next one takes the place of the one before. */
	second = kept_listen(&state);
	CHECK(second >= 0 && asked_and_given(second, file, file) == 0);
	close(door);
	CHECK(kept_is_there(&state));
	close(second);
	CHECK(!kept_is_there(&state) && kept_ask(&state) == -1);
	close(file);
}

static const struct test tests[] = {
	{ "over a socket", test_over_a_socket },
	{ "at the door of a device", test_at_the_door },
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
