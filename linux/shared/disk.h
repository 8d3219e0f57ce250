/*
 * disk.h - one attached NBD device, as an attachment sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What FUSE submits its I/O to; ublk joins here.  All calls come from the one
 * thread that runs the ring; there is no lock.
 */
#ifndef DISK_H
#define DISK_H

#include "nbe.h"

struct disk;

/* One I/O: embedded in the attachment's own per-request object. */
struct disk_io {
	struct nbe_req	 req;		/* in part set by the attachment */
	uint8_t		*data;		/* READ, WRITE: req.length bytes */
	void		(*done)(struct disk_io *);	/* req.error says how it went;
					 * called from the ring's loop, never from
					 * inside disk_submit */
	uint64_t	mark;		/* the disk's own */
};

void	disk_submit(struct disk *, struct disk_io *);
/* Whether the server may still carry out what it was sent over a connection that is
 * lost, or by another process before this one. */
bool	disk_has_old_writes(const struct disk *);
const struct nbe_export *disk_export(const struct disk *);

#endif
