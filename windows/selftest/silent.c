/*
 * silent.c - a server that takes connections and says nothing.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * They wait in the backlog of its socket, where nobody fetches them.
 */
#include "server.h"

#include <winsock2.h>
#include <ws2tcpip.h>
#include <stdlib.h>

struct silent_server {
	SOCKET	s;
	unsigned port;
};

struct silent_server *
silent_start(void)
{
	struct silent_server *v = calloc(1, sizeof(*v));
	struct sockaddr_in at = { .sin_family = AF_INET };
	int len = sizeof(at);

	if (v == NULL)
		return NULL;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v->s = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
	if (bind(v->s, (struct sockaddr *)&at, len) == 0 && listen(v->s, 8) == 0 &&
	    getsockname(v->s, (struct sockaddr *)&at, &len) == 0) {
		v->port = ntohs(at.sin_port);
		return v;
	}
	closesocket(v->s);
	free(v);
	return NULL;
}

void
silent_stop(struct silent_server *v)
{
	closesocket(v->s);
	free(v);
}

unsigned
silent_port(const struct silent_server *v)
{
	return v->port;
}
