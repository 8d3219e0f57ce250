/*
 * fuse_mount.c - mount and unmount.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Root mounts by itself.  Other users ask fusermount3, which is set-uid root: it
 * mounts, and passes the open /dev/fuse back over a socket whose number is in
 * the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse_impl.h"
#include "fd_message.h"

#define HELPER		"fusermount3"
#define HELPER_FD	3	/* the number of the socket in the helper */
#define HELPER_ENV	"_FUSE_COMMFD=3"
#define FUSE_DEVICE	"/dev/fuse"

extern char **environ;

enum fuse_uring_support
fuse_uring_support(void)
{
	char value = 'N';
	int fd = open(FUSE_URING_SWITCH, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return FUSE_URING_UNKNOWN_TO_KERNEL;
	if (read(fd, &value, 1) != 1)
		value = 'N';
	close(fd);
	return value == 'Y' ? FUSE_URING_ON : FUSE_URING_OFF;
}

static int
mount_as_root(const struct fuse_config *c, struct errtext *err)
{
	char options[128];
	unsigned long flags = MS_NOSUID | MS_NODEV | (c->read_only ? MS_RDONLY : 0);
	int fd = open(FUSE_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		errtext_set(err, "%s: %s", FUSE_DEVICE, strerror(errno));
		return -1;
	}
	/* Mode and owner of the file decide, as for a device node. */
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,"
	    "group_id=%u,default_permissions,allow_other", fd,
	    (unsigned)geteuid(), (unsigned)getegid());
	if (mount(c->source, c->mountpoint, FUSE_FS_TYPE, flags, options) == 0)
		return fd;
	errtext_set(err, "mount FUSE on %s: %s", c->mountpoint, strerror(errno));
	close(fd);
	return -1;
}

/* ---- the helper -------------------------------------------------------------- */

/* The environment and one line more; NULL: out of memory. */
static char **
helper_env(void)
{
	size_t count = 0;
	char **env;

	while (environ[count] != NULL)
		count++;
	env = calloc(count + 2, sizeof(*env));
	if (env == NULL)
		return NULL;
	memcpy(env, environ, count * sizeof(*env));
	env[count] = (char *)(uintptr_t)HELPER_ENV;
	return env;
}

/* Starts it with sock (or none: -1) and its messages into a pipe.  The pid, or
 * -errno. */
static pid_t
helper_spawn(const char *const argv[], int sock, int messages)
{
	posix_spawn_file_actions_t actions;
	char **env = helper_env();
	pid_t pid = -1;
	int ret;

	if (env == NULL)
		return -ENOMEM;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
	if (sock >= 0)
		posix_spawn_file_actions_adddup2(&actions, sock, HELPER_FD);
	ret = posix_spawnp(&pid, HELPER, &actions, NULL,
	    (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&actions);
	free(env);
	return ret == 0 ? pid : -ret;
}

static void
read_messages(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len + 1 < size && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
}

/* Runs it to its end; what it said is in err when it failed. */
static bool
helper_run(const char *const argv[], int sock, struct errtext *err)
{
	char said[512];
	int status, messages[2];
	pid_t pid;

	if (pipe2(messages, O_CLOEXEC) < 0)
		return errtext_set(err, "pipe: %s", strerror(errno));
	pid = helper_spawn(argv, sock, messages[1]);
	close(messages[1]);
	if (pid < 0) {
		close(messages[0]);
		return errtext_set(err, "%s: %s (package fuse3 has it)", HELPER,
		    strerror(-pid));
	}
	read_messages(messages[0], said, sizeof(said));
	close(messages[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (status == 0)
		return true;
	return errtext_set(err, "%s", said[0] != '\0' ? said : HELPER " failed");
}

static int
mount_by_helper(const struct fuse_config *c, struct errtext *err)
{
	char options[512];
	const char *const argv[] = { HELPER, "-o", options, "--", c->mountpoint, NULL };
	int sock[2], fd = -1;
	char byte;
	bool ok;

	snprintf(options, sizeof(options), "fsname=%s,subtype=nbdisk,"
	    "default_permissions,nosuid,nodev%s", c->source,
	    c->read_only ? ",ro" : "");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0) {
		errtext_set(err, "socketpair: %s", strerror(errno));
		return -1;
	}
	ok = helper_run(argv, sock[1], err);
	close(sock[1]);		/* else what never came would be waited for */
	if (ok && (!fd_receive(sock[0], &byte, 1, 1, &fd) || fd < 0))
		errtext_set(err, "%s passed no descriptor", HELPER);
	close(sock[0]);
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return fd;
}

int
fuse_mount(const struct fuse_config *c, struct errtext *err)
{
	return geteuid() == 0 ? mount_as_root(c, err) : mount_by_helper(c, err);
}

/* An unmount by force begins so, and may end there. */
void
fuse_abort(const char *mountpoint)
{
	(void)umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_FORCE);
}

bool
fuse_unmount(const char *mountpoint, bool lazy, struct errtext *err)
{
	const char *const argv[] = {
		HELPER, lazy ? "-uz" : "-u", "--", mountpoint, NULL,
	};

	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return true;
	if (errno != EPERM)
		return errtext_set(err, "unmount %s: %s", mountpoint,
		    strerror(errno));
	return helper_run(argv, -1, err);
}
