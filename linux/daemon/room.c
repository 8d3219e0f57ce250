/*
 * room.c - how much a socket holds.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "room.h"

#include <sys/socket.h>

/* A UNIX socket has 208 KiB by itself, which the server empties piece by piece, each
 * with a wake-up of ours.  For TCP the system finds the size of this side itself. */
#define UNIX_SEND_ROOM	(1024 * 1024)

/*
 * TCP lets its buffer for receiving grow with what is taken out of it at a time: one
 * reply here, however many are on their way.  So the window was smaller than what was
 * asked for; and at its end each receive sends on what the server holds back, and
 * wakes it.
 */
#define TCP_RECV_ROOM	(4 * 1024 * 1024)

/* More than the system's limit is for root. */
static void
make_send_room(int fd)
{
	const int room = UNIX_SEND_ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

/* Since Linux 4.18 there is room for what a receive is to wait for, and it stays;
 * SO_RCVBUF would end its growth for good, at the limit for others than root. */
static void
make_recv_room(int fd)
{
	const int room = TCP_RECV_ROOM, one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &room, sizeof(room));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

void
socket_make_room(int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return;
	if (domain == AF_UNIX)
		make_send_room(fd);
	else if (domain == AF_INET || domain == AF_INET6)
		make_recv_room(fd);
}
