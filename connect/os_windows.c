/*
 * os_windows.c - Windows Sockets and the clock of Windows.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Sockets never wait.  Whoever calls into connect/ has called WSAStartup.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "internal.h"

static int
to_errno(int error)
{
	static const struct { int wsa, number; } table[] = {
		{ 0, 0 },
		{ WSAEWOULDBLOCK, EAGAIN }, { WSAEINTR, EAGAIN },
		{ WSAEINPROGRESS, EINPROGRESS }, { WSAECONNREFUSED, ECONNREFUSED },
		{ WSAETIMEDOUT, ETIMEDOUT }, { WSAECONNRESET, ECONNRESET },
		{ WSAECONNABORTED, ECONNABORTED }, { WSAENETUNREACH, ENETUNREACH },
		{ WSAEHOSTUNREACH, EHOSTUNREACH }, { WSAENETDOWN, ENETDOWN },
		{ WSAEACCES, EACCES }, { WSAEMFILE, EMFILE },
		{ WSAENOBUFS, ENOBUFS }, { WSAENOTCONN, ENOTCONN },
		{ WSAEADDRNOTAVAIL, EADDRNOTAVAIL }, { WSAEADDRINUSE, EADDRINUSE },
		{ WSAEAFNOSUPPORT, EAFNOSUPPORT }, { WSAEINVAL, EINVAL },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i].wsa == error)
			return table[i].number;
	return EIO;
}

int
nbc_os_errno(void)
{
	return to_errno(WSAGetLastError());
}

int
nbc_os_socket(int family)
{
	SOCKET s = WSASocketW(family, SOCK_STREAM, 0, NULL, 0,
	    WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	u_long on = 1;

	if (s == INVALID_SOCKET)
		return -1;
	if (ioctlsocket(s, FIONBIO, &on) == 0 && s <= INT_MAX)
		return (int)s;
	closesocket(s);
	return -1;
}

int
nbc_os_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int error;

	if (connect((SOCKET)fd, addr, len) == 0)
		return 0;
	error = nbc_os_errno();
	return error == EAGAIN ? EINPROGRESS : error;
}

int
nbc_os_connected(int fd)
{
	int error = 0, len = sizeof error;

	if (getsockopt((SOCKET)fd, SOL_SOCKET, SO_ERROR, (char *)&error, &len) != 0)
		return nbc_os_errno();
	return to_errno(error);
}

bool
nbc_os_settle(int fd)
{
	(void)fd;
	return true;
}

void
nbc_os_close(int fd)
{
	closesocket((SOCKET)fd);
}

/* Not WSAPoll: before Windows 10 version 2004 it does not notice that a connection
 * was refused.  A set of select holds 64 sockets. */
int
nbc_os_poll(struct pollfd *p, unsigned count, int timeout_ms)
{
	struct timeval time = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	fd_set in, out, failed;
	unsigned used = 0;
	int ready;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&failed);
	for (unsigned i = 0; i < count; i++) {
		SOCKET s = p[i].fd;

		p[i].revents = 0;
		if ((INT_PTR)s < 0)
			continue;
		if ((p[i].events & POLLIN) != 0)
			FD_SET(s, &in);
		if ((p[i].events & POLLOUT) != 0)
			FD_SET(s, &out);
		FD_SET(s, &failed);
		used++;
	}
	if (used == 0) {
		Sleep((DWORD)timeout_ms);
		return 0;
	}
	ready = select(0, &in, &out, &failed, &time);
	for (unsigned i = 0; ready > 0 && i < count; i++) {
		SOCKET s = p[i].fd;

		if ((INT_PTR)s < 0)
			continue;
		p[i].revents = (short)((FD_ISSET(s, &in) ? POLLIN : 0) |
		    (FD_ISSET(s, &out) ? POLLOUT : 0) |
		    (FD_ISSET(s, &failed) ? POLLERR : 0));
	}
	return ready;
}

ssize_t
nbc_os_send(int fd, const void *buf, size_t len)
{
	return send((SOCKET)fd, buf, len > INT_MAX ? INT_MAX : (int)len, 0);
}

ssize_t
nbc_os_recv(int fd, void *buf, size_t len)
{
	return recv((SOCKET)fd, buf, len > INT_MAX ? INT_MAX : (int)len, 0);
}

const char *
nbc_os_resolver_error(int gai)
{
	switch (gai) {
	case WSAHOST_NOT_FOUND:
	case WSANO_DATA:
		return "unknown name";
	case WSATRY_AGAIN:
		return "the name service does not answer";
	default:
		return "the name service failed";
	}
}

/* It stands still while the machine sleeps. */
int64_t
nbc_now_ms(void)
{
	ULONGLONG t;

	QueryUnbiasedInterruptTime(&t);
	return (int64_t)(t / 10000);
}

bool
nbc_os_file_exists(const char *path)
{
	WCHAR wide[MAX_PATH];

	return MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, MAX_PATH) > 0 &&
	    GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

/* Of a socket's path, so that a change of the directory does not move it. */
char *
nbc_os_absolute(const char *path)
{
	WCHAR wide[MAX_PATH], full[MAX_PATH];
	DWORD len;
	char *text;
	int size;

	if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide,
	    MAX_PATH) == 0)
		return NULL;
	len = GetFullPathNameW(wide, MAX_PATH, full, NULL);
	if (len == 0 || len >= MAX_PATH)
		return NULL;
	size = WideCharToMultiByte(CP_UTF8, 0, full, -1, NULL, 0, NULL, NULL);
	text = size > 0 ? malloc((size_t)size) : NULL;
	if (text != NULL)
		WideCharToMultiByte(CP_UTF8, 0, full, -1, text, size, NULL, NULL);
	return text;
}
