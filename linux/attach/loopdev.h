/*
 * loopdev.h - a loop block device over the file that FUSE serves.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Needs root.  Never call any of this from the thread that serves the file:
 * attaching opens it and scans for partitions, resizing asks for its size,
 * detaching flushes; each waits for that thread.  Another thread or process will
 * do, and it must be able to wait: a dead server makes these calls hang.
 *
 * What loop lets one choose: the logical block size (512 to the page size), which
 * becomes the physical one and the minimum I/O size too.  It sets no optimal I/O
 * size.  It takes the granularity of discards from statfs of the file.  It has no
 * FUA: the block layer sends a flush after the write instead.
 *
 * Anybody who is root can detach a loop device, and its number then goes to the next
 * file.  So a device is a number *and* the sequence that the kernel counts up with each
 * disk (Linux 5.15), the same for all mount name spaces; and who made it holds it open,
 * so that "losetup -d" only takes effect when it is let go.
 */
#ifndef LOOPDEV_H
#define LOOPDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "errtext.h"

struct loopdev_config {
	const char	*backing;	/* absolute path of the file */
	uint32_t	sector_size;	/* as near to it as can be */
	bool		read_only;
	uint64_t	discard_max;	/* bytes at a time; 0: no discards; UINT64_MAX:
					 * not said, and no error if not to be had */
};

struct loopdev {
	unsigned	number;		/* the N of /dev/loopN */
	uint64_t	sequence;	/* no other disk has it, before or after */
	int		held;		/* open in the process that holds it; -1 */
};

/* What becomes of that. */
uint32_t loopdev_sector_size(uint32_t wanted);
/* Attaches a free loop device, with direct I/O and partition scan, and holds it; fails
 * where the kernel would go through the page cache, or keep flushes to itself.  What an
 * earlier user set on that number is set back. */
bool	loopdev_attach(struct loopdev *, const struct loopdev_config *,
	    struct errtext *);
/* Whether number still is this device. */
bool	loopdev_is(const struct loopdev *);
/* Whether the number is anybody's. */
bool	loopdev_in_use(unsigned number);
/* Opens one that is known by number and sequence; false: it is gone. */
bool	loopdev_hold(struct loopdev *);
/* Lets it go, as it is. */
void	loopdev_release(struct loopdev *);
/* The file has grown (after fuse_resize). */
bool	loopdev_resize(const struct loopdev *, const char *backing, struct errtext *);
/* Has what users wrote and did not wait for written: while it is held, nobody's close
 * is the last one, which would.  Where there is such, waits for the server. */
bool	loopdev_write_back(const struct loopdev *, struct errtext *);
/* Lets it go, detaches, and waits until it is gone; false when somebody still uses it
 * then (it goes when they have gone) or when it cannot be.  One that is gone already,
 * or is another's now, is left alone. */
bool	loopdev_detach(struct loopdev *, unsigned timeout_ms, struct errtext *);
/* Takes back a detach that waits for the last user to go, and holds it again.  False:
 * too late. */
bool	loopdev_keep(struct loopdev *);

#endif
