/*
 * handover.h - what a front does so that another process can serve its device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A device may outlive the process that serves it: the kernel keeps the requests that
 * were not answered, and the next process gets them.  What is the same for all fronts
 * is here: what is noted of each request, flushes that must fail because the process
 * before was killed, and leaving a device in order.  All calls come from the ring's
 * thread.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "disk.h"
#include "note.h"

struct handover_config {
	struct note	*note;		/* outlives the front */
	/*
	 * Where what another process had acknowledged may be lost (disk_past; with
	 * replay, where what it had kept is not there, either), flushes fail, as after
	 * any loss that nobody can mend, with those that come within a second of the
	 * first one: they were asked for before anybody could know.
	 * replays: that begins when the old commands are fenced, for one of them may be
	 * a replay, which brings back what is older still.
	 */
	bool		replays;
};

struct handover {
	struct handover_config config;
	struct disk	*disk;
	bool		lost, past_told;	/* flushes fail; they do for the past */
	nbe_time	fail_until;	/* 0: none has failed yet */
	struct disk_io	own_flush;
	uint64_t	own_mark;
	bool		flushing;
	void		(*left)(void *arg);	/* NULL: it is not being left */
	void		*left_arg;
};

void	handover_init(struct handover *, const struct handover_config *, struct disk *);
/* Whether a flush that comes now must fail. */
bool	handover_fails_flush(struct handover *);
/*
 * The device is left: the front takes no more requests, which stay with the kernel, as
 * good as unseen.  When handover_step says that nothing is under way, what is unflushed
 * is flushed, or was tried to be, and done is called.  stay: not yet, or not any more.
 */
void	handover_leave(struct handover *, void (*done)(void *arg), void *arg);
void	handover_stay(struct handover *);
/* in_flight: requests at the disk, or waiting for it; after each that ends. */
void	handover_step(struct handover *, unsigned in_flight);
static inline bool
handover_is_leaving(const struct handover *h)
{
	return h->left != NULL;
}

#endif
