/*
 * process.c - what makes a process a daemon that a disk may depend on.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * When memory is short the kernel writes dirty pages out, perhaps to our own disk.
 * That write needs this process: it must neither be killed for its memory, nor
 * wait for a page of its own to come back from a disk, nor start such a write-out
 * when it allocates.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"
#include "pages.h"
#include "text_file.h"

#define OOM_SCORE	"-500"
#define FILES_USUAL	1024	/* programs that use select(2) rely on it */
#define FILES_MIN	128	/* 32 connections, control clients, all the rest */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER	57	/* Linux 5.6 */
#endif

bool
process_has_room(struct errtext *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max >= FILES_MIN)
		return true;
	return errtext_set(err, "the hard limit of open files (ulimit -Hn) is %llu, "
	    "and must be %d at least", (unsigned long long)limit.rlim_max, FILES_MIN);
}

void
process_leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
}

static void
raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

extern char __executable_start, etext;	/* of the linker's: this program */

void
process_prepare(void)
{
	prctl(PR_SET_NAME, "nbdisk");		/* it may be run by another name */
	/* A file system that nobody can unmount because we stand in it. */
	(void)!chdir("/");
	umask(077);
	raise_open_files();
	if (geteuid() != 0)
		return;
	(void)text_file_write("/proc/self/oom_score_adj", OOM_SCORE);
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	/* Only what is touched: most of the buffers never are; and of the program what
	 * was not used yet, for it may be on a disk that waits for it. */
	(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	(void)madvise(&__executable_start, (size_t)(&etext - &__executable_start),
	    MADV_POPULATE_READ);
}

/* Takes back what process_prepare does; locked memory no child has. */
static void
be_ordinary(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > FILES_USUAL) {
		limit.rlim_cur = FILES_USUAL;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	umask(022);
	if (geteuid() != 0)
		return;
	(void)text_file_write("/proc/self/oom_score_adj", "0");
	(void)prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
}

static void
be_servant(const char *name, int sock)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, name);
	be_ordinary();
	if (dup2(sock, PROCESS_SERVANT_FD) < 0 ||
	    call_close_range(PROCESS_SERVANT_FD + 1, ~0u) < 0 ||
	    fcntl(PROCESS_SERVANT_FD, F_SETFD, FD_CLOEXEC) < 0)
		_exit(1);
}

pid_t
process_servant(const char *name, int *sock, struct errtext *err)
{
	int pair[2];
	pid_t child;

	*sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		errtext_set(err, "socketpair: %s", strerror(errno));
		return -1;
	}
	child = fork();
	if (child == 0) {
		be_servant(name, pair[1]);
		return 0;
	}
	if (child < 0)
		errtext_set(err, "fork: %s", strerror(errno));
	close(pair[1]);
	*sock = pair[0];
	return child;
}

void
process_outlive_system(void)
{
	program_invocation_name[0] = '@';	/* argv[0] itself */
}

void
process_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int sock;

	if (len < 2 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return;
	(void)sendto(sock, text, strlen(text), MSG_NOSIGNAL,
	    (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(sock);
}
