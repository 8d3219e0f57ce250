/*
 * pool.h - memory for payload, of which there is always some.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who serves a disk must not wait for memory: it may be free only once the disk has
 * written something.  So what is handed out is in memory already.  A floor always is;
 * when it does not suffice, more is made ready by a worker of the kernel's, which may
 * wait as long as it takes, and who asked waits for what others give back.
 *
 * All calls come from the ring's thread.  The lowest room is handed out first, so
 * little is touched while little goes on.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

#define POOL_STEP	((size_t)1 << 20)	/* the floor, and what it grows by */

struct pool {
	struct ring	*ring;
	/* There is more room than before; called from the ring's loop. */
	void		(*grown)(struct pool *);
	struct ring_op	op;
	uint8_t		*base;		/* NULL: there is none */
	uint64_t	*used;		/* a bit for each page */
	size_t		page;		/* bytes of one */
	size_t		pages, floor, ready;	/* all, and those in memory */
	size_t		step;		/* pages on their way */
	bool		growing;
};

/* size: bytes that may be in use at a time, in whole steps.  False: out of memory. */
bool	pool_init(struct pool *, struct ring *, size_t size,
	    void (*grown)(struct pool *));
/* After ring_free. */
void	pool_free(struct pool *);
/* 1 to POOL_STEP bytes from the beginning of a page.  NULL: ask again when something
 * was given back, or when it has grown. */
uint8_t	*pool_take(struct pool *, size_t size);
/* What was taken, all of it. */
void	pool_put(struct pool *, uint8_t *, size_t size);
/* What is above the floor goes back to the system, if nothing of it is in use. */
void	pool_rest(struct pool *);

#endif
