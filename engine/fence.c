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
 * What comes on the lost connection, when the front has kept that, tells of a server
 * that is at it: the time of (2) begins anew.
 *
 * Where nothing else is sent that could be answered, the device sends a small read.  A
 * write that was aborted while the server had it is fenced until it is answered.
 *
 * What a path had that the device has left for another one: see fence_left.
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

/* Of what was lost on that path. */
static struct fence *
lost_on(const struct nbe_dev *d, uint8_t path)
{
	for (uint32_t i = 0; i < d->fence_count; i++)
		if (d->fence[i].slot == NO_SLOT && d->fence[i].path == path &&
		    !d->fence[i].cached)
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
 * Aborted commands have a fence each, at most one per slot.  The room is twice the
 * slots, and one for each path and what is cached there, so when one half is full there
 * is a lost one of that path to widen, or room for it.
 */
static void
put(struct nbe_dev *d, struct fence f)
{
	struct fence *wide = NULL;

	if (f.slot == NO_SLOT && !f.cached && d->fence_count >= d->slots)
		wide = lost_on(d, f.path);
	if (wide != NULL) {
		d->fence_waits += f.waits && !wide->waits;
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
	d->fence_waits -= d->fence[i].waits;
	d->fence[i] = d->fence[--d->fence_count];
}

/* Those that wait and need not any more go back to the front of the queue. */
void
fence_release(struct nbe_dev *d)
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
	fence_release(d);
}

static bool
no_fences(const struct nbe_dev *d)
{
	return d->cfg.fence == 0 && d->cfg.fence_by != NBE_FENCE_COMMAND;
}

/* The connection of the slot is lost; its command may still land. */
void
fence_lost(struct nbe_dev *d, const struct slot *s)
{
	if (s->req == NULL)		/* aborted before, so it has a fence */
		fence_answered(d, s);
	if (no_fences(d))
		return;
	put(d, (struct fence){
		.off = s->off, .end = s->off + s->len, .until = NBE_NEVER,
		.ack = s->req == &d->replay ? s->ack : NOT_REPLAYED, .slot = NO_SLOT,
		.moment = ++d->moment, .waits = true, .path = d->mp.at,
	});
}

/* A proven connection answered what was sent at that moment. */
void
fence_proven(struct nbe_dev *d, uint32_t moment, nbe_time now)
{
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		/* of another path, by command: it does not wait for this one */
		if (!f->waits || f->moment > moment)
			continue;
		f->waits = false;
		f->until = after(now, d->cfg.fence);
		d->fence_waits--;
	}
}

/* What was lost on that path is being worked on. */
void
fence_stirred(struct nbe_dev *d, uint8_t path, nbe_time now)
{
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		if (f->path == path && f->until != NBE_NEVER)
			f->until = after(now, d->cfg.fence);
	}
}

/* By the store, and no change was done on this path yet: back on the other one, it
 * would still have what it had. */
static bool
not_shut_out(const struct nbe_dev *d, const struct fence *f)
{
	return d->cfg.fence_by == NBE_FENCE_STORE && d->grace != 0 &&
	    f->path != d->mp.home;
}

/* True: the path that is or was active last may have done something of it just now, so
 * it is in its cache. */
bool
fence_expire(struct nbe_dev *d, nbe_time now)
{
	uint32_t i = 0, before = d->fence_count;
	bool cached = false;

	while (i < d->fence_count)
		if (d->fence[i].until > now) {
			i++;
		} else if (not_shut_out(d, &d->fence[i])) {
			d->fence[i].until = NBE_NEVER;
			d->fence[i++].dormant = true;
			before = UINT32_MAX;
		} else {
			cached |= d->fence[i].path == d->mp.home;
			lift(d, i);
		}
	if (d->fence_count != before)
		fence_release(d);
	return cached;
}

static bool
overlaps(const struct fence *f, uint64_t off, uint64_t len)
{
	return off < f->end && f->off < off + len && !f->dormant;
}

/* Is there a lost replay of a record before this acknowledgement, or what another path
 * may have in its cache? */
static bool
old_data(const struct nbe_dev *d, uint64_t ack, uint64_t off, uint64_t len)
{
	uint32_t i;

	for (i = 0; i < d->fence_count; i++)
		if ((d->fence[i].ack < ack || d->fence[i].cached) &&
		    overlaps(&d->fence[i], off, len))
			return true;
	return false;
}

/*
 * A request that has begun does not wait for lost copies of itself or of what was
 * under way with it.  But it is newer than all that was acknowledged, so when it goes
 * round again it waits for lost replays, and for what another path may write late.
 */
bool
fence_blocks(const struct nbe_dev *d, const struct nbe_req *r)
{
	uint32_t i;

	if (!nbe_op_info[r->op].modifies)
		return false;
	if (r->cleared)
		return old_data(d, NOT_REPLAYED, r->offset, r->length);
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
	return old_data(d, rec->ack, rec->off, rec->len);
}

/* Do all replays wait, for what is older and may be anywhere? */
bool
fence_holds_replay(const struct nbe_dev *d)
{
	for (uint32_t i = 0; i < d->fence_count; i++)
		if ((d->fence[i].cached || d->fence[i].past) && !d->fence[i].dormant)
			return true;
	return false;
}

/* A part that is sent again: as with its request. */
bool
fence_blocks_retry(const struct nbe_dev *d, const struct slot *s)
{
	return nbe_op_info[s->op].modifies &&
	    old_data(d, NOT_REPLAYED, s->off, s->len);
}

/* When the next fence falls that somebody waits for. */
nbe_time
fence_wake(const struct nbe_dev *d)
{
	nbe_time wake = NBE_NEVER;
	uint32_t i;

	if (d->fenced.head == NULL && d->retry_count == 0 && !d->un.replaying &&
	    d->mp.target == NO_PATH)
		return NBE_NEVER;
	for (i = 0; i < d->fence_count; i++)
		if (d->fence[i].until < wake)
			wake = d->fence[i].until;
	return wake;
}

/* ---- other paths --------------------------------------------------------------- */

static void
lift_of_path(struct nbe_dev *d, uint8_t path, bool lost)
{
	uint32_t i = 0;

	while (i < d->fence_count) {
		const struct fence *f = &d->fence[i];

		if (f->slot == NO_SLOT && f->path == path && (lost || f->cached))
			lift(d, i);
		else
			i++;
	}
	fence_release(d);
}

/* Of lost commands: wait for an answer of the path that is active, or for the front. */
static void
wait_for_answer(struct nbe_dev *d, uint8_t path, bool waits)
{
	waits &= !d->mp.path[path].underway;
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		if (f->slot != NO_SLOT || f->path != path)
			continue;
		d->fence_waits += (uint32_t)waits - f->waits;
		f->waits = waits;
		f->moment = ++d->moment;
		f->until = NBE_NEVER;
	}
}

static void
sleep_until_changed(struct nbe_dev *d, uint8_t path)
{
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		if (f->slot == NO_SLOT && f->path == path)
			f->dormant = true;
	}
	wait_for_answer(d, path, false);
	fence_release(d);
}

/* The first change on a path was answered: those before it are shut out. */
void
fence_store_changed(struct nbe_dev *d)
{
	uint32_t i = 0;

	set_grace(d, 0);
	while (i < d->fence_count)
		if (d->fence[i].dormant)
			lift(d, i);
		else
			i++;
}

/*
 * Another path has taken the place of this one, which was lost with what it was sent
 * and what it has cached.  An answer of the new one proves nothing about it.
 *
 *  CACHED_RECORDS	is known place by place: all of it is to be replayed, and waits
 *			for this fence, though it covers no place; and others wait for
 *			the replay.
 *  CACHED_ANYTHING	can be at any place.
 *
 * By the store: the path had changed the disk, so the first change on another one shuts
 * it out, and nothing waits.  A path that had not may still be waiting for its turn at
 * the store: that is left to time.
 */
void
fence_left(struct nbe_dev *d, uint8_t path, enum cached cached)
{
	bool by_time = d->cfg.fence_by == NBE_FENCE_TIME;

	if (d->cfg.fence_by == NBE_FENCE_STORE) {
		if (d->grace == 0)
			sleep_until_changed(d, path);
		return;
	}
	/* what was done of it late is in a cache now: its time begins anew */
	wait_for_answer(d, path, by_time);
	if (cached == CACHED_NOTHING || no_fences(d))
		return;
	put(d, (struct fence){
		.off = 0, .end = cached == CACHED_ANYTHING ? UINT64_MAX : 0,
		.until = NBE_NEVER, .ack = NOT_REPLAYED, .slot = NO_SLOT,
		.moment = ++d->moment, .waits = by_time, .path = path, .cached = true,
	});
}

/* A change that is not done yet: of parts that the path has answered it may have a
 * piece in its cache. */
void
fence_begun(struct nbe_dev *d, const struct nbe_req *r, uint8_t path)
{
	if (!r->cleared || !nbe_op_info[r->op].modifies || no_fences(d) ||
	    d->cfg.fence_by == NBE_FENCE_STORE)
		return;
	put(d, (struct fence){
		.off = r->offset, .end = r->offset + r->length, .until = NBE_NEVER,
		.ack = NOT_REPLAYED, .slot = NO_SLOT, .moment = ++d->moment,
		.waits = d->cfg.fence_by == NBE_FENCE_TIME, .path = path,
	});
}

/* What the path had it will never write. */
void
fence_ended(struct nbe_dev *d, uint8_t path)
{
	lift_of_path(d, path, true);
}

/* What was lost there begins to be on its way, or is that no more. */
void
fence_underway(struct nbe_dev *d, uint8_t path)
{
	wait_for_answer(d, path, path == d->mp.home ||
	    d->cfg.fence_by != NBE_FENCE_COMMAND);
}

/* The path is active again: its cache is in order with what it gets from now on, and
 * its own answer tells when it has what was lost. */
void
fence_back(struct nbe_dev *d, uint8_t path)
{
	lift_of_path(d, path, false);
	for (uint32_t i = 0; i < d->fence_count; i++) {
		struct fence *f = &d->fence[i];

		if (f->path != path || !f->dormant)
			continue;
		f->dormant = false;
		f->ack = 0;		/* also for what has begun meanwhile */
	}
	wait_for_answer(d, path, true);
}

/*
 * What a device before this one has left on that path: anywhere, and older than all
 * that this one does.  By the store: the path may be one that has not changed the disk
 * yet, so that is left to time.
 */
void
fence_inherit(struct nbe_dev *d, uint8_t path)
{
	if (no_fences(d))
		return;
	put(d, (struct fence){
		.off = 0, .end = UINT64_MAX, .until = NBE_NEVER, .slot = NO_SLOT,
		.moment = ++d->moment, .path = path, .past = true,
		.waits = path == d->mp.home || d->cfg.fence_by != NBE_FENCE_COMMAND,
	});
}

/* May it still write what it was sent when it was active? */
bool
fence_of_path(const struct nbe_dev *d, uint8_t path)
{
	for (uint32_t i = 0; i < d->fence_count; i++)
		if (d->fence[i].slot == NO_SLOT && d->fence[i].path == path &&
		    !d->fence[i].dormant)
			return true;
	return false;
}

/* Would it, were it active again?  By the store, what sleeps until another path has
 * changed the disk counts, too. */
bool
fence_sleeps(const struct nbe_dev *d, uint8_t path)
{
	for (uint32_t i = 0; i < d->fence_count; i++)
		if (d->fence[i].dormant && d->fence[i].path == path)
			return true;
	return false;
}
