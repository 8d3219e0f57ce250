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

static void
init(struct nbe_req *r, nbe_time now)
{
	r->error = NBE_OK;
	r->extents_count = 0;
	r->keep = r->record = NBE_NO_KEEP;
	r->next = r->prev = NULL;
	r->planned = r->part_max = 0;
	r->submitted_at = now;
	r->retry_until = 0;
	r->epoch = 0;
	r->parts = 0;
	r->begun = r->cleared = r->flushing = r->redo = false;
}

/* A flush of the device's own, unless one is under way. */
void
req_own_flush(struct nbe_dev *d, nbe_time now)
{
	if ((d->own_flush.state != REQ_IDLE && d->own_flush.state != REQ_DONE) ||
	    d->stop_now)
		return;
	init(&d->own_flush, now);
	d->own_flush.op = NBE_FLUSH;
	d->own_flush.state = REQ_BUSY;
	req_requeue(d, &d->own_flush);	/* in front: others may wait for it */
}

/*
 * Nothing is under way, and as far as can be, all is flushed.  The flush is tried once:
 * where it fails, the server may be another one afterwards, and that is told.  From a
 * server that shuts down nothing else can be had.
 */
bool
req_settled(struct nbe_dev *d, nbe_time now)
{
	if (d->in_flight != 0 ||
	    (d->own_flush.state == REQ_QUEUED && !d->un.replaying) ||
	    (d->retry_count != 0 && d->hold != HOLD_ALL))
		return false;
	if (unflushed_cached(d) == CACHED_NOTHING || d->hold_flushed ||
	    d->un.replaying)
		return true;
	d->hold_flushed = true;
	req_own_flush(d, now);
	return false;
}

/* ---- done ---------------------------------------------------------------------- */

/* No more parts of it; what is out there comes back first.  Then req_settle. */
void
req_fail(struct nbe_dev *d, struct nbe_req *r, enum nbe_err error)
{
	if (r->error == NBE_OK)
		r->error = (uint8_t)error;
	req_unlink(d, r);
}

/* Failed: there is no room for those that wait; else those that still wait need
 * another one. */
static void
own_flush_done(struct nbe_dev *d, nbe_time now)
{
	enum nbe_err error = (enum nbe_err)d->own_flush.error;
	struct nbe_req *r;

	if (error == NBE_OK) {
		if (d->unkept.head != NULL)
			req_own_flush(d, now);
		return;
	}
	while ((r = d->unkept.head) != NULL) {
		req_fail(d, r, error);
		req_settle(d, r, now);
	}
}

static void
failed(struct nbe_dev *d, const struct nbe_req *r)
{
	if (r->op == NBE_FLUSH && r->error == NBE_EIO)
		unflushed_told(d);
	if (r->cleared && nbe_op_info[r->op].modifies)
		unflushed_stray(d);
}

static void
done(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	NBE_ASSERT(r->state == REQ_BUSY && r->parts == 0);
	r->state = REQ_DONE;
	if (r->begun)
		d->begun--;
	if (d->barrier == r)
		d->barrier = NULL;
	if (r == &d->own_flush) {
		own_flush_done(d, now);
		return;
	}
	if (r->error != NBE_OK)
		failed(d, r);
	stats_done(d, r, now);
	r->next = NULL;
	*d->done_tail = r;
	d->done_tail = &r->next;
}

/* ---- submitted ---------------------------------------------------------------- */

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

	if (d->stop_now || (d->stopping && (r->flags & NBE_COMPARE) == 0))
		return NBE_ESHUTDOWN;
	if (d->dead)
		return NBE_ETIMEDOUT;
	if (op->modifies && (e->flags & NBE_FLAG_READ_ONLY) != 0)
		return NBE_EPERM;
	if ((e->flags & op->needs) != op->needs)
		return NBE_ENOTSUP;
	if (r->op == NBE_EXTENTS && !e->has_alloc)
		return NBE_ENOTSUP;
	if (r->op == NBE_ZERO && (r->flags & NBE_FAST_ONLY) != 0 &&
	    (e->flags & NBE_FLAG_SEND_FAST_ZERO) == 0)
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
		done(d, r, now);
		return;
	}
	enqueue(d, r);
}

/* ---- round again, or done ------------------------------------------------------ */

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

/* Is there room to keep it, if it must be kept?  Then it may be reported. */
static bool
acknowledged(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	enum ack ack;

	if (!nbe_op_info[r->op].modifies || r->flushing)
		return true;
	if (d->grace != 0)
		fence_store_changed(d);
	ack = unflushed_ack(d, r);
	if (ack != ACK_DONE)
		req_own_flush(d, now);
	return ack != ACK_UNKEPT;
}

/* For its turn, or for a flush that makes room. */
static void
wait_for(struct nbe_dev *d, struct nbe_req *r, bool turn)
{
	if (turn) {
		req_requeue(d, r);
	} else {
		r->state = REQ_UNKEPT;
		reqs_append(&d->unkept, r);
	}
}

/* It is on no queue, and all its parts are back. */
void
req_conclude(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	bool again = r->error == NBE_OK && goes_round(d, r);

	if (r->error == NBE_OK && (again || !acknowledged(d, r, now))) {
		r->error = (uint8_t)gone(d);
		if (r->error == NBE_OK) {
			wait_for(d, r, again);
			return;
		}
	}
	done(d, r, now);
}

/* A flush made room: those that wait for it may be reported, as far as it goes. */
void
req_report_unkept(struct nbe_dev *d, nbe_time now)
{
	struct nbe_req *r;

	while ((r = d->unkept.head) != NULL && acknowledged(d, r, now)) {
		req_unlink(d, r);
		done(d, r, now);
	}
}

/* The server may have forgotten them.  Their data is still here. */
void
req_redo_unkept(struct nbe_dev *d, nbe_time now)
{
	struct nbe_req *r;

	while ((r = d->unkept.tail) != NULL) {
		req_redo(d, r);
		req_settle(d, r, now);
	}
}
