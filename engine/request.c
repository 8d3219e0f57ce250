/*
 * request.c - the way of a request: submitted, cut, answered, done.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A request is done when all its parts are answered and no send has its
 * buffers, never earlier.  On the way it may go round again: a flush stands for
 * a missing FUA, a smaller part for one that was too long, and a whole new try
 * for a write of which the server may have forgotten a part.
 */
#include "device.h"

const struct op_info nbe_op_info[NBE_OPS] = {
	[NBE_READ] = { CMD_READ, 0, false, true },
	[NBE_WRITE] = { CMD_WRITE, 0, true, true },
	[NBE_FLUSH] = { CMD_FLUSH, NBE_FLAG_SEND_FLUSH, false, false },
	[NBE_TRIM] = { CMD_TRIM, NBE_FLAG_SEND_TRIM, true, false },
	[NBE_ZERO] = { CMD_WRITE_ZEROES, NBE_FLAG_SEND_WRITE_ZEROES, true, false },
	[NBE_CACHE] = { CMD_CACHE, NBE_FLAG_SEND_CACHE, false, false },
	[NBE_EXTENTS] = { CMD_BLOCK_STATUS, 0, false, false },
};

void
reqs_append(struct reqs *q, struct nbe_req *r)
{
	r->next = NULL;
	r->prev = q->tail;
	if (q->tail == NULL)
		q->head = r;
	else
		q->tail->next = r;
	q->tail = r;
}

void
reqs_prepend(struct reqs *q, struct nbe_req *r)
{
	r->prev = NULL;
	r->next = q->head;
	if (q->head == NULL)
		q->tail = r;
	else
		q->head->prev = r;
	q->head = r;
}

void
reqs_remove(struct reqs *q, struct nbe_req *r)
{
	if (r->prev == NULL)
		q->head = r->next;
	else
		r->prev->next = r->next;
	if (r->next == NULL)
		q->tail = r->prev;
	else
		r->next->prev = r->prev;
}

static enum nbe_err
check_range(const struct nbe_export *e, const struct nbe_req *r)
{
	if (((r->offset | r->length) & (e->block_min - 1)) != 0)
		return NBE_EINVAL;
	if (r->offset > e->size || r->length > e->size - r->offset)
		return r->op == NBE_WRITE ? NBE_ENOSPC : NBE_EINVAL;
	return NBE_OK;
}

/* Never send what the server did not offer (proto.md, "Transmission flags"). */
static enum nbe_err
check(const struct nbe_dev *d, const struct nbe_req *r)
{
	const struct nbe_export *e = &d->exp;
	const struct op_info *op = &nbe_op_info[r->op];

	if (d->stopping)
		return NBE_ESHUTDOWN;
	if (d->dead)
		return NBE_ETIMEDOUT;
	if (op->modifies && (e->flags & NBE_FLAG_READ_ONLY) != 0)
		return NBE_EPERM;
	if ((e->flags & op->needs) != op->needs)
		return NBE_ENOTSUP;
	if (r->op == NBE_EXTENTS && !e->has_alloc)
		return NBE_ENOTSUP;
	return r->op == NBE_FLUSH ? NBE_OK : check_range(e, r);
}

static void
enqueue(struct nbe_dev *d, struct nbe_req *r)
{
	r->state = REQ_QUEUED;
	reqs_append(&d->queue, r);
	d->queue_count++;
}

static void
init(struct nbe_req *r, nbe_time now)
{
	r->error = NBE_OK;
	r->extents_count = 0;
	r->keep = NBE_NO_KEEP;
	r->next = r->prev = NULL;
	r->planned = r->part_max = 0;
	r->submitted_at = now;
	r->retry_until = 0;
	r->epoch = 0;
	r->parts = 0;
	r->begun = r->cleared = r->flushing = r->redo = false;
}

void
nbe_submit(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	NBE_ASSERT(r->op < NBE_OPS);
	init(r, now);
	r->number = ++d->st.received;
	d->st.last_received = now;
	r->error = (uint8_t)check(d, r);
	if (r->error != NBE_OK ||
	    (r->length == 0 && r->op != NBE_FLUSH)) {	/* proto.md: never send it */
		r->state = REQ_BUSY;
		req_done(d, r, now);
		return;
	}
	enqueue(d, r);
}

void
own_flush_start(struct nbe_dev *d, nbe_time now)
{
	if (d->own_flush.state == REQ_QUEUED || d->own_flush.state == REQ_BUSY ||
	    d->stop_now)
		return;
	init(&d->own_flush, now);
	d->own_flush.op = NBE_FLUSH;
	d->own_flush.state = REQ_BUSY;
	req_requeue(d, &d->own_flush);	/* in front: others may wait for it */
}

/* Off whatever queue it is on. */
void
req_unlink(struct nbe_dev *d, struct nbe_req *r)
{
	switch (r->state) {
	case REQ_QUEUED:
		reqs_remove(&d->queue, r);
		d->queue_count--;
		break;
	case REQ_FENCED:
		reqs_remove(&d->fenced, r);
		break;
	case REQ_UNKEPT:
		reqs_remove(&d->un.unkept, r);
		break;
	default:
		break;
	}
	r->state = REQ_BUSY;
}

void
req_requeue(struct nbe_dev *d, struct nbe_req *r)
{
	NBE_ASSERT(r->state == REQ_BUSY);
	r->state = REQ_QUEUED;
	reqs_prepend(&d->queue, r);
	d->queue_count++;
}

/* No more parts of it; what is out there comes back first.  Then req_settle. */
void
req_fail(struct nbe_dev *d, struct nbe_req *r, enum nbe_err error)
{
	if (r->error == NBE_OK)
		r->error = (uint8_t)error;
	req_unlink(d, r);
}

void
req_redo(struct nbe_dev *d, struct nbe_req *r)
{
	r->redo = true;
	req_unlink(d, r);
}

static void
start_over(struct nbe_req *r)
{
	r->redo = r->flushing = false;
	r->planned = 0;
	r->epoch = 0;
	r->extents_count = 0;
}

static bool
has(const struct nbe_dev *d, uint16_t flag)
{
	return (d->exp.flags & flag) != 0;
}

/* FUA without FUA, and a write that the keep buffer could never hold: both are
 * durable by a flush of their own. */
static bool
wants_flush(const struct nbe_dev *d, const struct nbe_req *r)
{
	if (r->flushing || !has(d, NBE_FLAG_SEND_FLUSH))
		return false;
	if ((r->flags & NBE_FUA) != 0 && !has(d, NBE_FLAG_SEND_FUA))
		return true;
	return d->cfg.unflushed == NBE_UNFLUSHED_REPLAY && r->op == NBE_WRITE &&
	    r->length > d->cfg.keep_size;
}

/* Why nothing will be sent any more, as things are. */
static enum nbe_err
gone(const struct nbe_dev *d)
{
	if (d->stop_now)
		return NBE_ESHUTDOWN;
	return d->dead ? NBE_ETIMEDOUT : NBE_OK;
}

/* All that was asked of the server is answered: must more be asked of it? */
static bool
goes_round(const struct nbe_dev *d, struct nbe_req *r)
{
	bool changes = nbe_op_info[r->op].modifies;

	/* The server that answered its first part may be gone, with that part. */
	if (r->redo || (changes && r->epoch != d->epoch)) {
		start_over(r);
		return true;
	}
	if (!changes || !wants_flush(d, r))
		return false;
	r->flushing = true;
	return true;
}

/* It may be reported, as far as what is not flushed goes. */
static bool
acknowledged(struct nbe_dev *d, struct nbe_req *r)
{
	return !nbe_op_info[r->op].modifies || r->flushing || unflushed_ack(d, r);
}

void
req_settle(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	bool again;

	if (r->state != REQ_BUSY || r->parts != 0)
		return;
	again = r->error == NBE_OK && goes_round(d, r);
	if (r->error != NBE_OK || (!again && acknowledged(d, r))) {
		req_done(d, r, now);
		return;
	}
	r->error = (uint8_t)gone(d);
	if (r->error != NBE_OK) {
		req_done(d, r, now);
	} else if (again) {
		req_requeue(d, r);
	} else {
		r->state = REQ_UNKEPT;
		reqs_append(&d->un.unkept, r);
	}
}

void
req_done(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	NBE_ASSERT(r->state == REQ_BUSY && r->parts == 0);
	r->state = REQ_DONE;
	if (r->begun)
		d->begun--;
	if (d->barrier == r)
		d->barrier = NULL;
	if (r == &d->own_flush) {
		unflushed_own_flush_done(d, (enum nbe_err)r->error, now);
		return;
	}
	if (r->op == NBE_FLUSH && r->error == NBE_EIO)
		unflushed_told(d);
	stats_done(d, r, now);
	r->next = NULL;
	*d->done_tail = r;
	d->done_tail = &r->next;
}

/* ---- parts ---------------------------------------------------------------------- */

/* What waits to be sent again need not be. */
static void
drop_retries(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	uint16_t i, next;

	for (i = d->retry.head; i != NO_SLOT; i = next) {
		struct slot *s = slot_at(d, i);

		next = s->next;
		if (s->req != r)
			continue;
		list_remove(d, &d->retry, s);
		d->retry_count--;
		part_drop(d, s, now);
	}
}

static uint64_t
round_down(uint64_t n, uint32_t to)
{
	return n - n % to;
}

/* Half of what the part asks for; 0: it is as small as can be. */
static uint64_t
half(const struct nbe_dev *d, const struct slot *s)
{
	return round_down(s->len / 2, d->exp.block_min);
}

/* Again, in smaller parts. */
static bool
shrink(struct nbe_dev *d, struct slot *s)
{
	if (half(d, s) == 0)
		return false;
	s->req->part_max = half(d, s);
	req_redo(d, s->req);
	return true;
}

/* TRIM and its like may be longer than the payload maximum, and a server may find
 * them too long (proto.md, "Block sizes"). */
bool
part_was_too_long(const struct nbe_dev *d, const struct slot *s)
{
	return !nbe_op_info[s->op].payload && s->op != NBE_FLUSH &&
	    s->len > d->exp.payload_max &&
	    (s->error == NBE_EOVERFLOW || s->error == NBE_EINVAL);
}

/* What to try next: half of it, and no more than that with any other part. */
uint64_t
part_half(struct nbe_dev *d, const struct slot *s)
{
	if (d->effect_max > half(d, s))
		d->effect_max = half(d, s);
	return half(d, s);
}

static bool
too_long(struct nbe_dev *d, struct slot *s)
{
	if (!part_was_too_long(d, s))
		return false;
	(void)part_half(d, s);
	return shrink(d, s);
}

static void
flush_answered(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	unflushed_flushed(d, s->ack, now);
	if (s->req->op != NBE_FLUSH || s->req == &d->own_flush ||
	    !unflushed_tells(d, s->req))
		return;
	d->st.flushes_failed++;
	req_fail(d, s->req, NBE_EIO);
}

/* What the answer means for the request. */
static void
apply(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct nbe_req *r = s->req;

	if (s->error == NBE_OK && !s->scattered) {
		if (s->op == NBE_FLUSH)
			flush_answered(d, s, now);
		else if (r->epoch == 0)
			r->epoch = d->epoch;
	} else if (s->error == NBE_OK) {
		if (!shrink(d, s))
			req_fail(d, r, NBE_EIO);
	} else if (s->error == NBE_ENOTSUP && (s->flags & CMD_FLAG_FAST_ZERO) != 0) {
		r->flags &= (uint8_t)~NBE_FAST_ZERO;
		req_redo(d, r);
	} else if (!too_long(d, s)) {
		req_fail(d, r, (enum nbe_err)s->error);
	}
	if (r->error != NBE_OK || r->redo)
		drop_retries(d, r, now);
}

/* The slot is off its connection and goes back; its request may be done. */
void
part_drop(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct nbe_req *r = s->req;

	slot_free(d, s);
	if (r == NULL)
		return;
	r->parts--;
	req_settle(d, r, now);
}

/* The slot is off its connection's lists, and its bytes are sent. */
void
part_answered(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	if (s->req == NULL)
		fence_answered(d, s);
	else if (s->error == NBE_ESHUTDOWN) {	/* not done here: elsewhere */
		part_lost(d, s, now);
		return;
	} else if (s->req == &d->replay) {
		if (unflushed_part_goes_on(d, s))
			return;
		unflushed_part_done(d, (enum nbe_err)s->error);
	} else
		apply(d, s, now);
	part_drop(d, s, now);
}

/* Why a part that lost its connection is not to be tried again; NBE_OK: it is. */
static enum nbe_err
give_up(const struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	if (r->retry_until != 0 && now >= r->retry_until && !d->stop_now)
		return NBE_ETIMEDOUT;
	return gone(d);
}

/* The slot is off its connection, which took its command or a part of it. */
void
part_lost(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct nbe_req *r = s->req;
	enum nbe_err error;

	if (s->sent && nbe_op_info[s->op].modifies)
		fence_lost(d, s, now);
	s->sent = false;
	if (r == &d->replay) {
		unflushed_part_lost(d, s);
		return;
	}
	if (r == NULL || r->error != NBE_OK || r->redo) {
		part_drop(d, s, now);
		return;
	}
	if ((error = give_up(d, r, now)) != NBE_OK) {
		req_fail(d, r, error);
		drop_retries(d, r, now);
		part_drop(d, s, now);
		return;
	}
	if (r->retry_until == 0)
		r->retry_until = d->cfg.dead_timeout == NBE_NEVER ? NBE_NEVER :
		    now + d->cfg.dead_timeout;
	list_insert_by_age(d, &d->retry, s);
	d->retry_count++;
}

/* ---- abort --------------------------------------------------------------- */

/* A command that is sent cannot be taken back: what it reads goes nowhere, what
 * it changes is fenced until it is answered. */
static void
orphan(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct nbe_req *r = s->req;

	if (nbe_op_info[s->op].modifies)
		fence_aborted(d, s);
	s->req = NULL;
	r->parts--;
	req_settle(d, r, now);
}

/* May the front be using the request's buffer for this slot right now?  Between
 * nbe_rx_ahead and nbe_rx_end it may be copying into each read of which some has
 * come. */
static bool
in_use(const struct nbe_dev *d, const struct conn *c, const struct slot *s)
{
	if (s->in_tx)
		return true;
	return c->rx_open && (c->rx.slot == slot_index(d, s) ||
	    (!c->rx_direct && s->runs != 0));
}

/* Detach from the connection what no socket call of it uses; the rest later. */
void
conn_orphan_aborted(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	uint16_t i, next;

	c->aborted = false;
	for (i = c->sent.head; i != NO_SLOT; i = next) {
		struct slot *s = slot_at(d, i);

		next = s->next;
		if (s->req == NULL || s->req->error != NBE_EABORTED)
			continue;
		if (in_use(d, c, s))
			c->aborted = true;
		else
			orphan(d, s, now);
	}
}

void
nbe_abort(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	uint32_t i;

	NBE_ASSERT(r->state != REQ_IDLE);
	if (r->state == REQ_DONE || r->error != NBE_OK)
		return;
	if (r->begun)
		d->st.aborted_started++;
	else
		d->st.aborted_queued++;
	req_fail(d, r, NBE_EABORTED);
	r->parts++;		/* not done before all of it is seen to */
	drop_retries(d, r, now);
	for (i = 0; i < d->cfg.conns_max; i++)
		conn_orphan_aborted(d, &d->conn[i], now);
	r->parts--;
	req_settle(d, r, now);
}

/* Fail what is not at a server now. */
void
req_fail_all(struct nbe_dev *d, enum nbe_err error, nbe_time now)
{
	struct reqs *from[] = { &d->queue, &d->fenced, &d->un.unkept };
	struct slot *s;
	struct nbe_req *r;
	unsigned i;

	while ((s = list_take(d, &d->retry)) != NULL) {
		d->retry_count--;
		req_fail(d, s->req, error);
		part_drop(d, s, now);
	}
	for (i = 0; i < 3; i++)
		while ((r = from[i]->head) != NULL) {
			req_fail(d, r, error);
			req_settle(d, r, now);
		}
}
