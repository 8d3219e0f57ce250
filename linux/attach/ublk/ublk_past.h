/*
 * ublk_past.h - what the server before this one may have left, when it was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Its commands that were under way may still be carried out by the NBD server, later
 * than newer changes of the same place (fence.c of the engine tells how).  Nobody knows
 * which, so all changes wait until the NBD server has answered a read, and then for the
 * fence time.  Reads wait for nothing: what was under way was not acknowledged.
 *
 * What was acknowledged and not flushed may be lost, for the NBD server may have been
 * restarted while nobody looked.  So flushes fail, as after any loss that nobody can
 * mend: those that come within a second of the first one, since they were asked for
 * before anybody could know.
 */
#ifndef UBLK_PAST_H
#define UBLK_PAST_H

#include "clock.h"
#include "disk.h"
#include "ring.h"

/* A request that waits. */
struct ublk_held {
	struct disk_io	*io;
	struct ublk_held *next;
};

struct ublk_past {
	struct ring	*ring;
	struct disk	*disk;
	struct disk_io	probe;
	struct ring_op	timer;
	struct __kernel_timespec fence;
	struct ublk_held *first, *last;
	bool		fencing, asking;
	bool		fail_flush;
	nbe_time	fail_until;	/* 0: none has failed yet */
};

/* Bytes of a read that any server can answer. */
uint32_t ublk_past_block(const struct disk *);
/* block: room for ublk_past_block(). */
void	ublk_past_begin(struct ublk_past *, struct ring *, struct disk *,
	    uint64_t fence_ns, bool fail_flush, uint8_t *block);
/* Whether this flush must fail. */
bool	ublk_past_fails(struct ublk_past *, const struct nbe_req *);
/* True: it waits, and goes to the disk, or is done with an error, later. */
bool	ublk_past_holds(struct ublk_past *, struct ublk_held *);
/* Those that wait are done, with that error. */
void	ublk_past_fail(struct ublk_past *, enum nbe_err);

#endif
