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
 */
#ifndef LOOPDEV_H
#define LOOPDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "errtext.h"

struct loopdev_config {
	const char	*backing;	/* absolute path of the file */
	uint32_t	block_min;	/* of the export */
	bool		read_only;
};

/* Attaches a free loop device, with direct I/O and partition scan; fails where
 * the kernel would go through the page cache.  number: N of /dev/loopN. */
bool	loopdev_attach(unsigned *number, const struct loopdev_config *,
	    struct errtext *);
/* The file has grown (after fuse_resize). */
bool	loopdev_resize(unsigned number, const char *backing, struct errtext *);
/* Detaches, and waits until it is gone; false when somebody still uses it then
 * (it goes when they have gone) or when it cannot be. */
bool	loopdev_detach(unsigned number, unsigned timeout_ms, struct errtext *);
/* Takes back a detach that waits for the last user to go.  False: too late. */
bool	loopdev_keep(unsigned number);
/* Which one has this file; also after the server was killed, but before its file
 * system is unmounted.  False: none. */
bool	loopdev_find(unsigned *number, const char *backing);

#endif
