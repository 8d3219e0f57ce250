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
#include "handover.h"
#include "ring.h"
#include "ublkdev.h"

struct ublk;

struct ublk_config {
	struct ublkdev	dev;
	bool		read_only;
	struct handover_config handover;
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
/* As handover_leave and handover_stay. */
void	ublk_leave(struct ublk *, void (*done)(void *arg), void *arg);
void	ublk_stay(struct ublk *);
/* With no request here for a while: buffers give their memory back. */
void	ublk_rest(struct ublk *);
/* From now on every request fails; those at the disk finish as the disk says. */
void	ublk_stop(struct ublk *);
/* After ring_free, with no request at the disk. */
void	ublk_free(struct ublk *);

#endif
