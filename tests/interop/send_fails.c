/*
 * send_fails.c - linked into disk_probe: now and then the socket has no memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <sys/socket.h>

ssize_t __real_send(int, const void *, size_t, int);
ssize_t __wrap_send(int, const void *, size_t, int);

/* Each 200th time.  The handshake's, in threads of their own, are only a few. */
ssize_t
__wrap_send(int fd, const void *data, size_t len, int flags)
{
	static unsigned calls;

	if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 200 != 0)
		return __real_send(fd, data, len, flags);
	errno = ENOBUFS;
	return -1;
}
