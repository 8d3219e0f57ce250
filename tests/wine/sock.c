/*
 * sock.c - sockets of Winsock.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>

#include "sock.h"

static int
address_length(const void *address)
{
	return ((const struct sockaddr *)address)->sa_family == AF_INET6 ?
	    (int)sizeof(struct sockaddr_in6) : (int)sizeof(struct sockaddr_in);
}

intptr_t
sock_open(int family)
{
	static LONG started;
	WSADATA data;

	if (InterlockedExchange(&started, 1) == 0)
		WSAStartup(MAKEWORD(2, 2), &data);
	return (intptr_t)WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
	    WSA_FLAG_OVERLAPPED);
}

int
sock_bind(intptr_t s, const void *address)
{
	return bind((SOCKET)s, address, address_length(address));
}

int
sock_connect(intptr_t s, const void *address)
{
	int on = 1;

	setsockopt((SOCKET)s, IPPROTO_TCP, TCP_NODELAY, (char *)&on, sizeof(on));
	return connect((SOCKET)s, address, address_length(address));
}

long
sock_send(intptr_t s, struct sock_buf *buf, unsigned n)
{
	DWORD done = 0;

	if (WSASend((SOCKET)s, (WSABUF *)buf, n, &done, 0, NULL, NULL) != 0)
		return -1;
	return (long)done;
}

long
sock_receive(intptr_t s, struct sock_buf *buf, unsigned n)
{
	DWORD done = 0, flags = 0;

	if (WSARecv((SOCKET)s, (WSABUF *)buf, n, &done, &flags, NULL, NULL) != 0)
		return -1;
	return (long)done;
}

void
sock_shutdown(intptr_t s, int both)
{
	shutdown((SOCKET)s, both ? SD_BOTH : SD_SEND);
	if (both)		/* in Wine a send that waits for room goes on waiting */
		CancelIoEx((HANDLE)s, NULL);
}

void
sock_reset(intptr_t s)
{
	struct linger now = { 1, 0 };

	setsockopt((SOCKET)s, SOL_SOCKET, SO_LINGER, (char *)&now, sizeof(now));
	CancelIoEx((HANDLE)s, NULL);
}

void
sock_close(intptr_t s)
{
	closesocket((SOCKET)s);
}

void *
sock_resolve(const uint16_t *host, const uint16_t *port)
{
	ADDRINFOEXW hints, *list = NULL;
	WSADATA data;

	WSAStartup(MAKEWORD(2, 2), &data);
	ZeroMemory(&hints, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_protocol = IPPROTO_TCP;
	/* Wine has GetAddrInfoExW only for names without a list; ADDRINFOW lacks the
	 * members between ai_addr and ai_next, so it is copied. */
	if (GetAddrInfoExW((const WCHAR *)host, (const WCHAR *)port, NS_ALL, NULL,
	    &hints, &list, NULL, NULL, NULL, NULL) != 0)
		return NULL;
	return list;
}

void
sock_resolve_free(void *list)
{
	FreeAddrInfoExW(list);
}

struct start {
	void	(*run)(void *);
	void	*arg;
};

static DWORD WINAPI
begin(void *arg)
{
	struct start start = *(struct start *)arg;

	HeapFree(GetProcessHeap(), 0, arg);
	start.run(start.arg);
	return 0;
}

int
sock_thread(void (*run)(void *), void *arg)
{
	struct start *start = HeapAlloc(GetProcessHeap(), 0, sizeof(*start));

	start->run = run;
	start->arg = arg;
	if (QueueUserWorkItem(begin, start, WT_EXECUTELONGFUNCTION))
		return 1;
	HeapFree(GetProcessHeap(), 0, start);
	return 0;
}
