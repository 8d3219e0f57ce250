/*
 * overdue.c - late connections, kept for what may still come on them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "overdue.h"

#include <sys/socket.h>
#include <unistd.h>

static void
listen_to(struct overdue_socket *s)
{
	struct io_uring_sqe *sqe = ring_sqe(s->all->ring);

	io_uring_prep_recv(sqe, s->fd, s->all->scratch, sizeof(s->all->scratch), 0);
	ring_bind(sqe, &s->op);
}

/* Its end counts, too: until then the server was at it. */
static void
heard(struct ring_op *op, int res, uint32_t flags)
{
	struct overdue_socket *s = container_of(op, struct overdue_socket, op);
	struct overdue *o = s->all;

	(void)flags;
	if (!s->ended)
		nbe_stirred(o->dev, s->path, o->now(o->arg));
	s->bytes += res > 0 ? (uint64_t)res : 0;
	if (res > 0 && !s->ended && s->bytes <= OVERDUE_BYTES) {
		listen_to(s);
		return;
	}
	(void)close(s->fd);
	s->used = false;
	o->count--;
}

void
overdue_keep(struct overdue *o, int fd, unsigned path)
{
	struct overdue_socket *s = o->at;

	if (o->count == OVERDUE_MAX) {
		(void)close(fd);
		return;
	}
	while (s->used)
		s++;
	*s = (struct overdue_socket){
		.op.done = heard, .all = o, .path = path, .used = true, .fd = fd,
	};
	o->count++;
	listen_to(s);
}

void
overdue_tend(struct overdue *o, bool all)
{
	for (unsigned i = 0; o->count != 0 && i < OVERDUE_MAX; i++) {
		struct overdue_socket *s = &o->at[i];

		if (!s->used || s->ended || (!all && nbe_old_writes(o->dev, s->path)))
			continue;
		s->ended = true;
		(void)shutdown(s->fd, SHUT_RDWR);	/* ends the receive */
	}
}
