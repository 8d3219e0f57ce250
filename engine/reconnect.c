/*
 * reconnect.c - connections come and go, and what that means for the device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

static enum nbe_why
contradicts(const struct nbe_export *have, const struct nbe_export *e,
    uint64_t data_max)
{
	const uint16_t features = NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA |
	    NBE_FLAG_SEND_TRIM | NBE_FLAG_SEND_WRITE_ZEROES | NBE_FLAG_SEND_CACHE |
	    NBE_FLAG_SEND_FAST_ZERO;

	if (e->size < have->size)
		return NBE_WHY_SHRANK;
	/* The other way round nothing is lost: the device stays read-only. */
	if ((e->flags & ~have->flags & NBE_FLAG_READ_ONLY) != 0)
		return NBE_WHY_READ_ONLY;
	if ((have->flags & ~e->flags & features) != 0 ||
	    (have->has_alloc && !e->has_alloc))
		return NBE_WHY_FLAGS_LOST;
	if (e->block_min > have->block_min)
		return NBE_WHY_BLOCK_SIZE_CHANGED;
	if (e->payload_max < data_max)
		return NBE_WHY_PAYLOAD_SHRANK;
	if (e->framing < have->framing)
		return NBE_WHY_FRAMING_LOST;
	return NBE_WHY_NONE;
}

/* What of the device the connection contradicts. */
static enum nbe_why
contradiction(const struct nbe_dev *d, const struct nbe_export *e)
{
	if (d->up != 0 && (e->flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		return NBE_WHY_NO_MULTI_CONN;
	return contradicts(&d->exp, e, d->data_max);
}

enum nbe_why
nbe_contradiction(const struct nbe_export *have, const struct nbe_export *offered,
    uint64_t data_max)
{
	return contradicts(have, offered, data_max);
}

static void
renew(struct nbe_dev *d, struct conn *c)
{
	c->renew |= c->up;
	d->renewing |= c->up;
}

/*
 * The disk has grown when all connections have it so: what lies beyond the old end must
 * not go to one that would refuse it.  Those that do not are renewed, if they are older
 * than the one that does: a newer one would come back as it is.
 */
static void
grow(struct nbe_dev *d)
{
	uint64_t least = UINT64_MAX, most = 0;
	uint32_t since = 0;
	unsigned i;

	for (i = 0; i < d->live; i++) {
		if (!d->conn[i].up)
			continue;
		if (d->conn[i].size < least)
			least = d->conn[i].size;
		if (d->conn[i].size > most) {
			most = d->conn[i].size;
			since = d->conn[i].moment;
		}
	}
	for (i = 0; i < d->live; i++)
		if (d->conn[i].up && d->conn[i].size < most &&
		    d->conn[i].moment < since)
			renew(d, &d->conn[i]);
	if (d->up == 0 || least <= d->exp.size)
		return;
	d->exp.size = least;
	d->resized = true;
}

enum nbe_why
nbe_conn_up(struct nbe_dev *d, unsigned conn, const struct nbe_export *e, nbe_time now)
{
	struct conn *c = &d->conn[conn];
	enum nbe_why why = contradiction(d, e);

	NBE_ASSERT(conn < d->cfg.conns_max && !c->up);
	if (astray(d, c))
		why = NBE_WHY_OTHER_PATH;
	if (why == NBE_WHY_NONE && !wants_open(d, c))
		why = d->stopping ? NBE_WHY_STOPPED : NBE_WHY_SCALED;
	if (why != NBE_WHY_NONE) {
		d->st.conns_refused++;
		nbe_conn_down(d, conn, why, now);
		return why;
	}
	c->up = true;
	c->opening = false;
	c->path = d->mp.at;
	c->framing = e->framing;
	c->alloc_context = e->alloc_context;
	c->moment = ++d->moment;
	c->proven = d->proven == 0;
	c->passed = NO_SLOT;
	c->babbles = false;
	c->window = WINDOW_START;
	c->window_cut_at = 0;
	c->gap = 0;
	c->together = 0;
	c->answers = 0;
	d->up++;
	d->proven += c->proven;
	conn_recount(d);
	d->st.conns_made++;
	conn_rx_init(c);
	c->size = e->size - e->size % d->exp.block_min;
	grow(d);
	if (idle(d) || d->dead)		/* nobody waits: the clock starts afresh */
		d->silent_since = NBE_NEVER;
	d->dead = false;
	if (d->up == 1)
		path_up(d, now);
	return NBE_WHY_NONE;
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

/*
 * The last proven connection is gone: nothing is known of what the server kept.  Where
 * it was left in an orderly way and all was flushed, there is nothing to be known.
 */
static void
new_epoch(struct nbe_dev *d, bool orderly, nbe_time now)
{
	d->epoch++;
	d->st.restarts += !orderly || unflushed_dirty(d);
	req_redo_unkept(d, now);
	unflushed_restarted(d);
	conn_prove(d, d->moment);
	d->hold = d->cfg.compare ? HOLD_COMPARE : HOLD_NOT;
	if (d->silent_since == NBE_NEVER)
		d->silent_since = now;
}

static void
leave(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	bool was_proven = c->proven, orderly = c->disc_planned;

	lose_commands(d, c, now);
	c->up = c->proven = c->closing = c->draining = c->renew = false;
	c->disc_planned = c->aborted = false;
	d->up--;
	d->proven -= was_proven;
	d->st.conns_lost++;
	conn_recount(d);
	grow(d);
	if (was_proven && d->proven == 0)
		new_epoch(d, orderly, now);
}

void
nbe_conn_down(struct nbe_dev *d, unsigned conn, enum nbe_why why, nbe_time now)
{
	struct conn *c = &d->conn[conn];
	bool was_up = c->up, was_astray = astray(d, c);
	bool was_fine = d->silent_since == NBE_NEVER && d->hold != HOLD_COMPARE;

	NBE_ASSERT(conn < d->cfg.conns_max && !c->tx_open && !c->rx_open);
	c->opening = false;
	if (!c->closing || c->why == NBE_WHY_NONE)
		c->why = why;
	/* It was left to be made again, and nobody failed. */
	if (c->disc_planned && c->why == NBE_WHY_RENEWED)
		c->open_at = now;
	else
		c->open_at = after(now, conn_backoff(d, &c->tries));
	if (was_up)
		leave(d, c, now);
	if (d->cfg.paths < 2)
		return;
	if (!was_up)
		path_not_made(d, c, why, was_astray, now);
	else if (d->up == 0)
		path_lost(d, c, was_fine, now);
}

/* What a device with fewer connections keeps first. */
static unsigned
worth(const struct conn *c)
{
	if (!c->up || c->closing || c->draining)
		return 0;
	return c->proven ? 2 : 1;
}

/* The most worth of those that are not wanted yet. */
static struct conn *
best(struct nbe_dev *d)
{
	struct conn *c = NULL;
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++)
		if (!d->conn[i].wanted && (c == NULL || worth(&d->conn[i]) > worth(c)))
			c = &d->conn[i];
	return c;
}

void
nbe_scale(struct nbe_dev *d, unsigned n, nbe_time now)
{
	bool before[NBE_MAX_CONNS];
	unsigned i;

	NBE_ASSERT(n >= 1 && n <= d->cfg.conns_max);
	for (i = 0; i < d->cfg.conns_max; i++) {
		before[i] = d->conn[i].wanted;
		d->conn[i].wanted = false;
	}
	for (d->wanted = 0; d->wanted < n; d->wanted++)
		best(d)->wanted = true;
	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];

		if (c->wanted && !before[i]) {
			c->open_at = now;
			c->tries = 0;
		}
		if (!c->wanted)
			conn_drain(d, c, NBE_WHY_SCALED);
	}
	conn_recount(d);
}

void
nbe_renew(struct nbe_dev *d, unsigned conn)
{
	NBE_ASSERT(conn < d->cfg.conns_max);
	renew(d, &d->conn[conn]);
}

void
nbe_reconnect(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		d->conn[i].open_at = now;
		d->conn[i].tries = 0;
		renew(d, &d->conn[i]);
	}
}

bool
nbe_renewing(const struct nbe_dev *d)
{
	return d->renewing;
}

static struct conn *
next_to_renew(struct nbe_dev *d)
{
	struct conn *found = NULL;
	unsigned i;

	d->renewing = false;
	for (i = 0; i < d->live; i++) {
		struct conn *c = &d->conn[i];

		d->renewing |= c->renew;
		if (found == NULL && c->renew && !c->closing)
			found = c;
	}
	for (i = 0; i < d->live; i++)
		if (d->conn[i].up && d->conn[i].draining)
			return NULL;		/* one after the other */
	return found;
}

/*
 * Renewal: a connection finishes what it has, says DISC, and is opened anew.  While
 * others are usable, they go on.  The last one is left when nothing is under way and
 * all is flushed: then it does not matter whether the same server answers next.
 */
void
reconnect_step(struct nbe_dev *d, nbe_time now)
{
	struct conn *c = next_to_renew(d);
	bool last;

	if (d->mp.leaving || d->hold >= HOLD_ALL)
		return;			/* they are all left soon, or it is too soon */
	if (d->stopping || d->un.replaying)
		c = NULL;
	last = c != NULL && c->proven && d->usable == 1;

	d->hold = last ? HOLD_NEW : HOLD_NOT;
	d->hold_flushed &= last;
	if (c == NULL || (last && !req_settled(d, now)))
		return;
	conn_drain(d, c, NBE_WHY_RENEWED);
}

enum nbe_why
nbe_conn_why(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].why;
}

bool
nbe_conn_in_order(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].disc_planned && d->conn[conn].batch_at ==
	    d->conn[conn].batch_count;
}

bool
nbe_conn_is_up(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].up;
}

bool
nbe_conn_is_leaving(const struct nbe_dev *d, unsigned conn)
{
	const struct conn *c = &d->conn[conn];

	return c->closing || c->draining;
}
