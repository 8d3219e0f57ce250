/*
 * overdue.c - old connections, kept for what may still come on them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "overdue.h"

#include <sys/random.h>
#include <sys/socket.h>

#include "reset.h"
#include "taken.h"

static void
listen_to(struct overdue_socket *s)
{
	struct io_uring_sqe *sqe = ring_sqe(s->all->ring);

	io_uring_prep_recv(sqe, s->fd, s->room, sizeof(s->room), 0);
	ring_bind(sqe, &s->op);
}

/* Nothing more is said to the server. */
static void
answered(struct overdue_socket *s, bool flushed)
{
	s->asked = false;
	nbc_tls_last_free(s->tls);
	s->tls = NULL;
	(void)shutdown(s->fd, SHUT_WR);
	s->all->answered(s->all->arg, flushed);
}

static enum nbe_heard
hear_session(struct overdue_socket *s, size_t len)
{
	enum nbe_heard heard = NBE_HEARD_NOTHING;
	const uint8_t *plain;
	long n;

	nbc_tls_last_feed(s->tls, s->room, len);
	while (heard == NBE_HEARD_NOTHING &&
	    (n = nbc_tls_last_open(s->tls, &plain)) != 0)
		heard = n < 0 ? NBE_HEARD_REFUSED :
		    nbe_last_flush_hear(&s->flush, plain, (size_t)n);
	return heard;
}

static void
hear_answer(struct overdue_socket *s, size_t len)
{
	enum nbe_heard heard = s->tls != NULL ? hear_session(s, len) :
	    nbe_last_flush_hear(&s->flush, s->room, len);

	if (heard != NBE_HEARD_NOTHING)
		answered(s, heard == NBE_HEARD_FLUSHED);
}

static bool
is_underway(const struct overdue *o, unsigned path)
{
	bool any = false;

	for (unsigned i = 0; i < OVERDUE_MAX; i++)
		any |= o->at[i].used && o->at[i].path == path && o->at[i].underway;
	return any;
}

/* It is all with the server, or will not be. */
static void
not_underway(struct overdue_socket *s)
{
	if (!s->underway)
		return;
	s->underway = false;
	if (!is_underway(s->all, s->path))
		nbe_underway(s->all->dev, s->path, false);
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
	if (s->asked && res > 0)
		hear_answer(s, (size_t)res);
	if (res > 0 && !s->ended && s->bytes <= OVERDUE_BYTES) {
		listen_to(s);
		return;
	}
	if (s->asked)
		answered(s, false);
	socket_reset(s->fd);
	not_underway(s);
	s->used = false;
	o->count--;
}

static struct overdue_socket *
keep(struct overdue *o, int fd, unsigned path)
{
	struct overdue_socket *s = o->at;

	if (o->count == OVERDUE_MAX) {
		socket_reset(fd);
		return NULL;
	}
	while (s->used)
		s++;
	s->op.done = heard;
	s->all = o;
	s->path = path;
	s->used = true;
	s->ended = s->asked = s->underway = false;
	s->tls = NULL;
	s->fd = fd;
	s->bytes = 0;
	o->count++;
	listen_to(s);
	return s;
}

void
overdue_keep(struct overdue *o, int fd, unsigned path)
{
	(void)shutdown(fd, SHUT_WR);
	(void)keep(o, fd, path);
}

static bool
send_flush(int fd, enum nbe_framing framing, struct nbc_tls_last *tls,
    struct nbe_last_flush *flush)
{
	uint8_t buf[32], sealed[sizeof(buf) + NBC_TLS_LAST_OVERHEAD];
	const uint8_t *out = buf;
	uint64_t cookie;
	size_t len;

	if (getrandom(&cookie, sizeof(cookie), GRND_NONBLOCK) < 0)
		return false;
	len = nbe_last_flush(flush, cookie, framing, buf);
	if (tls != NULL) {
		if (!nbc_tls_last_seal(tls, buf, len, sealed))
			return false;
		out = sealed;
		len += NBC_TLS_LAST_OVERHEAD;
	}
	return send(fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

bool
overdue_ask(struct overdue *o, int fd, unsigned path, enum nbe_framing framing,
    struct nbc_tls_last *tls)
{
	struct nbe_last_flush flush;
	struct overdue_socket *s = NULL;
	bool underway = !all_taken(fd);

	if (send_flush(fd, framing, tls, &flush))
		s = keep(o, fd, path);
	else
		socket_reset(fd);
	if (s == NULL) {
		nbc_tls_last_free(tls);
		return false;
	}
	s->asked = true;
	s->flush = flush;
	s->tls = tls;
	s->ask_until = o->now(o->arg) + OVERDUE_ASK;
	s->underway_until = o->now(o->arg) + OVERDUE_UNDERWAY;
	s->underway = underway;
	if (underway)
		nbe_underway(o->dev, path, true);
	return true;
}

/* While bytes go out the answer to the last of them is not late. */
static void
follow(struct overdue_socket *s)
{
	nbe_time t = s->all->now(s->all->arg);
	uint64_t taken;

	if (!s->underway)
		return;
	if (all_taken(s->fd))
		not_underway(s);
	else if (!bytes_taken(s->fd, &taken) || taken == s->taken)
		return;
	else
		s->taken = taken;
	s->ask_until = t + OVERDUE_ASK;
}

static bool
is_waited_for(const struct overdue_socket *s)
{
	const struct overdue *o = s->all;
	nbe_time t = o->now(o->arg);

	if (s->underway)
		return t < s->ask_until && t < s->underway_until;
	return nbe_old_writes(o->dev, s->path) ||
	    (s->asked && t < s->ask_until);
}

void
overdue_tend(struct overdue *o, bool all)
{
	for (unsigned i = 0; o->count != 0 && i < OVERDUE_MAX; i++) {
		struct overdue_socket *s = &o->at[i];

		if (!s->used || s->ended)
			continue;
		follow(s);
		if (!all && is_waited_for(s))
			continue;
		s->ended = true;
		(void)shutdown(s->fd, SHUT_RDWR);	/* ends the receive */
	}
}
