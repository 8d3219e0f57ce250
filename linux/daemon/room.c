/*
 * room.c - how much a socket holds.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "room.h"

#include <linux/sock_diag.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * By itself a UNIX socket has 208 KiB, and TCP what it finds that the way to the peer
 * needs: so a large command went in piece by piece, each with a wake-up of ours, and a
 * daemon that was killed between two of them left a command of which the rest never
 * comes.  A batch has 2 MiB at most (engine, BATCH_BYTES).  Linux doubles what it is
 * told, and says that there is room again when a UNIX socket is three quarters empty,
 * TCP's one third: that is for a batch, with what describes it (socket_need).
 */
#define UNIX_SEND_ROOM	(1536 * 1024)
#define TCP_SEND_ROOM	(4 * 1024 * 1024)

/*
 * TCP lets its buffer for receiving grow with what is taken out of it at a time: one
 * reply here, however many are on their way.  So the window was smaller than what was
 * asked for; and at its end each receive sends on what the server holds back, and
 * wakes it.
 */
#define TCP_RECV_ROOM	(4 * 1024 * 1024)

/* More than the system's limit is for root; for others TCP finds more by itself. */
static void
make_send_room(int fd, int domain)
{
	const int room = domain == AF_UNIX ? UNIX_SEND_ROOM : TCP_SEND_ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0 &&
	    domain == AF_UNIX)
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
	if (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6)
		return;
	make_send_room(fd, domain);
	if (domain != AF_UNIX)
		make_recv_room(fd);
}

size_t
socket_room(int fd)
{
	uint32_t info[SK_MEMINFO_VARS], used;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return 0;
	used = info[SK_MEMINFO_WMEM_QUEUED];
	if (used < info[SK_MEMINFO_WMEM_ALLOC])
		used = info[SK_MEMINFO_WMEM_ALLOC];
	return used < info[SK_MEMINFO_SNDBUF] ? info[SK_MEMINFO_SNDBUF] - used : 0;
}
