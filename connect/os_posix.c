/*
 * os_posix.c - sockets and the clock of POSIX.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os.h"

static bool
set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return false;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) == 0;
}

int
nbc_os_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0 || set_nonblocking(fd, true))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int
nbc_os_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (connect(fd, addr, len) == 0)
		return 0;
	return errno == EINTR ? EINPROGRESS : errno;
}

int
nbc_os_connected(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

bool
nbc_os_settle(int fd)
{
	return set_nonblocking(fd, false);
}

void
nbc_os_close(int fd)
{
	close(fd);
}

int
nbc_os_poll(struct pollfd *p, unsigned count, int timeout_ms)
{
	return poll(p, count, timeout_ms);
}

/* The socket may be a waiting one by now, so each call says that it must not. */
ssize_t
nbc_os_send(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t
nbc_os_recv(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, MSG_DONTWAIT);
}

int
nbc_os_errno(void)
{
	return errno == EWOULDBLOCK || errno == EINTR ? EAGAIN : errno;
}

const char *
nbc_os_resolver_error(int gai)
{
	return gai == EAI_SYSTEM ? strerror(errno) : gai_strerror(gai);
}

int64_t
nbc_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool
nbc_os_file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Symbolic links stay: where they lead may change, as in a rotation of certificates. */
char *
nbc_os_absolute(const char *path)
{
	char *here, *whole;
	size_t size;

	if (path[0] == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	if (here == NULL)
		return NULL;
	size = strlen(here) + 1 + strlen(path) + 1;
	whole = malloc(size);
	if (whole != NULL)
		snprintf(whole, size, "%s/%s", strcmp(here, "/") == 0 ? "" : here,
		    path);
	free(here);
	return whole;
}
