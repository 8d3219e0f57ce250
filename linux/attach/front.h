/*
 * front.h - what serves a device's requests, whichever way they come.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All calls come from the ring's thread.
 */
#ifndef FRONT_H
#define FRONT_H

#include <stdbool.h>
#include <stdint.h>

struct fuse;
struct ublk;

/* One of them, once it is started. */
struct front {
	struct fuse	*fuse;
	struct ublk	*ublk;
};

enum front_state {
	FRONT_STARTING,
	FRONT_FUSE,		/* over /dev/fuse */
	FRONT_FUSE_URING,	/* FUSE over io_uring */
	FRONT_UBLK,
	FRONT_UBLK_REGISTERED,	/* ublk, with registered buffers */
	FRONT_ENDED,		/* by us or by somebody */
	FRONT_STATES
};

struct front_status {
	enum front_state state;
	unsigned	in_flight;	/* requests at the disk, or waiting for it */
	uint64_t	straight;	/* I/Os, ever, whose payload went between the
					 * socket and the pages of who did them */
	unsigned	opens;		/* of FUSE's file; a loop device is one */
};

void	front_status(const struct front *, struct front_status *);
/* disk_export has a new size. */
void	front_resize(struct front *);
/* With no request here for a while: buffers give their memory back. */
void	front_rest(struct front *);
/* From now on every request fails; those at the disk finish as the disk says. */
void	front_stop(struct front *);
/* After ring_free, with no request at the disk. */
void	front_free(struct front *);

#endif
