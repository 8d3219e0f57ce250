/*
 * taken.c - has the peer taken bytes that were sent?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Apart from link.c because the kernel's struct tcp_info has more than the C library's.
 */
#include "taken.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool
tcp_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

bool
bytes_taken(int fd, uint64_t *taken)
{
	struct tcp_info info;
	int unread;

	if (tcp_info(fd, &info))
		*taken = info.tcpi_bytes_acked;
	else if (ioctl(fd, SIOCOUTQ, &unread) == 0)
		*taken = (uint64_t)unread;
	else
		return false;
	return true;
}

/* What is acknowledged, and what is not: bytes go from one to the other meanwhile. */
uint64_t
bytes_given(int fd)
{
	struct tcp_info info;
	uint64_t acked;
	int unacked;

	do {
		if (!tcp_info(fd, &info) || ioctl(fd, SIOCOUTQ, &unacked) < 0)
			return 0;
		acked = info.tcpi_bytes_acked;
	} while (!tcp_info(fd, &info) || info.tcpi_bytes_acked != acked);
	return acked + (uint64_t)unacked;
}

/* With a socket of another kind, all that was sent is the peer's at once. */
bool
all_taken(int fd)
{
	struct tcp_info info;

	return !tcp_info(fd, &info) ||
	    (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0);
}
