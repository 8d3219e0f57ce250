/*
 * disk_impl.h - the parts of disk_owner.h among themselves.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *   disk.c         I/O, the round, time, life
 *   disk_conns.c   connections: made, told of, and closed
 *   disk_past.c    what a process before this one had acknowledged
 *   disk_info.c    what it is like
 */
#ifndef DISK_IMPL_H
#define DISK_IMPL_H

#include "dialer.h"
#include "disk_owner.h"
#include "link.h"
#include "overdue.h"
#include "sampler.h"

struct disk {
	struct ring	*ring;
	struct nbe_dev	*dev;
	void		*dev_mem;
	uint8_t		*keep;		/* or NULL */
	uint64_t	keep_size;	/* of that, if it is the disk's own; or 0 */
	struct disk_events events;
	struct dialer	*dialer;
	const struct dialer_server *server;	/* by path */
	unsigned	paths;
	unsigned	path;		/* that was up last */
	uint32_t	left;		/* as events.left was told */
	unsigned	left_path;
	char		path_problem[NBE_MAX_PATHS][256];
	struct sampler	*sampler;	/* NULL: nothing is compared */
	bool		stopped;
	unsigned	conns_max;
	nbe_time	now;
	nbe_time	used_at;	/* a request began or ended last */
	nbe_time	down_since;	/* 0: a connection is up */
	nbe_time	asleep;		/* time that the engine's clock stood still */
	nbe_time	wake;		/* when nbe_tick is due */
	bool		now_known;	/* read once per round */
	nbe_time	tend_every, tend_at;
	nbe_time	wait_from, wait_until;	/* NBE_NEVER: as long as it takes */
	struct overdue	overdue;
	enum disk_past	past;
	uint32_t	epoch;		/* as was told */
	unsigned	asked;		/* answers that tell of it and are to come */
	struct nbe_req	*parked, **parked_end;	/* flushes that wait for them */
	unsigned	sends;		/* of all links, in the ring */
	struct link	link[NBE_MAX_CONNS];
};

/* The engine's clock, of a struct disk: it stands still while the process is asleep. */
nbe_time disk_now(void *arg);

/* ---- disk_conns.c ------------------------------------------------------------- */

/* A connection that was made; one that contradicts the device is closed. */
void	disk_take(struct disk *, unsigned conn, struct nbc_conn *);
/* For the next process, should this one end now. */
void	disk_tell_left(struct disk *, unsigned path);
/* The dialer's, and a link's, way to say so. */
void	disk_dialed(void *arg, unsigned seat, bool ok, struct nbc_conn *,
	    const struct nbc_error *);
void	disk_ended(void *arg, unsigned conn);
void	disk_dial(struct disk *, unsigned conn);
/* Whether the server of that path answers. */
void	disk_probe(struct disk *, unsigned path);
/* False: it is being closed already. */
bool	disk_close_conn(struct disk *, unsigned conn);

/* ---- disk_past.c -------------------------------------------------------------- */

/* A flush waits until the past is known. */
void	disk_park(struct disk *, struct nbe_req *);
/* Overdue's way to say so. */
void	disk_answered(void *arg, bool flushed);

#endif
