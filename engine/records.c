/*
 * records.c - records of acknowledged changes that outlive their device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The device that finds them believes nothing: what is not as this engine leaves it,
 * at whatever instruction it ended, is no record of anything, and all is dropped.
 *
 * One that was not handed over to the front was not acknowledged: its request comes
 * again, and its data is not there.  It stays in its place as one that is given up, so
 * nothing has to be moved, and who does this may be killed at it, too.
 */
#include "device.h"

#define NUMBER_MAX	(UINT64_MAX / 2)	/* so that none comes to its end */

size_t
records_size(const struct nbe_dev_config *cfg)
{
	return sizeof(struct records) + (cfg->unflushed != NBE_UNFLUSHED_REPLAY ? 0 :
	    cfg->keep_records * sizeof(struct record));
}

/* Of those that there were nothing is known any more. */
void
records_begin(struct nbe_dev *d)
{
	struct records *all = d->un.records;

	all->layout = 0;
	NBE_IN_ORDER();
	all->record_size = sizeof(struct record);
	all->room = d->cfg.keep_records;
	all->keep_size = d->cfg.keep_size;
	all->first = all->last = 0;
	all->lost = d->cfg.inherit;
	NBE_IN_ORDER();
	all->layout = RECORDS_LAYOUT;
}

static bool
head_sound(const struct nbe_dev *d)
{
	const struct records *all = d->un.records;

	return all->layout == RECORDS_LAYOUT &&
	    all->record_size == sizeof(struct record) &&
	    all->room == d->cfg.keep_records && all->keep_size == d->cfg.keep_size &&
	    all->first <= all->last && all->last <= NUMBER_MAX &&
	    all->last - all->first <= all->room && all->lost <= 1;
}

/* A change that this device could make. */
static bool
change_sound(const struct nbe_dev *d, const struct record *rec)
{
	const struct nbe_export *e = &d->exp;

	if (rec->op >= NBE_OPS || !nbe_op_info[rec->op].modifies ||
	    (e->flags & nbe_op_info[rec->op].needs) != nbe_op_info[rec->op].needs)
		return false;
	return rec->len != 0 && rec->len <= e->size && rec->off <= e->size - rec->len &&
	    ((rec->off | rec->len) & (e->block_min - 1)) == 0;
}

/* tail: where the data of those before it ends. */
static bool
place_sound(const struct nbe_dev *d, const struct record *rec, uint64_t tail)
{
	uint64_t size = d->cfg.keep_size, start;

	if (rec->keep_end > NUMBER_MAX)
		return false;
	if (rec->op != NBE_WRITE || rec->durable)
		return rec->keep == NBE_NO_KEEP && rec->keep_end == tail;
	if (rec->len > size || rec->keep > size - rec->len || rec->keep_end < rec->len)
		return false;
	start = rec->keep_end - rec->len;
	return start >= tail && start % size == rec->keep;
}

/* What was given up, and acknowledged, is lost. */
static bool
state_sound(const struct nbe_dev *d, const struct record *rec)
{
	return (rec->flags & ~NBE_NO_HOLE) == 0 &&
	    (rec->kept | rec->durable | rec->given_up) <= 1 &&
	    (!rec->kept || !rec->given_up || d->un.records->lost);
}

static bool
all_sound(const struct nbe_dev *d)
{
	const struct records *all = d->un.records;
	uint64_t head = records_head(d), tail = head, i;

	for (i = all->first; i != all->last; i++) {
		const struct record *rec = record_at(d, i);

		if (!state_sound(d, rec) || !change_sound(d, rec) ||
		    !place_sound(d, rec, tail))
			return false;
		tail = rec->keep_end;
	}
	return tail - head <= d->cfg.keep_size;
}

/* Where the data of the first one begins, or that of the next one that has any. */
uint64_t
records_head(const struct nbe_dev *d)
{
	const struct records *all = d->un.records;
	const struct record *rec = record_at(d, all->first);

	if (all->first == all->last)
		return 0;
	return rec->keep == NBE_NO_KEEP || rec->keep_end < rec->len ? rec->keep_end :
	    rec->keep_end - rec->len;
}

/* What was not acknowledged is not to be written again. */
static void
leave_out(struct nbe_dev *d)
{
	struct records *all = d->un.records;
	bool any = false;
	uint64_t i;

	for (i = all->first; i != all->last; i++) {
		any |= record_at(d, i)->kept;
		record_at(d, i)->given_up |= !record_at(d, i)->kept;
	}
	if (!any)
		all->first = all->last;
}

bool
records_take(struct nbe_dev *d)
{
	if (!head_sound(d) || !all_sound(d))
		return false;
	leave_out(d);
	return true;
}
