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

bool
bytes_taken(int fd, uint64_t *taken)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int unread;

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		*taken = info.tcpi_bytes_acked;
	else if (ioctl(fd, SIOCOUTQ, &unread) == 0)
		*taken = (uint64_t)unread;
	else
		return false;
	return true;
}
