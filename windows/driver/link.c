/*
 * link.c - one connection: the engine's bytes on a WSK socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * At most one send and one receive are under way.  Each is a chain of MDLs over what
 * the engine named: its own headers, and the SRBs' buffers, which nobody copies.  A
 * send IRP ends when TCP needs the bytes no more, and the engine keeps a request as
 * long as its bytes are in an open send or receive; so a buffer is never Storport's
 * again while the network uses it.
 *
 * An MDL that cannot be had makes a batch shorter, or is tried again after a moment.
 */
#include "link.h"

#define POLITE_TIME	(2 * NBE_SECOND)
#define MEMORY_TIME	(NBE_SECOND / 100)
/* How much is given to WSK at a time, which tells of an end, and so that bytes move,
 * when the server's TCP has all of it. */
#define SEND_MIN	(64u * 1024)
#define SEND_MAX	(4u * 1024 * 1024)
#define SEND_QUICK	(NBE_SECOND / 4)
#define SEND_SLOW	(2 * NBE_SECOND)

NTSTATUS
link_init(struct link *l, struct nbe_dev *dev, unsigned conn, uint8_t *waste,
    KEVENT *event)
{
	struct wsk_op *ops[] = { &l->tx, &l->rx, &l->end };
	NTSTATUS status = STATUS_SUCCESS;
	unsigned i;

	l->dev = dev;
	l->conn = conn;
	l->waste = waste;
	for (i = 0; i < 3 && NT_SUCCESS(status); i++)
		status = wsk_op_init(ops[i], event);
	return status;
}

void
link_free(struct link *l)
{
	DRIVER_ASSERT(l->socket == NULL && l->dial == NULL);
	wsk_op_free(&l->tx);
	wsk_op_free(&l->rx);
	wsk_op_free(&l->end);
}

void
link_up(struct link *l, struct wsk_socket *socket)
{
	l->socket = socket;
	l->up = true;
	l->send_max = SEND_MIN;
	l->closing = l->politely = l->disconnected = false;
}

void
link_orphan(struct link *l)
{
	l->dev = NULL;
}

/* ---- ends ------------------------------------------------------------------ */

static enum nbe_why
why_of(NTSTATUS status, ULONG_PTR bytes)
{
	return NT_SUCCESS(status) && bytes > 0 ? NBE_WHY_NONE : NBE_WHY_CLOSED;
}

static void
tell_tx(struct link *l, ULONG_PTR bytes, enum nbe_why why, nbe_time now)
{
	if (l->dev != NULL)
		nbe_tx_end(l->dev, l->conn, bytes, why, now);
}

/* A slow link gets less at a time, a quick one more. */
static void
judge_send(struct link *l, ULONG_PTR bytes, nbe_time now)
{
	nbe_time took = now - l->sent_at;

	if (bytes == 0)
		return;
	if (took < SEND_QUICK && l->send_max < SEND_MAX)
		l->send_max *= 2;
	else if (took > SEND_SLOW && l->send_max > SEND_MIN)
		l->send_max /= 2;
	if (l->dev != NULL)
		nbe_moved(l->dev, l->conn, now);
}

static void
tell_rx(struct link *l, ULONG_PTR bytes, enum nbe_why why, nbe_time now)
{
	if (l->dev != NULL)
		nbe_rx_end(l->dev, l->conn, bytes, why, now);
}

static bool
harvest_tx(struct link *l, nbe_time now)
{
	ULONG_PTR n = 0;
	NTSTATUS status;

	if (!wsk_op_ended(&l->tx))
		return false;
	status = wsk_op_take(&l->tx, &n);
	wsk_mdl_free(l->tx_chain);
	l->tx_chain = NULL;
	l->tx_open = false;
	judge_send(l, NT_SUCCESS(status) ? n : 0, now);
	tell_tx(l, NT_SUCCESS(status) ? n : 0, why_of(status, n), now);
	return true;
}

static bool
harvest_rx(struct link *l, nbe_time now)
{
	ULONG_PTR n = 0;
	NTSTATUS status;

	if (l->rx_zeroed) {
		l->rx_zeroed = l->rx_open = l->rx_new = false;
		tell_rx(l, 0, NBE_WHY_NONE, now);
		return true;
	}
	if (!wsk_op_ended(&l->rx))
		return false;
	status = wsk_op_take(&l->rx, &n);
	wsk_mdl_free(l->rx_chain);
	l->rx_chain = NULL;
	l->rx_open = false;
	tell_rx(l, NT_SUCCESS(status) ? n : 0, why_of(status, n), now);
	return true;
}

/* A begin without an operation: the socket is to be closed, or what was named has
 * no bytes on the wire. */
static void
end_unstarted(struct link *l, enum nbe_why why, nbe_time now)
{
	if (l->tx_open && !wsk_op_busy(&l->tx)) {
		l->tx_open = l->tx_new = false;
		tell_tx(l, 0, why, now);
	}
	if (l->rx_open && !wsk_op_busy(&l->rx)) {
		l->rx_open = l->rx_new = false;
		tell_rx(l, 0, why, now);
	}
}

static bool
harvest_end(struct link *l)
{
	ULONG_PTR n;
	NTSTATUS status;

	if (!wsk_op_ended(&l->end))
		return false;
	status = wsk_op_take(&l->end, &n);
	if (l->disconnected) {
		l->socket = NULL;
	} else if (l->politely && !NT_SUCCESS(status)) {
		l->politely = false;	/* not all has arrived: reset it */
	} else {
		l->disconnected = true;
	}
	return true;
}

bool
link_harvest(struct link *l, nbe_time now)
{
	bool any = harvest_tx(l, now);

	any |= harvest_rx(l, now);
	any |= harvest_end(l);
	if (!l->up || !l->closing || l->socket != NULL || wsk_op_busy(&l->tx) ||
	    wsk_op_busy(&l->rx))
		return any;
	end_unstarted(l, NBE_WHY_CLOSED, now);
	l->up = false;
	if (l->dev != NULL)
		nbe_conn_down(l->dev, l->conn, NBE_WHY_CLOSED, now);
	return true;
}

/* ---- plans ----------------------------------------------------------------- */

void
link_plan(struct link *l, bool tx, nbe_time now)
{
	if (!l->up || l->closing)
		return;
	if (tx && !l->tx_open) {
		l->tx_segs = nbe_tx_begin(l->dev, l->conn, l->tx_seg, LINK_SEGS,
		    now);
		l->tx_open = l->tx_new = l->tx_segs > 0;
	}
	if (!l->rx_open) {
		l->rx_segs = nbe_rx_begin(l->dev, l->conn, l->rx_seg, LINK_SEGS,
		    &l->rx_need);
		l->rx_open = l->rx_new = l->rx_segs > 0;
	}
}

static uint8_t *
seg_base(struct link *l, struct nbe_seg *seg)
{
	switch (seg->kind) {
	case NBE_SEG_CORE:
		return seg->base;
	case NBE_SEG_SKIP:
		return l->waste;
	default:
		return link_data(seg->req, seg->off);
	}
}

/*
 * MDLs for the first max bytes of the segments, as many as there is memory for.  A part
 * of a SKIP ends the chain, for the next segment begins behind all of it.
 */
static MDL *
chain(struct link *l, struct nbe_seg *seg, unsigned n, size_t max, size_t *total)
{
	MDL *first = NULL, **at = &first;
	size_t len, room;

	*total = 0;
	for (; n > 0; seg++, n--) {
		if (seg->kind == NBE_SEG_ZERO)
			continue;
		room = max - *total;
		if (seg->kind == NBE_SEG_SKIP && room > LINK_WASTE)
			room = LINK_WASTE;
		len = seg->len < room ? seg->len : room;
		*at = wsk_mdl(seg_base(l, seg), len);
		if (*at == NULL)
			break;
		at = &(*at)->Next;
		*total += len;
		if (len < seg->len || *total == max)
			break;
	}
	return first;
}

static void
act_tx(struct link *l, nbe_time now)
{
	size_t len;

	l->tx_chain = chain(l, l->tx_seg, l->tx_segs, l->send_max, &len);
	if (l->tx_chain == NULL) {
		l->no_memory = true;
		return;
	}
	l->tx_new = false;
	l->sent_at = now;
	wsk_send(&l->tx, l->socket, l->tx_chain, len);
}

static void
act_rx(struct link *l)
{
	struct nbe_seg *seg = l->rx_seg;
	unsigned i;
	size_t len;

	for (i = 0; i < l->rx_segs; i++)
		if (seg[i].kind == NBE_SEG_ZERO)
			memset(link_data(seg[i].req, seg[i].off), 0, seg[i].len);
	if (l->rx_need == 0) {
		l->rx_zeroed = true;
		return;
	}
	l->rx_chain = chain(l, seg, l->rx_segs, SIZE_MAX, &len);
	if (l->rx_chain == NULL) {
		l->no_memory = true;
		return;
	}
	l->rx_new = false;
	wsk_receive(&l->rx, l->socket, l->rx_chain, len);
}

/*
 * What was sent to a server that is lost must not arrive when other writes have been
 * made since, so such a connection is reset: TCP forgets what it still has to send.
 */
static void
act_end(struct link *l, nbe_time now)
{
	if (wsk_op_busy(&l->end)) {
		if (!l->disconnected && l->politely && now >= l->close_by)
			wsk_op_cancel(&l->end);
	} else if (!l->disconnected) {
		wsk_disconnect(&l->end, l->socket, !l->politely);
	} else {
		wsk_close(&l->end, l->socket);
	}
}

bool
link_act(struct link *l, nbe_time now)
{
	l->no_memory = false;
	if (l->closing) {
		if (l->socket != NULL)
			act_end(l, now);
		return false;
	}
	if (l->tx_new)
		act_tx(l, now);
	if (l->rx_new)
		act_rx(l);
	return l->rx_zeroed;
}

void
link_close(struct link *l, bool politely, nbe_time now)
{
	if (!l->up || l->closing)
		return;
	l->closing = true;
	l->politely = politely;
	l->close_by = now + POLITE_TIME;
}

nbe_time
link_wake(const struct link *l, nbe_time now)
{
	if (l->no_memory)
		return now + MEMORY_TIME;
	return l->closing && l->politely && !l->disconnected ? l->close_by :
	    NBE_NEVER;
}
