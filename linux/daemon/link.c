/*
 * link.c - one connection of a disk: how it comes up, is looked after, and ends.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link_impl.h"
#include "pages.h"
#include "reset.h"
#include "room.h"
#include "taken.h"

/* A session in the kernel that has no more records left than this is made anew: more
 * than can be used up before it is asked again. */
#define RECORDS_LOW	(UINT64_C(1) << 22)
#define RECORDS_ASK	(5 * NBE_SECOND)

bool
link_quiet(const struct link *l)
{
	return !l->sending && !l->receiving && !l->cancelling;
}

static void
free_buffers(struct link *l)
{
	free(l->ahead);
	free(l->sealed);
	free(l->plain);
	l->ahead = l->sealed = l->plain = NULL;
}

/* ---- the end of it ------------------------------------------------------------- */

/* Its operations are back, so nobody uses the buffers. */
void
link_finish(struct link *l)
{
	unsigned path = nbe_conn_path(l->dev, l->conn);
	int kept = -1;

	if (!l->closing || !link_quiet(l))
		return;
	l->closing = false;
	if (nbe_conn_in_order(l->dev, l->conn))
		nbc_end_in_order(l->nbc.fd);
	else if (!l->kept)
		socket_reset(nbc_take_fd(&l->nbc));
	if (l->kept)
		kept = nbc_take_fd(&l->nbc);
	nbc_close(&l->nbc, false);
	free_buffers(l);
	nbe_conn_down(l->dev, l->conn, NBE_WHY_CLOSED, l->now(l->arg));
	l->ended(l->arg, l->conn);
	if (kept >= 0)
		overdue_keep(l->overdue, kept, path);
}

/* Best effort: by now the peer may not read any more. */
static void
say_goodbye(struct link *l)
{
	uint8_t buf[256];
	size_t len;

	if (l->nbc.ktls)
		nbc_ktls_shutdown(l->nbc.fd);
	if (!in_process_tls(l) || l->sending)
		return;
	nbc_tls_shutdown(l->nbc.tls);
	len = nbc_tls_output(l->nbc.tls, buf, sizeof(buf));
	if (len != 0)
		(void)send(l->nbc.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
cancelled(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, cancel_op);

	(void)res;
	(void)flags;
	l->cancelling = false;
	link_finish(l);
}

/* Nothing more goes out, what comes is for overdue; the receive has to end. */
static void
close_half(struct link *l)
{
	struct io_uring_sqe *sqe;

	(void)shutdown(l->nbc.fd, SHUT_WR);
	if (!l->receiving)
		return;
	sqe = ring_sqe(l->ring);
	io_uring_prep_cancel(sqe, &l->recv_op, 0);
	ring_bind(sqe, &l->cancel_op);
	l->cancelling = true;
}

/* What is in our own system would arrive at any time: only a reset ends that. */
static bool
may_keep(const struct link *l, enum nbe_why why)
{
	return why == NBE_WHY_TIMEOUT && !l->sending && all_taken(l->nbc.fd);
}

void
link_close(struct link *l)
{
	enum nbe_why why = nbe_conn_why(l->dev, l->conn);

	if (l->closing)
		return;
	l->closing = true;
	if (why != NBE_WHY_CLOSED && why != NBE_WHY_TLS_FAILED)
		snprintf(l->problem, sizeof(l->problem), "%s", nbe_why_text(why));
	l->kept = may_keep(l, why);
	if (l->kept) {
		close_half(l);
	} else {
		say_goodbye(l);
		(void)shutdown(l->nbc.fd, SHUT_RDWR);	/* ends what is in the ring */
	}
	link_finish(l);
}

/* What a socket's error means to the engine. */
enum nbe_why
link_lost(struct link *l, int err)
{
	if (!l->closing)
		snprintf(l->problem, sizeof(l->problem), "%s",
		    err == 0 ? nbe_why_text(NBE_WHY_CLOSED) : strerror(err));
	return NBE_WHY_CLOSED;
}

enum nbe_why
link_tls_lost(struct link *l)
{
	if (!l->closing)
		snprintf(l->problem, sizeof(l->problem), "TLS: %s",
		    nbc_tls_error(l->nbc.tls));
	return NBE_WHY_TLS_FAILED;
}

/* ---- now and then ---------------------------------------------------------- */

void
link_tend(struct link *l)
{
	nbe_time t = l->now(l->arg);
	uint64_t taken;

	if (l->closing || l->nbc.fd < 0)
		return;
	if (bytes_taken(l->nbc.fd, &taken) && taken != l->taken) {
		l->taken = taken;
		nbe_moved(l->dev, l->conn, t);
	}
	if (!l->nbc.ktls || t < l->asked_limit_at + RECORDS_ASK)
		return;
	l->asked_limit_at = t;
	if (nbc_ktls_records_left(l->nbc.fd) < RECORDS_LOW)
		nbe_renew(l->dev, l->conn);
}

/* ---- up -------------------------------------------------------------------------- */

/* What nobody may come after never seals so much at a time. */
static uint8_t *
new_sealed(const struct link *l)
{
	size_t size = nbc_tls_sealed_max(LINK_WHOLE);
	uint8_t *p = malloc(size);

	if (p != NULL && pages_ready(p, l->note != NULL ? size :
	    nbc_tls_sealed_max(LINK_PLAIN)))
		return p;
	free(p);
	return NULL;
}

bool
link_up(struct link *l, struct nbc_conn *nbc)
{
	bool tls = nbc->tls != NULL;

	l->ahead = pages_malloc(LINK_AHEAD);
	l->sealed = tls ? new_sealed(l) : NULL;
	l->plain = tls ? pages_malloc(LINK_PLAIN) : NULL;
	if (l->ahead == NULL || (tls && (l->sealed == NULL || l->plain == NULL))) {
		free_buffers(l);
		return false;
	}
	l->nbc = *nbc;
	socket_make_room(nbc->fd);
	l->send_op.done = link_sent;
	l->before_op.done = link_sent_before;
	l->recv_op.done = link_received;
	l->cancel_op.done = cancelled;
	l->rx_direct = 0;
	l->room = 0;
	l->awaited_room = false;
	l->given = bytes_given(nbc->fd);
	l->asked_limit_at = l->now(l->arg);
	if (!bytes_taken(nbc->fd, &l->taken))
		l->taken = 0;
	l->problem[0] = '\0';
	link_start_recv(l);
	return true;
}
