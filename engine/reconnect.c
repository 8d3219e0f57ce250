/*
 * reconnect.c - connections come and go, and what that means for the device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

/* What of the device the connection contradicts. */
static enum nbe_why
contradiction(const struct nbe_dev *d, const struct nbe_export *e)
{
	const struct nbe_export *have = &d->exp;
	const uint16_t features = NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA |
	    NBE_FLAG_SEND_TRIM | NBE_FLAG_SEND_WRITE_ZEROES | NBE_FLAG_SEND_CACHE |
	    NBE_FLAG_SEND_FAST_ZERO;

	if (d->up != 0 && (e->flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		return NBE_WHY_NO_MULTI_CONN;
	if (e->size < have->size)
		return NBE_WHY_SHRANK;
	if (((e->flags ^ have->flags) & NBE_FLAG_READ_ONLY) != 0)
		return NBE_WHY_READ_ONLY;
	if ((have->flags & ~e->flags & features) != 0 ||
	    (have->has_alloc && !e->has_alloc))
		return NBE_WHY_FLAGS_LOST;
	if (e->block_min > have->block_min)
		return NBE_WHY_BLOCK_SIZE_CHANGED;
	if (e->payload_max < d->data_max)
		return NBE_WHY_PAYLOAD_SHRANK;
	if (e->framing < have->framing)
		return NBE_WHY_FRAMING_LOST;
	return NBE_WHY_NONE;
}

static void
grow(struct nbe_dev *d, uint64_t size)
{
	size -= size % d->exp.block_min;
	if (size <= d->exp.size)
		return;
	d->exp.size = size;
	d->resized = true;
}

enum nbe_why
nbe_conn_up(struct nbe_dev *d, unsigned conn, const struct nbe_export *e, nbe_time now)
{
	struct conn *c = &d->conn[conn];
	enum nbe_why why = contradiction(d, e);

	NBE_ASSERT(conn < d->cfg.conns_max && !c->up);
	if (why == NBE_WHY_NONE && !wants_open(d, c))
		why = d->stopping ? NBE_WHY_STOPPED : NBE_WHY_SCALED;
	if (why != NBE_WHY_NONE) {
		d->st.conns_refused++;
		nbe_conn_down(d, conn, why, now);
		return why;
	}
	c->up = true;
	c->framing = e->framing;
	c->alloc_context = e->alloc_context;
	c->ups = ++d->ups;
	c->proven = d->proven == 0;
	d->up++;
	d->proven += c->proven;
	conn_recount(d);
	d->st.conns_made++;
	conn_rx_init(c);
	grow(d, e->size);
	if (idle(d) || d->dead)		/* nobody waits: the clock starts afresh */
		d->silent_since = NBE_NEVER;
	d->dead = false;
	return NBE_WHY_NONE;
}

/* xorshift64: spreads the reconnects of many devices, nothing more. */
static uint64_t
jitter(struct nbe_dev *d, uint64_t below)
{
	d->rng ^= d->rng << 13;
	d->rng ^= d->rng >> 7;
	d->rng ^= d->rng << 17;
	return below == 0 ? 0 : d->rng % below;
}

/* Twice as long after each failure, up to a limit, and up to a half more. */
static nbe_time
backoff(struct nbe_dev *d, struct conn *c)
{
	nbe_time wait = d->cfg.backoff_min;
	uint32_t i;

	for (i = 0; i < c->tries && wait < d->cfg.backoff_max; i++)
		wait *= 2;
	if (wait > d->cfg.backoff_max)
		wait = d->cfg.backoff_max;
	if (c->tries < 63)
		c->tries++;
	return wait + jitter(d, wait / 2);
}

static void
lose_commands(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	struct slot *s;

	while ((s = list_take(d, &c->answered)) != NULL) {
		s->in_tx = false;
		conn_forget(d, c, s);
		part_answered(d, s, now);
	}
	while (!list_empty(&c->sent)) {		/* the youngest first */
		s = slot_at(d, c->sent.tail);
		list_remove(d, &c->sent, s);
		s->in_tx = false;
		conn_forget(d, c, s);
		part_lost(d, s, now);
	}
	c->batch_count = c->batch_at = 0;
}

/* The last proven connection is gone: nothing is known of what the server kept. */
static void
new_epoch(struct nbe_dev *d, nbe_time now)
{
	d->epoch++;
	d->st.restarts++;
	req_redo_unkept(d, now);
	unflushed_restarted(d);
	conn_prove(d, d->ups);
	if (d->silent_since == NBE_NEVER)
		d->silent_since = now;
}

static void
leave(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	bool was_proven = c->proven;

	lose_commands(d, c, now);
	c->up = c->proven = c->closing = c->draining = false;
	c->disc_planned = c->aborted = false;
	d->up--;
	d->proven -= was_proven;
	d->st.conns_lost++;
	conn_recount(d);
	if (was_proven && d->proven == 0)
		new_epoch(d, now);
}

void
nbe_conn_down(struct nbe_dev *d, unsigned conn, enum nbe_why why, nbe_time now)
{
	struct conn *c = &d->conn[conn];

	NBE_ASSERT(conn < d->cfg.conns_max && !c->tx_open && !c->rx_open);
	if (!c->closing || c->why == NBE_WHY_NONE)
		c->why = why;
	c->open_at = now + backoff(d, c);
	if (c->up)
		leave(d, c, now);
}

void
nbe_scale(struct nbe_dev *d, unsigned n, nbe_time now)
{
	unsigned i;

	NBE_ASSERT(n >= 1 && n <= d->cfg.conns_max);
	d->wanted = n;
	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];
		bool before = c->wanted;

		c->wanted = i < n;
		if (c->wanted && !before) {
			c->open_at = now;
			c->tries = 0;
		}
		if (!c->wanted)
			conn_drain(d, c, NBE_WHY_SCALED);
	}
	conn_recount(d);
}

void
nbe_reconnect(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		d->conn[i].open_at = now;
		d->conn[i].tries = 0;
	}
}

enum nbe_why
nbe_conn_why(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].why;
}

bool
nbe_conn_is_up(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].up;
}
