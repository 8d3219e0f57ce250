/*
 * greet.c - what the programs that bound others begin with: a connection to an export.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "greet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "wire.h"

void
must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int
dial(const char *family, const char *where)
{
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_unix = strcmp(family, "unix") == 0;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0), one = 1;

	snprintf(u.sun_path, sizeof(u.sun_path), "%s", where);
	in.sin_port = htons((uint16_t)atoi(where));
	must(connect(fd, is_unix ? (void *)&u : (void *)&in,
	    is_unix ? sizeof(u) : sizeof(in)) == 0, where);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* The header of an option's reply; what follows goes into b. */
static uint32_t
option_reply(struct stream *s, uint8_t *b, size_t b_size)
{
	uint32_t reply, len;

	must(stream_recv_all(s, b, LEN_OPTION_REPLY), "recv");
	reply = get32(b + 12);
	len = get32(b + 16);
	must(len <= b_size && !REP_IS_ERROR(reply), "option");
	must(len == 0 || stream_recv_all(s, b, len), "recv");
	return reply;
}

static void
start_tls(struct stream *s, SSL_CTX *tls)
{
	uint8_t b[512], out[LEN_OPTION];
	struct iovec iov = { out, sizeof(out) };

	put32(put32(put64(out, MAGIC_OPTION), OPT_STARTTLS), 0);
	must(stream_send(s, &iov, 1), "send");
	must(option_reply(s, b, sizeof(b)) == REP_ACK, "STARTTLS");
	must(stream_start_tls(s, tls, false), "TLS");
}

void
greet(struct stream *s, const char *family, const char *where, SSL_CTX *tls,
    uint64_t *size)
{
	uint8_t b[512], flags[4], out[LEN_OPTION + 6] = { 0 };
	struct iovec iov[] = { { flags, 4 }, { out, sizeof(out) } };
	uint32_t reply;

	*s = (struct stream){ .fd = dial(family, where) };
	put32(flags, 3);
	put32(put32(put64(out, MAGIC_OPTION), OPT_GO), 6);
	must(stream_recv_all(s, b, 18) && stream_send(s, iov, 1), "hello");
	if (tls != NULL)
		start_tls(s, tls);
	must(stream_send(s, iov + 1, 1), "send");
	while ((reply = option_reply(s, b, sizeof(b))) != REP_ACK)
		if (reply == REP_INFO && get16(b) == INFO_EXPORT)
			*size = get64(b + 2);
}
