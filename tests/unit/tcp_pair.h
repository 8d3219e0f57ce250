/*
 * tcp_pair.h - two ends of a TCP connection by loopback.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TCP_PAIR_H
#define TCP_PAIR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* room: of the second one to receive; 0: the system's. */
static inline bool
tcp_pair(int pair[2], int room)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	bool ok;

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (room != 0)
		(void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	ok = bind(listener, (struct sockaddr *)&a, len) == 0 &&
	    listen(listener, 1) == 0 &&
	    getsockname(listener, (struct sockaddr *)&a, &len) == 0 &&
	    connect(pair[0], (struct sockaddr *)&a, len) == 0;
	pair[1] = ok ? accept(listener, NULL, NULL) : -1;
	close(listener);
	return pair[1] >= 0;
}

#endif
