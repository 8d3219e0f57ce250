/*
 * ublk.h - serves a block device of ublk from a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All calls come from the ring's thread.  Large payload goes straight between a socket
 * and the pages of who does the I/O, where the kernel can (Linux 6.16); else it is
 * copied by way of memory here.  Requests are independent of each other, so a slow
 * flush or discard holds up no read.
 */
#ifndef UBLK_H
#define UBLK_H

#include <stdbool.h>

#include "disk.h"
#include "errtext.h"
#include "ring.h"
#include "ublk_note.h"
#include "ublkdev.h"

struct ublk;

struct ublk_config {
	struct ublkdev	dev;
	bool		read_only;
	struct ublk_note *note;		/* outlives it */
	/*
	 * Another server had it before, and died (ublkdev_take), with changes that were
	 * acknowledged and not flushed.  They may be lost, for the NBD server may have
	 * been restarted while nobody looked.  So flushes fail, as after any loss that
	 * nobody can mend, with those that come within a second of the first one: they
	 * were asked for before anybody could know.  replays: that begins when the old
	 * commands are fenced, for one of them may be a replay, which brings back what
	 * is older still.
	 */
	bool		fail_flush, replays;
};

struct ublk_status {
	bool		ended;		/* stopped, by us or by somebody */
	bool		registers;	/* large payload can go straight */
	unsigned	in_flight;	/* requests at the disk */
	uint64_t	straight;	/* requests, ever, whose payload did */
};

/*
 * For a device that was added or taken; then it can be started, when the ring runs.
 * Who calls this must have CAP_SYS_ADMIN still, else the kernel will not look for
 * partitions: they are then read with the rights of who fetches requests.
 */
bool	ublk_start(struct ublk **, const struct ublk_config *, struct ring *,
	    struct disk *, struct errtext *);
void	ublk_status(const struct ublk *, struct ublk_status *);
/*
 * Leaves the device to another process: takes no more requests, which stay with the
 * kernel, as good as unseen; when those at the disk are done, and what is unflushed is
 * flushed, or was tried to be, calls done, and from then on has nothing at the disk.
 * stay: not yet, or not any more; then all is as before.
 */
void	ublk_leave(struct ublk *, void (*done)(void *arg), void *arg);
void	ublk_stay(struct ublk *);
/* With no request here for a while: buffers give their memory back. */
void	ublk_rest(struct ublk *);
/* From now on every request fails; those at the disk finish as the disk says. */
void	ublk_stop(struct ublk *);
/* After ring_free, with no request at the disk. */
void	ublk_free(struct ublk *);

#endif
