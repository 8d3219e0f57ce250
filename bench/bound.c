/*
 * bound.c - the least work that an NBD client can do: the physical bound.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: bound unix PATH | tcp PORT  CONNS DEPTH BLOCK SECONDS r|w [TLS-DIRECTORY]
 *
 * Sends and receives the same bytes as a client, in batches, and keeps no books: no
 * requests, no retries, no checks but the magic.  Servers that answer in order only:
 * so the oldest I/O is the one that is answered.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "greet.h"
#include "wire.h"

#define CONNS_MAX	32
#define DEPTH_MAX	256
#define AHEAD		(1024 * 1024)

struct conn {
	struct stream stream;
	uint8_t	*buf;
	size_t	have;
	unsigned in_flight, oldest;
	uint64_t issued_ns[DEPTH_MAX];	/* from oldest on, around */
};

static uint64_t size, random_state = 88172645463325252u, next_offset;
static uint32_t block;
static bool writes;
static uint8_t payload[1024 * 1024];
static struct figures figures;

static uint64_t
pick_offset(void)
{
	uint64_t blocks = size / block;

	if (block > 65536)
		return next_offset++ % blocks * block;
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % blocks * block;
}

static void
issue(struct conn *c, unsigned n)
{
	static uint8_t head[DEPTH_MAX][LEN_REQUEST];
	struct iovec iov[2 * DEPTH_MAX];
	unsigned iovs = 0;
	uint64_t now_ns = figures_now_ns();

	for (unsigned i = 0; i < n; i++) {
		uint8_t *p = put16(put32(head[i], MAGIC_REQUEST), 0);

		p = put64(put16(p, writes ? CMD_WRITE : CMD_READ), i);
		put32(put64(p, pick_offset()), block);
		c->issued_ns[(c->oldest + c->in_flight++) % DEPTH_MAX] = now_ns;
		if (writes) {
			iov[iovs++] = (struct iovec){ head[i], LEN_REQUEST };
			iov[iovs++] = (struct iovec){ payload, block };
		}
	}
	if (!writes)
		iov[iovs++] = (struct iovec){ head, (size_t)n * LEN_REQUEST };
	must(stream_send(&c->stream, iov, iovs), "send");
}

/* Replies that are complete in the buffer. */
static unsigned
take(struct conn *c)
{
	size_t len = LEN_SIMPLE_REPLY + (writes ? 0 : block), at = 0;
	uint64_t now_ns = figures_now_ns();
	unsigned n = 0;

	for (; c->have - at >= len; at += len, n++) {
		must(get32(c->buf + at) == MAGIC_SIMPLE_REPLY, "reply");
		figures_add(&figures, now_ns - c->issued_ns[c->oldest++ % DEPTH_MAX],
		    1);
	}
	memmove(c->buf, c->buf + at, c->have - at);
	c->have -= at;
	c->in_flight -= n;
	return n;
}

/* Until the socket is to be asked again: poll does not know what TLS holds. */
static unsigned
receive(struct conn *c)
{
	unsigned done = 0;

	do {
		long n = stream_recv(&c->stream, c->buf + c->have,
		    AHEAD + block - c->have);

		must(n > 0, "recv");
		c->have += (size_t)n;
		done += take(c);
	} while (c->stream.ssl != NULL && SSL_has_pending(c->stream.ssl));
	return done;
}

static void
load(struct conn *conn, unsigned conns, unsigned depth, double seconds)
{
	struct pollfd ready[CONNS_MAX];
	uint64_t end_ns = figures_now_ns() + (uint64_t)(seconds * 1e9);
	bool more = true;
	unsigned live = conns;

	for (unsigned i = 0; i < conns; i++) {
		ready[i] = (struct pollfd){ .fd = conn[i].stream.fd,
		    .events = POLLIN };
		issue(&conn[i], depth);
	}
	while (live != 0) {
		if (conns > 1)
			(void)poll(ready, conns, -1);
		for (unsigned i = 0; i < conns; i++) {
			unsigned n;

			if (conns > 1 && ready[i].revents == 0)
				continue;
			n = receive(&conn[i]);
			if (more && n != 0)
				issue(&conn[i], n);
			if (!more && conn[i].in_flight == 0) {
				ready[i].fd = -1;
				live--;
			}
		}
		more = more && figures_now_ns() < end_ns;
	}
}

int
main(int argc, char **argv)
{
	static struct conn conn[CONNS_MAX];
	unsigned conns, depth;
	SSL_CTX *tls;

	if (argc < 8) {
		fprintf(stderr, "usage: bound unix PATH | tcp PORT  CONNS DEPTH BLOCK "
		    "SECONDS r|w [TLS-DIRECTORY]\n");
		return 2;
	}
	conns = (unsigned)atoi(argv[3]);
	depth = (unsigned)atoi(argv[4]);
	block = (uint32_t)atoi(argv[5]);
	writes = argv[7][0] == 'w';
	if (conns < 1 || conns > CONNS_MAX || depth < 1 || depth > DEPTH_MAX ||
	    block < 512 || block > sizeof(payload))
		return 2;
	tls = argc > 8 ? stream_tls_client(argv[8]) : NULL;
	for (unsigned i = 0; i < conns; i++) {
		conn[i].buf = malloc(AHEAD + block);
		greet(&conn[i].stream, argv[1], argv[2], tls, &size);
	}
	figures_begin(&figures);
	load(conn, conns, depth, atof(argv[6]));
	figures_print(&figures);
	return 0;
}
