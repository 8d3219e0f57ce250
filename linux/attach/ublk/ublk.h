/*
 * ublk.h - serves a block device of ublk from a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All calls come from the ring's thread.  The kernel copies data between the pages of
 * who does I/O and buffers of ours, one for each request that it may have under way.
 * Requests are independent of each other, so a slow flush or discard holds up no read.
 */
#ifndef UBLK_H
#define UBLK_H

#include <stdbool.h>

#include "disk.h"
#include "errtext.h"
#include "ring.h"
#include "ublkdev.h"

struct ublk;

struct ublk_config {
	struct ublkdev	dev;
	bool		read_only;
	const char	*note;		/* a file for "there are unflushed changes" */
	/* Another server had it before, and died (ublkdev_take): see ublk_past.h. */
	bool		takes_over;
	uint64_t	fence_ns;
	bool		fail_flush;	/* else what was unflushed is safe */
};

struct ublk_status {
	bool		ended;		/* stopped, by us or by somebody */
	unsigned	in_flight;	/* requests at the disk */
};

/*
 * For a device that was added or taken; then it can be started, when the ring runs.
 * Who calls this must have CAP_SYS_ADMIN still, else the kernel will not look for
 * partitions: they are then read with the rights of who fetches requests.
 */
bool	ublk_start(struct ublk **, const struct ublk_config *, struct ring *,
	    struct disk *, struct errtext *);
void	ublk_status(const struct ublk *, struct ublk_status *);
/* With no request here for a while: buffers give their memory back. */
void	ublk_rest(struct ublk *);
/* From now on every request fails; those at the disk finish as the disk says. */
void	ublk_stop(struct ublk *);
/* After ring_free, with no request at the disk. */
void	ublk_free(struct ublk *);

#endif
