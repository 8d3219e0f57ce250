/*
 * schedule.c - which command goes next, and which must wait.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * In this order: what is to be replayed (then nothing else), what was lost with
 * its connection, the queue.  A request leaves the queue when its last part is
 * cut.  A barrier waits until it is alone, and everything waits for it; a change
 * that a fence blocks steps aside, and nothing waits for it.
 */
#include "device.h"

/* May r go, as far as barriers are concerned? */
static bool
barrier_allows(const struct nbe_dev *d, const struct nbe_req *r)
{
	if (d->barrier != NULL)
		return r == d->barrier || r == &d->own_flush;
	if ((r->flags & NBE_BARRIER) == 0)
		return true;
	return d->begun == (r->begun ? 1 : 0);
}

/* What is next in the queue; while the device holds, that is only its own flush. */
static struct nbe_req *
head(struct nbe_dev *d)
{
	if (!d->holding)
		return d->queue.head;
	return d->own_flush.state == REQ_QUEUED ? &d->own_flush : NULL;
}

static void
begin(struct nbe_dev *d, struct nbe_req *r)
{
	if (r->begun)
		return;
	r->begun = true;
	d->begun++;
	if ((r->flags & NBE_BARRIER) != 0)
		d->barrier = r;
}

static struct nbe_req *
next_request(struct nbe_dev *d)
{
	struct nbe_req *r;

	while ((r = head(d)) != NULL && barrier_allows(d, r)) {
		if (!fence_blocks(d, r))
			return r;
		begin(d, r);		/* a later barrier waits for it */
		d->st.fenced++;
		req_unlink(d, r);
		r->state = REQ_FENCED;
		reqs_append(&d->fenced, r);
	}
	return NULL;
}

static uint16_t
command_flags(const struct nbe_dev *d, const struct nbe_req *r)
{
	uint16_t flags = 0;

	if ((r->flags & NBE_FUA) != 0 && nbe_op_info[r->op].modifies &&
	    (d->exp.flags & NBE_FLAG_SEND_FUA) != 0)
		flags |= CMD_FLAG_FUA;
	if (r->op == NBE_ZERO && (r->flags & NBE_NO_HOLE) != 0)
		flags |= CMD_FLAG_NO_HOLE;
	if (r->op == NBE_ZERO && (r->flags & NBE_FAST_ZERO) != 0 &&
	    (d->exp.flags & NBE_FLAG_SEND_FAST_ZERO) != 0)
		flags |= CMD_FLAG_FAST_ZERO;
	return flags;
}

static uint64_t
part_length(const struct nbe_dev *d, const struct nbe_req *r)
{
	uint64_t len = r->length - r->planned;
	uint64_t max = has_payload(r->op) ? d->data_max :
	    r->op == NBE_EXTENTS ? d->effect_max : d->effect_now;

	if (r->part_max != 0 && r->part_max < max)
		max = r->part_max;
	return len < max ? len : max;
}

/* The next part of the request at the head of the queue. */
static struct slot *
cut(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	struct slot *s = slot_new(d, r, r->flushing ? NBE_FLUSH : r->op);
	bool last = true;

	if (s == NULL)
		return NULL;
	begin(d, r);
	r->cleared = true;
	s->off = s->len = s->pos = 0;
	s->flags = 0;
	if (s->op == NBE_FLUSH) {
		s->ack = d->un.acked;
	} else {
		s->len = part_length(d, r);
		s->off = r->offset + r->planned;
		s->pos = r->planned;
		s->flags = command_flags(d, r);
		r->planned += s->len;
		/* The caller of EXTENTS asks again from where the answer ends. */
		last = r->planned == r->length || r->op == NBE_EXTENTS;
	}
	d->st.last_started = now;
	if (last)
		req_unlink(d, r);
	return s;
}

/* The oldest part that may be sent again now; NULL: none. */
static struct slot *
next_retry(const struct nbe_dev *d)
{
	uint16_t i;

	for (i = d->retry.head; i != NO_SLOT; i = d->slot[i].next)
		if (!fence_blocks_retry(d, &d->slot[i]))
			return &d->slot[i];
	return NULL;
}

/* A read of one block into nowhere: what counts is that it is answered. */
static struct slot *
probe(struct nbe_dev *d)
{
	struct slot *s = slot_new(d, NULL, NBE_READ);

	if (s == NULL)
		return NULL;
	s->off = s->pos = 0;
	s->len = d->exp.block_min;
	s->flags = 0;
	return s;
}

static struct slot *
next_command(struct nbe_dev *d, nbe_time now)
{
	struct nbe_req *r;
	struct slot *s;

	if (d->un.replaying) {
		s = unflushed_next(d);
		if (s != NULL || d->un.replaying)
			return s;
	}
	if (!list_empty(&d->retry)) {
		if ((s = next_retry(d)) == NULL)
			return NULL;	/* newer ones would take its slots */
		list_remove(d, &d->retry, s);
		d->retry_count--;
		d->st.retries++;
		if (s->op == NBE_FLUSH)
			s->ack = d->un.acked;
		return s;
	}
	r = next_request(d);
	return r == NULL ? NULL : cut(d, r, now);
}

/* The next command for any connection; NULL: none for now. */
struct slot *
schedule_next(struct nbe_dev *d, nbe_time now)
{
	struct slot *s = next_command(d, now);

	return s == NULL && fence_wants_proof(d) ? probe(d) : s;
}

/* Could schedule_next have something?  It may say yes too often, never no. */
bool
schedule_pending(struct nbe_dev *d)
{
	struct nbe_req *r;

	if (fence_wants_proof(d))
		return true;
	if (d->un.replaying)
		return unflushed_pending(d);
	if (!list_empty(&d->retry))
		return next_retry(d) != NULL;
	r = head(d);
	return r != NULL && !list_empty(&d->spare) && barrier_allows(d, r);
}

/* How many commands one connection may have in flight, so that all connections
 * get about as much to do. */
uint32_t
schedule_share(const struct nbe_dev *d)
{
	uint32_t work = d->in_flight + d->retry_count + d->queue_count;

	if (d->un.replaying || d->usable <= 1 || d->cfg.depth <= work / d->usable)
		return d->cfg.depth;
	return (work + d->usable - 1) / d->usable;
}
