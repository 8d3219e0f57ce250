/*
 * fence.c - no old write lands on a new one.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A write whose connection was lost may still sit in the network, in the server's
 * socket, in the server, or behind it, and be executed later.  Sending it again does no
 * harm: the data is the same.  But a newer change of the same place waits
 *
 * (1) until the server is proven to answer again: to answer a command that was sent
 *     after the loss.  A server that sleeps holds old writes for as long as it sleeps,
 *     and none of that time counts;
 * (2) and from then on for the fence time, in which a server that is awake is to have
 *     carried out what it had.
 *
 * Where nothing else is sent that could be answered, the device sends a small read.  A
 * write that was aborted while the server had it is fenced until it is answered.
 *
 * Losses are rare and few, so this is an array.  When it is full, one fence grows
 * to cover the newcomer as well: more waiting than needed, never less.
 */
#include "device.h"

static struct fence *
of_slot(const struct nbe_dev *d, uint16_t slot)
{
	for (uint32_t i = 0; i < d->fence_count; i++)
		if (d->fence[i].slot == slot)
			return &d->fence[i];
	return NULL;
}

static void
widen(struct fence *f, const struct fence *by)
{
	if (by->off < f->off)
		f->off = by->off;
	if (by->end > f->end)
		f->end = by->end;
	if (by->until > f->until)
		f->until = by->until;
	if (by->ack < f->ack)
		f->ack = by->ack;
	f->moment = by->moment;		/* the later one */
	f->waits |= by->waits;
}

/*
 * Aborted commands have a fence each, at most one per slot; the room is twice the
 * slots, so there is always a lost one to widen.
 */
static void
put(struct nbe_dev *d, struct fence f)
{
	struct fence *wide = of_slot(d, NO_SLOT);

	if (f.slot == NO_SLOT && d->fence_count >= d->fence_room / 2 && wide != NULL) {
		d->fence_waits += !wide->waits;
		widen(wide, &f);
		return;
	}
	d->fence_waits += f.waits;
	NBE_ASSERT(d->fence_count < d->fence_room);
	d->fence[d->fence_count++] = f;
}

/* The request of the slot is given up, its command is not. */
void
fence_aborted(struct nbe_dev *d, const struct slot *s)
{
	put(d, (struct fence){
		.off = s->off, .end = s->off + s->len, .until = NBE_NEVER,
		.ack = NOT_REPLAYED, .slot = slot_index(d, s),
	});
}

static void
lift(struct nbe_dev *d, uint32_t i)
{
	d->fence[i] = d->fence[--d->fence_count];
}

/* Those that wait and need not any more go back to the front of the queue. */
static void
release(struct nbe_dev *d)
{
	struct nbe_req *r, *prev;

	for (r = d->fenced.tail; r != NULL; r = prev) {
		prev = r->prev;
		if (fence_blocks(d, r))
			continue;
		req_unlink(d, r);
		req_requeue(d, r);
	}
}

/* The command of an aborted request was answered: it will not land any more. */
void
fence_answered(struct nbe_dev *d, const struct slot *s)
{
	struct fence *f = of_slot(d, slot_index(d, s));

	if (f == NULL)
		return;
	lift(d, (uint32_t)(f - d->fence));
	release(d);
}

/* The connection of the slot is lost; its command may still land. */
void
fence_lost(struct nbe_dev *d, const struct slot *s)
{
	if (s->req == NULL)		/* aborted before, so it has a fence */
		fence_answered(d, s);
	if (d->cfg.fence == 0)
		return;
	put(d, (struct fence){
		.off = s->off, .end = s->off + s->len, .until = NBE_NEVER,
		.ack = s->req == &d->replay ? s->ack : NOT_REPLAYED, .slot = NO_SLOT,
		.moment = ++d->moment, .waits = true,
	});
}

/* A proven connection answered what was sent at that moment. */
void
fence_proven(struct nbe_dev *d, uint32_t moment, nbe_time now)
{
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		if (!f->waits || f->moment > moment)
			continue;
		f->waits = false;
		f->until = after(now, d->cfg.fence);
		d->fence_waits--;
	}
}

void
fence_expire(struct nbe_dev *d, nbe_time now)
{
	uint32_t i = 0, before = d->fence_count;

	while (i < d->fence_count)
		if (d->fence[i].until <= now)
			lift(d, i);
		else
			i++;
	if (d->fence_count != before)
		release(d);
}

static bool
overlaps(const struct fence *f, uint64_t off, uint64_t len)
{
	return off < f->end && f->off < off + len;
}

/* Is there a lost replay of a record before this acknowledgement? */
static bool
replay_is_lost(const struct nbe_dev *d, uint64_t ack, uint64_t off, uint64_t len)
{
	uint32_t i;

	for (i = 0; i < d->fence_count; i++)
		if (d->fence[i].ack < ack && overlaps(&d->fence[i], off, len))
			return true;
	return false;
}

/*
 * A request that has begun does not wait for lost copies of itself or of what was
 * under way with it.  But it is newer than all that was acknowledged, so when it goes
 * round again it waits for lost replays.
 */
bool
fence_blocks(const struct nbe_dev *d, const struct nbe_req *r)
{
	uint32_t i;

	if (!nbe_op_info[r->op].modifies)
		return false;
	if (r->cleared)
		return replay_is_lost(d, NOT_REPLAYED, r->offset, r->length);
	for (i = 0; i < d->fence_count; i++)
		if (overlaps(&d->fence[i], r->offset, r->length))
			return true;
	return false;
}

/* A replay waits for lost replays of older records only: what was lost before
 * the record was acknowledged had its fence then. */
bool
fence_blocks_record(const struct nbe_dev *d, const struct record *rec)
{
	return replay_is_lost(d, rec->ack, rec->off, rec->len);
}

/* A part that is sent again: as with its request. */
bool
fence_blocks_retry(const struct nbe_dev *d, const struct slot *s)
{
	return nbe_op_info[s->op].modifies &&
	    replay_is_lost(d, NOT_REPLAYED, s->off, s->len);
}

/* When the next fence falls that somebody waits for. */
nbe_time
fence_wake(const struct nbe_dev *d)
{
	nbe_time wake = NBE_NEVER;
	uint32_t i;

	if (d->fenced.head == NULL && d->retry_count == 0 && !d->un.replaying)
		return NBE_NEVER;
	for (i = 0; i < d->fence_count; i++)
		if (d->fence[i].until < wake)
			wake = d->fence[i].until;
	return wake;
}
