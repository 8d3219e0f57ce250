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

#define FRONT_NOTHING	(-1)
#define FRONT_NEVER	(-2)

void	front_status(const struct front *, struct front_status *);
/* disk_export has a new size. */
void	front_resize(struct front *);
/* And its users have seen it. */
void	front_size_seen(struct front *);
/* With no request here for a while: buffers give their memory back. */
void	front_rest(struct front *);
/* What somebody must have open for the device to outlive this process: FRONT_NOTHING,
 * if it stays by itself; FRONT_NEVER: it ends with the process.  Once it is attached.
 */
int	front_to_keep(const struct front *);
/* As handover_leave and handover_stay; of one that outlives this process. */
void	front_leave(struct front *, void (*done)(void *arg), void *arg);
void	front_stay(struct front *);
/* This process has not taken over what it was to, and ends: what it has got is answered
 * by another one.  Those at the disk finish as the disk says. */
void	front_abandon(struct front *);
/* From now on every request fails; those at the disk finish as the disk says. */
void	front_stop(struct front *);
/* After ring_free, with no request at the disk. */
void	front_free(struct front *);

#endif
