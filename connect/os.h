/*
 * os.h - what connect/ takes from the operating system: sockets and the clock.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * os_posix.c or os_windows.c has it.  Errors are errno's numbers everywhere, so that
 * strerror has a text for each.  A descriptor is a file descriptor or a SOCKET, which
 * Windows keeps within 32 bits.
 */
#ifndef NBC_OS_H
#define NBC_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#ifndef TCP_KEEPIDLE		/* since Windows 10, version 1709 */
#define TCP_KEEPIDLE	3
#define TCP_KEEPCNT	16
#define TCP_KEEPINTVL	17
#endif
struct iovec {
	void	*iov_base;
	size_t	iov_len;
};
#else
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#endif

/* A stream socket that no child inherits and that does not wait; -1: nbc_os_errno. */
int	nbc_os_socket(int family);
/* 0: connected; EINPROGRESS: writable when it is, see nbc_os_connected. */
int	nbc_os_connect(int fd, const struct sockaddr *, socklen_t);
/* How that ended: 0 or why not. */
int	nbc_os_connected(int fd);
/* Give it to its later owners: with POSIX it waits from now on. */
bool	nbc_os_settle(int fd);
void	nbc_os_close(int fd);
/* As poll: a negative fd is passed over. */
int	nbc_os_poll(struct pollfd *, unsigned count, int timeout_ms);
/* As much as goes at once; -1: nbc_os_errno, EAGAIN when nothing does. */
ssize_t	nbc_os_send(int fd, const void *, size_t);
ssize_t	nbc_os_recv(int fd, void *, size_t);
/* Of the last of these calls. */
int	nbc_os_errno(void);
/* The text of what getaddrinfo returned. */
const char *nbc_os_resolver_error(int gai);

/* Monotonic, any origin. */
int64_t	nbc_now_ms(void);
/* path is UTF-8 on Windows. */
bool	nbc_os_file_exists(const char *path);
/* The path as it is from anywhere, to be freed.  NULL: there is none, or no memory. */
char	*nbc_os_absolute(const char *path);

#endif
