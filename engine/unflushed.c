/*
 * unflushed.c - writes that were acknowledged and that no flush has covered.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Acknowledgements are counted; a flush covers those that came before it was
 * sent (proto.md, "Ordering of messages and writes").  When the server may have
 * restarted while some are not covered, policy decides:
 *
 *  FAIL	the next flush fails, as fsync does, and with it all that were under
 *		way by then; after that it is forgotten.
 *  REPLAY	every change is recorded, its data kept by the front, in the order
 *		of acknowledgement.  A flush drops what it covers; when the room is
 *		half full the device flushes by itself.  After a restart all
 *		records are written again, before anything else moves.  Records
 *		that overlap go one after the other, in waves.  A write that was
 *		made durable (FUA) needs no record of its own, but older ones must
 *		not be written over it: it is recorded, without its data, while
 *		there are any.  The records can outlive the device: records.c.
 *  IGNORE	nothing.
 */
#include "device.h"

#define FIRST_ACK	1u

static bool
keeps(const struct nbe_dev *d)
{
	return d->cfg.unflushed == NBE_UNFLUSHED_REPLAY &&
	    (d->exp.flags & NBE_FLAG_SEND_FLUSH) != 0;
}

static bool
no_records(const struct nbe_dev *d)
{
	return d->un.records->first == d->un.records->last;
}

static void
replay_from_start(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;
	struct slot *s;

	while ((s = list_take(d, &un->retry)) != NULL) {
		slot_free(d, s);
		d->replay.parts--;
	}
	un->replay_next = un->replay_wave = un->records->first;
	un->replay_end = un->records->last;
	un->replay_done = 0;
	un->replay_parts = 0;
	un->replaying = !no_records(d);
}

/* Records that another device has left go first, under new numbers. */
static void
adopt(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;
	uint64_t i;

	un->keep_head = un->keep_tail = records_head(d);
	for (i = un->records->first; i != un->records->last; i++) {
		struct record *rec = record_at(d, i);

		un->keep_tail = rec->keep_end;
		un->durable += rec->durable;
		rec->ack = un->acked++;
	}
	replay_from_start(d);
}

void
unflushed_init(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;

	list_init(&un->retry);
	un->acked = un->flushed = un->past = FIRST_ACK;	/* 0 is before all */
	d->replay.op = NBE_WRITE;
	d->replay.state = REQ_IDLE;	/* it is never done */
	un->taken = keeps(d) && d->cfg.inherit && records_take(d);
	if (!un->taken) {
		records_begin(d);
		return;
	}
	adopt(d);
	un->past = un->acked;
}

/* Of a device before this one something is acknowledged and not flushed, perhaps, and
 * of what it had under way the server may have a piece. */
void
unflushed_inherit(struct nbe_dev *d)
{
	if ((d->exp.flags & NBE_FLAG_SEND_FLUSH) == 0)
		return;
	if (d->cfg.inherit && !d->un.taken) {
		d->un.past = ++d->un.acked;
		d->un.inherited = true;
	}
	if (d->cfg.old_paths != 0)
		unflushed_stray(d);
}

bool
nbe_inherited(const struct nbe_dev *d)
{
	return d->un.taken && d->un.records->lost == 0;
}

bool
unflushed_dirty(const struct nbe_dev *d)
{
	return d->un.acked != d->un.flushed;
}

/* At the end: but what is to be reported as lost waits for no server that is away. */
bool
unflushed_worth_flushing(const struct nbe_dev *d)
{
	return unflushed_dirty(d) && (d->up != 0 || !d->un.lost);
}

/* Room for len bytes in one piece: where; NBE_NO_KEEP: not now. */
static uint64_t
keep_place(const struct nbe_dev *d, uint64_t len, uint64_t *end)
{
	const struct unflushed *un = &d->un;
	uint64_t size = d->cfg.keep_size, at = un->keep_tail % size;
	uint64_t start = un->keep_tail;

	if (len > size - at) {		/* not in two pieces: from the beginning */
		start += size - at;
		at = 0;
	}
	if (len > size || start + len - un->keep_head > size)
		return NBE_NO_KEEP;
	*end = start + len;
	return at;
}

static bool
half_full(const struct nbe_dev *d)
{
	const struct unflushed *un = &d->un;

	return un->records->last - un->records->first >= d->cfg.keep_records / 2 ||
	    un->keep_tail - un->keep_head >= d->cfg.keep_size / 2;
}

static bool
is_durable(const struct nbe_req *r)
{
	return (r->flags & NBE_FUA) != 0;
}

static bool
record(struct nbe_dev *d, struct nbe_req *r)
{
	struct unflushed *un = &d->un;
	struct records *all = un->records;
	uint64_t at = NBE_NO_KEEP, end = un->keep_tail;

	if (all->last - all->first == d->cfg.keep_records)
		return false;
	if (d->unkept.head != NULL && d->unkept.head != r)
		return false;		/* it was here first */
	if (r->op == NBE_WRITE && !is_durable(r) &&
	    (at = keep_place(d, r->length, &end)) == NBE_NO_KEEP)
		return false;
	un->keep_tail = end;
	r->keep = at;
	r->record = all->last;
	NBE_IN_ORDER();			/* what had its place is gone */
	*record_at(d, all->last) = (struct record){
		.off = r->offset, .len = r->length, .keep = at, .keep_end = end,
		.ack = un->acked, .op = r->op,
		.flags = r->flags & NBE_NO_HOLE, .durable = is_durable(r),
	};
	NBE_IN_ORDER();
	all->last++;
	un->durable += is_durable(r);
	return true;
}

/* The server acknowledged a change. */
enum ack
unflushed_ack(struct nbe_dev *d, struct nbe_req *r)
{
	if ((d->exp.flags & NBE_FLAG_SEND_FLUSH) == 0)
		return ACK_DONE;	/* such a server promises nothing */
	if (is_durable(r) && (!keeps(d) || no_records(d)))
		return ACK_DONE;
	if (!keeps(d)) {
		d->un.acked++;
		return ACK_DONE;
	}
	if (!record(d, r))
		return ACK_UNKEPT;
	d->un.acked++;
	return half_full(d) ? ACK_FLUSH : ACK_DONE;
}

/* It is gone from the done list, perhaps, after a flush that covers it was answered. */
void
nbe_kept(struct nbe_dev *d, const struct nbe_req *r)
{
	if (r->record == NBE_NO_KEEP || r->record < d->un.records->first)
		return;
	NBE_IN_ORDER();			/* the data is there */
	record_at(d, r->record)->kept = true;
	NBE_IN_ORDER();
}

/* What was acknowledged before that number is safe. */
static void
covered(struct nbe_dev *d, uint64_t covers)
{
	struct unflushed *un = &d->un;
	struct records *all = un->records;

	if (covers > un->flushed)
		un->flushed = covers;
	while (!no_records(d) && record_at(d, all->first)->ack < covers) {
		un->durable -= record_at(d, all->first)->durable;
		un->keep_head = record_at(d, all->first)->keep_end;
		all->first++;
	}
	if (no_records(d))
		un->keep_head = un->keep_tail = 0;
	un->inherited = un->inherited && covers <= FIRST_ACK;
}

/* A flush was answered: it covers what was acknowledged before it was sent. */
void
unflushed_flushed(struct nbe_dev *d, const struct slot *s)
{
	struct unflushed *un = &d->un;

	if (un->stray && s->moment >= un->stray_moment)
		un->stray = false;
	covered(d, s->ack);
}

/* A change failed, was aborted, or was lost and may have been done late: the server may
 * have some of it in its cache.  Another path must know. */
void
unflushed_stray(struct nbe_dev *d)
{
	if (d->cfg.paths < 2 || (d->exp.flags & NBE_FLAG_SEND_FLUSH) == 0)
		return;
	d->un.stray = true;
	d->un.stray_moment = ++d->moment;
}

enum cached
unflushed_cached(const struct nbe_dev *d)
{
	if (d->un.stray || (unflushed_dirty(d) && !keeps(d)))
		return CACHED_ANYTHING;
	return unflushed_dirty(d) ? CACHED_RECORDS : CACHED_NOTHING;
}

/* Does a flush, answered by the server, have to fail for what was lost? */
bool
unflushed_tells(const struct nbe_dev *d, const struct nbe_req *r)
{
	return d->un.lost || d->un.telling || r->number <= d->un.lost_told;
}

static void
lose(struct nbe_dev *d)
{
	d->un.lost = true;
	d->un.records->lost = true;
	NBE_IN_ORDER();
}

/* A flush succeeds: who submitted it had heard of all that was lost before. */
void
unflushed_is_told(struct nbe_dev *d)
{
	NBE_IN_ORDER();			/* it covers what was given up */
	d->un.records->lost = false;
}

/* A failed flush is done: the loss will be told. */
void
unflushed_told(struct nbe_dev *d)
{
	d->un.telling |= d->un.lost;
	d->un.lost = false;
}

/*
 * What is done goes to the front.  Only now is the loss told, and every flush that is
 * under way by now would otherwise have promised what is gone.
 */
void
unflushed_handed_over(struct nbe_dev *d)
{
	if (d->un.telling)
		d->un.lost_told = d->st.received;
	d->un.telling = false;
}

/* No connection is up, and the server behind the next one may have forgotten. */
void
unflushed_restarted(struct nbe_dev *d)
{
	bool forgotten = d->un.inherited;	/* there are no records of that */

	if (keeps(d))
		replay_from_start(d);
	else
		forgotten = unflushed_dirty(d);
	/* Still not flushed: the server may as well have kept it. */
	if (forgotten && d->cfg.unflushed != NBE_UNFLUSHED_IGNORE)
		lose(d);
}

#define WAVE_MAX	256	/* bounds the search for overlaps */

static bool
overlaps(const struct record *a, const struct record *b)
{
	return a->off < b->off + b->len && b->off < a->off + a->len;
}

/* The next record must wait for an older one, in flight or lost on the way. */
static bool
must_wait(const struct nbe_dev *d)
{
	const struct unflushed *un = &d->un;
	uint64_t i;

	if (fence_holds_replay(d))
		return true;
	if (un->replay_done != 0)
		return false;
	if (fence_blocks_record(d, record_at(d, un->replay_next)))
		return true;
	if (un->replay_parts == 0)
		return false;
	if (un->replay_next - un->replay_wave >= WAVE_MAX)
		return true;
	for (i = un->replay_wave; i != un->replay_next; i++)
		if (overlaps(record_at(d, i), record_at(d, un->replay_next)))
			return true;
	return false;
}

static bool
more_records(const struct nbe_dev *d)
{
	return d->un.replay_next != d->un.replay_end;
}

static void
end_replay(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;

	if (un->replay_parts != 0 || more_records(d))
		return;
	un->replaying = false;
	un->replay_until = 0;
}

/* Each acknowledgement is recorded, so their numbers count up with the records. */
static struct record *
record_of(const struct nbe_dev *d, const struct slot *s)
{
	uint64_t first = d->un.records->first;

	return record_at(d, first + (s->ack - record_at(d, first)->ack));
}

bool
unflushed_pending(const struct nbe_dev *d)
{
	return !list_empty(&d->un.retry) || (more_records(d) && !must_wait(d));
}

/* Is it a flush, or does it touch what is to be replayed?  Before that it would see, or
 * promise, something else. */
bool
unflushed_awaits(const struct nbe_dev *d, uint8_t op, uint64_t off, uint64_t len)
{
	uint64_t i;

	if (op == NBE_FLUSH)
		return true;
	for (i = d->un.records->first; i != d->un.replay_end; i++) {
		const struct record *rec = record_at(d, i);

		if (off < rec->off + rec->len && rec->off < off + len)
			return true;
	}
	return false;
}

/*
 * What of the record that is next, from its first byte not looked at yet, is to be
 * written again: nothing that lies below a later, durable one.
 */
static void
next_stretch(const struct nbe_dev *d, uint64_t *off, uint64_t *end)
{
	const struct unflushed *un = &d->un;
	const struct record *rec = record_at(d, un->replay_next), *over;
	uint64_t i;

	*off = rec->off + un->replay_done;
	*end = rec->off + rec->len;
	if (rec->durable || rec->given_up)
		*off = *end;
	for (i = un->replay_next + 1; un->durable != 0 && i < un->records->last; i++) {
		over = record_at(d, i);
		if (!over->durable || over->given_up || over->off >= *end ||
		    over->off + over->len <= *off)
			continue;
		if (over->off > *off) {
			*end = over->off;
		} else {
			*off = over->off + over->len;
			*end = rec->off + rec->len;
			i = un->replay_next;	/* what begins there, all over */
		}
		if (*off >= *end)
			break;
	}
}

/* The next part of the record that is next, if it has one. */
static struct slot *
cut_record(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;
	const struct record *rec = record_at(d, un->replay_next);
	uint64_t max = has_payload(rec->op) ? d->data_max : d->effect_now;
	uint64_t off, end;
	struct slot *s = NULL;

	next_stretch(d, &off, &end);
	if (off < end && (s = slot_new(d, &d->replay, rec->op)) == NULL)
		return NULL;
	if (s != NULL) {
		s->off = off;
		s->len = end - off < max ? end - off : max;
		s->pos = rec->keep + (off - rec->off);
		s->rest = 0;
		s->ack = rec->ack;
		s->flags = (rec->flags & NBE_NO_HOLE) != 0 ? CMD_FLAG_NO_HOLE : 0;
		un->replay_parts++;
		off += s->len;
	}
	un->replay_done = off - rec->off;
	if (un->replay_done >= rec->len) {
		un->replay_done = 0;
		un->replay_next++;
		d->st.replayed += !rec->durable && !rec->given_up;
	}
	return s;
}

/* The next part to be written again; NULL: none for now. */
struct slot *
unflushed_next(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;
	struct slot *s = list_take(d, &un->retry);

	while (s == NULL && more_records(d) && !must_wait(d) &&
	    !list_empty(&d->spare)) {
		if (un->replay_parts == 0)
			un->replay_wave = un->replay_next;
		s = cut_record(d);
	}
	end_replay(d);
	return s;
}

/*
 * An answered part of which more is to be written: the server takes less at once
 * than before, so the rest goes piece by piece, in the same slot, for there may be
 * no other.
 */
bool
unflushed_part_goes_on(struct nbe_dev *d, struct slot *s)
{
	uint64_t len = s->len;

	if (slot_too_long(d, s)) {
		s->len = slot_shrink(d, s);
		s->rest += len - s->len;
	} else if (s->error == NBE_OK && s->rest != 0) {
		s->off += len;
		s->len = s->rest < d->effect_now ? s->rest : d->effect_now;
		s->rest -= s->len;
	} else {
		return false;
	}
	list_append(d, &d->un.retry, s);
	return true;
}

/* A server that refuses what it had taken before has lost it: the next flush
 * says so. */
void
unflushed_part_done(struct nbe_dev *d, enum nbe_err error)
{
	struct unflushed *un = &d->un;

	if (error != NBE_OK)
		lose(d);
	else
		fence_store_changed(d);
	un->replay_parts--;
	end_replay(d);
}

/*
 * To be written again; or false: a server that breaks at it each time has had the
 * dead-timeout.  Then it is lost, and the next flush says so.
 */
bool
unflushed_part_lost(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct unflushed *un = &d->un;

	if (un->replay_until == 0)
		un->replay_until = after(now, d->cfg.dead_timeout);
	if (now >= un->replay_until) {
		unflushed_part_done(d, NBE_ETIMEDOUT);
		record_of(d, s)->given_up = true;	/* it is lost by now */
		return false;
	}
	if (effect_timed_out(d, s)) {
		effect_less(d, s);
		s->rest += s->len - slot_half(d, s);
		s->len = slot_half(d, s);
	}
	list_append(d, &un->retry, s);
	return true;
}

/* What was to be replayed of another device need not be.  What is under way already
 * goes on, and does no harm. */
void
nbe_past_flushed(struct nbe_dev *d)
{
	struct unflushed *un = &d->un;

	if (un->replay_parts != 0 || un->replay_done != 0)
		return;
	covered(d, un->past);
	if (!un->taken && !un->lost && !un->telling && un->lost_told == 0)
		unflushed_is_told(d);
	if (un->replay_next < un->records->first)
		un->replay_next = un->replay_wave = un->records->first;
	end_replay(d);
	fence_release(d);
}
