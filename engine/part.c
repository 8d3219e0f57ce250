/*
 * part.c - what becomes of a part: answered, lost, or no longer wanted.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The caller has taken the slot off its connection.
 */
#include "device.h"

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

/* What waits to be sent again need not be. */
void
part_drop_retries(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
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

/* Again, in smaller parts. */
static bool
shrink(struct nbe_dev *d, struct slot *s)
{
	if (slot_half(d, s) == 0)
		return false;
	s->req->part_max = slot_half(d, s);
	req_redo(d, s->req);
	return true;
}

static bool
too_long(struct nbe_dev *d, struct slot *s)
{
	if (!slot_too_long(d, s))
		return false;
	(void)slot_shrink(d, s);
	return shrink(d, s);
}

static void
flush_answered(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	unflushed_flushed(d, s);
	req_report_unkept(d, now);
	if (s->req->op != NBE_FLUSH || s->req == &d->own_flush)
		return;
	if (!unflushed_tells(d, s->req)) {
		unflushed_is_told(d);
		return;
	}
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
	} else if (s->error == NBE_ENOTSUP && (s->flags & CMD_FLAG_FAST_ZERO) != 0 &&
	    (r->flags & NBE_FAST_ONLY) == 0) {
		r->flags &= (uint8_t)~NBE_FAST_ZERO;
		req_redo(d, r);
	} else if (!too_long(d, s)) {
		req_fail(d, r, (enum nbe_err)s->error);
	}
	if (r->error != NBE_OK || r->redo)
		part_drop_retries(d, r, now);
}

/* The slot is off its connection's lists, and its bytes are sent. */
void
part_answered(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	if (s->req == NULL) {
		fence_answered(d, s);
		if (nbe_op_info[s->op].modifies)
			unflushed_stray(d);
	} else if (s->error == NBE_ESHUTDOWN) {	/* not done here: elsewhere */
		if (d->cfg.paths > 1)
			s->sent = false;	/* nor will it be */
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
	if ((r->flags & NBE_COMPARE) != 0)	/* another server may be next */
		return NBE_EIO;
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
		fence_lost(d, s);
	s->sent = false;
	if (r == &d->replay && unflushed_part_lost(d, s, now))
		return;
	if (r == NULL || r == &d->replay || r->error != NBE_OK || r->redo) {
		part_drop(d, s, now);
		return;
	}
	if ((error = give_up(d, r, now)) != NBE_OK) {
		req_fail(d, r, error);
		part_drop_retries(d, r, now);
		part_drop(d, s, now);
		return;
	}
	if (r->retry_until == 0)
		r->retry_until = after(now, d->cfg.dead_timeout);
	if (effect_timed_out(d, s)) {
		effect_less(d, s);
		req_redo(d, r);
		part_drop_retries(d, r, now);
		part_drop(d, s, now);
		return;
	}
	list_insert_by_age(d, &d->retry, s);
	d->retry_count++;
}
