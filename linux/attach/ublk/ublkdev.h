/*
 * ublkdev.h - a block device of ublk, the kernel's driver for servers in user space.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Needs root.  Its life: added, which makes /dev/ublkcN for who serves it; served
 * (ublk.h); started, which makes /dev/ublkbN for its users; stopped; deleted.  Each of
 * these is a command to /dev/ublk-control that may wait for the server, so never call
 * any from the thread that serves, but for ublkdev_is_there.  Each has a time-out, and
 * they run one after another on a machine: at the same time kernels were seen to hang.
 *
 * A number is used again when its device was deleted and nobody has it open.  So a
 * device is a number *and* a random value that the kernel keeps for its server; and as
 * long as somebody has /dev/ublkcN open, the number stays.
 */
#ifndef UBLKDEV_H
#define UBLKDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "errtext.h"

#define UBLK_DEPTH		128u		/* requests at a time */
#define UBLK_PAYLOAD_MAX	(512u << 10)	/* bytes of one of them */

/* What the disk is like. */
struct ublkdev_config {
	uint64_t	size;
	uint32_t	sector_size;	/* 512 to the page size */
	uint32_t	block_pref;	/* as in struct nbe_export */
	uint32_t	flags;		/* NBE_FLAG_* */
	bool		read_only;
	uint64_t	discard_max;	/* bytes at a time; 0: no discards; UINT64_MAX:
					 * as many as the kernel likes */
};

struct ublkdev {
	unsigned	number;		/* the N of /dev/ublkbN */
	uint64_t	token;
	bool		registers;	/* payload with the ring of who serves it */
};

/* Whether this machine has it, for this process; err says what is missing. */
bool	ublkdev_possible(struct errtext *);
bool	ublkdev_add(struct ublkdev *, const struct ublkdev_config *, struct errtext *);
/* server: a process that serves it; waits until it does, and for the partitions. */
bool	ublkdev_start(const struct ublkdev *, pid_t server, struct errtext *);
/*
 * A device outlives its server.  It has requests wait when that is dead, those that it
 * had among them.  take: of one whose server is dead, for another server of the same
 * disk, which then begins to serve; resume: as ublkdev_start.  Where either fails the
 * requests go on waiting.
 */
bool	ublkdev_take(struct ublkdev *, const struct ublkdev_config *,
	    struct errtext *);
bool	ublkdev_resume(const struct ublkdev *, pid_t server, struct errtext *);
/* Whether number still is this device. */
bool	ublkdev_is(const struct ublkdev *);
/* Whether there is a block device of that number. */
bool	ublkdev_is_there(unsigned number);
bool	ublkdev_resize(const struct ublkdev *, uint64_t size, struct errtext *);
/* Stops and deletes it, unless it is in use; false: it is, or it takes longer.  One
 * that is gone already, or is another's now, is left alone. */
bool	ublkdev_remove(const struct ublkdev *, unsigned timeout_ms, struct errtext *);
/* In use or not: who has it open gets errors. */
void	ublkdev_remove_by_force(const struct ublkdev *, unsigned timeout_ms);

#endif
