/*
 * disk.h - one attached NBD device, as an attachment sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What FUSE and ublk submit their I/O to.  All calls come from the one thread that runs
 * the ring; there is no lock.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <sys/types.h>

#include "nbe.h"

struct disk;

/*
 * Payload that stays in the pages of who does the I/O, from which it goes straight to
 * a socket, or to which it comes: this process need not see it.  They are a buffer
 * that is registered with the ring; and a place in a file, where a piece can be read
 * (of what is to be written to the disk), or written (of what is read from it).  What
 * is written to the disk must be registered.
 */
struct disk_pages {
	int		buffer;		/* -1: they are not registered */
	uint64_t	start;		/* the buffer's address; 0: only the kernel's */
	int		fd;
	off_t		at;
};

/* One I/O: embedded in the attachment's own per-request object. */
struct disk_io {
	struct nbe_req	 req;		/* in part set by the attachment */
	uint8_t		*data;		/* READ, WRITE: req.length bytes; NULL: */
	struct disk_pages pages;
	void		(*done)(struct disk_io *);	/* req.error says how it went;
					 * called from the ring's loop, never from
					 * inside disk_submit */
	bool		torn;		/* then: part of pages could not be written */
	uint64_t	mark;		/* the disk's own */
};

void	disk_submit(struct disk *, struct disk_io *);
/* Whether the payload of this one, which is to be submitted, should be in memory, for
 * the disk wants to see it.  True for few reads. */
bool	disk_wants_to_see(struct disk *, const struct nbe_req *);
/* Whether the server may still carry out what it was sent over a connection that is
 * lost, or by another process before this one. */
bool	disk_has_old_writes(const struct disk *);
/*
 * Whether what a process before this one had acknowledged, and not flushed, may be
 * lost.  As long as that is unknown no flush is answered; those that were submitted
 * meanwhile fail if it is.  KEPT: it is here, and written again before a flush is
 * answered.
 */
enum disk_past { DISK_PAST_SAFE, DISK_PAST_KEPT, DISK_PAST_UNKNOWN, DISK_PAST_LOST };
enum disk_past disk_past(const struct disk *);
const struct nbe_export *disk_export(const struct disk *);

#endif
