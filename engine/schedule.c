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

static bool
compares(const struct nbe_req *r)
{
	return (r->flags & NBE_COMPARE) != 0;
}

/* May r go, as far as barriers are concerned? */
static bool
barrier_allows(const struct nbe_dev *d, const struct nbe_req *r)
{
	if (d->barrier != NULL)
		return r == d->barrier || r == &d->own_flush || compares(r);
	if ((r->flags & NBE_BARRIER) == 0)
		return true;
	return d->begun == (r->begun ? 1 : 0);
}

/* What is next in the queue; while the device holds, that is only its own flush, or
 * what is to be compared. */
static struct nbe_req *
head(struct nbe_dev *d)
{
	struct nbe_req *r = d->queue.head;

	if (d->hold == HOLD_NOT)
		return r;
	if (d->hold == HOLD_COMPARE) {
		while (r != NULL && !compares(r))
			r = r->next;
		return r;
	}
	return d->own_flush.state == REQ_QUEUED && !d->un.replaying ?
	    &d->own_flush : NULL;
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

/* Requests move during a replay only while that waits for a path, or for what a device
 * before this one has left, to be fenced. */
static bool
awaits_replay(const struct nbe_dev *d, const struct nbe_req *r)
{
	return d->un.replaying && !compares(r) && unflushed_awaits(d,
	    r->flushing ? NBE_FLUSH : r->op, r->offset, r->length);
}

static struct nbe_req *
next_request(struct nbe_dev *d)
{
	struct nbe_req *r;

	while ((r = head(d)) != NULL && barrier_allows(d, r)) {
		if (!fence_blocks(d, r) && !awaits_replay(d, r))
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

	for (i = d->retry.head; i != NO_SLOT; i = d->slot[i].next) {
		const struct slot *s = &d->slot[i];

		if (!fence_blocks_retry(d, s) && !(d->un.replaying &&
		    unflushed_awaits(d, s->op, s->off, s->len)))
			return &d->slot[i];
	}
	return NULL;
}

static struct slot *
again(struct nbe_dev *d, struct slot *s)
{
	list_remove(d, &d->retry, s);
	d->retry_count--;
	d->st.retries++;
	if (s->op == NBE_FLUSH)
		s->ack = d->un.acked;
	return s;
}

/*
 * What waits for a path to be fenced, replays and lost parts, keeps its slots: others
 * go meanwhile, but take no more than those that are left.
 */
static bool
room_beside(const struct nbe_dev *d)
{
	return d->in_flight + d->retry_count <
	    (uint32_t)d->cfg.conns_max * d->cfg.depth;
}

/* May requests go though old ones wait?  For a fence, these may wait long. */
static bool
goes_beside(const struct nbe_dev *d)
{
	return d->cfg.paths > 1 || d->un.replaying;
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

/* Is there something to be sent before all requests? */
static inline bool
old_ones(const struct nbe_dev *d)
{
	return (d->un.replaying || !list_empty(&d->retry)) && d->hold < HOLD_ALL;
}

/* Of these the next one, or NULL: none for now.  False: the queue has its turn. */
static bool
next_old(struct nbe_dev *d, struct slot **s)
{
	if (d->un.replaying && ((*s = unflushed_next(d)) != NULL ||
	    (d->un.replaying && !fence_holds_replay(d))))
		return true;
	if ((*s = next_retry(d)) != NULL) {
		*s = again(d, *s);
		return true;
	}
	if (!old_ones(d))
		return false;
	/* newer ones would take its slots */
	return !goes_beside(d) || !room_beside(d);
}

static struct slot *
next_command(struct nbe_dev *d, nbe_time now)
{
	struct nbe_req *r;
	struct slot *s;

	if (old_ones(d) && next_old(d, &s))
		return s;
	r = next_request(d);
	return r == NULL ? NULL : cut(d, r, now);
}

static bool
wants_proof(const struct nbe_dev *d)
{
	return fence_wants_proof(d) && d->hold != HOLD_COMPARE;
}

/* The next command for any connection; NULL: none for now. */
struct slot *
schedule_next(struct nbe_dev *d, nbe_time now)
{
	struct slot *s = next_command(d, now);

	return s == NULL && wants_proof(d) ? probe(d) : s;
}

/* Could schedule_next have something?  It may say yes too often, never no. */
bool
schedule_pending(struct nbe_dev *d)
{
	struct nbe_req *r;

	if (wants_proof(d))
		return true;
	if (old_ones(d)) {
		if (d->un.replaying &&
		    (unflushed_pending(d) || !fence_holds_replay(d)))
			return unflushed_pending(d);
		if (next_retry(d) != NULL)
			return true;
		if (!goes_beside(d) || !room_beside(d))
			return false;
	}
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
