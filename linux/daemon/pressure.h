/*
 * pressure.h - the policy of this process while the machine is short of memory.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * When free memory is nearly used up, the kernel still has some for tasks of a
 * real-time policy.  A send needs it, so that what is written back can be, and memory
 * be free again: else all stand still for good, each waiting for the next.
 *
 * Not at all times: who has that policy runs as soon as there is one request, and so
 * has each of them alone, where others find many together.
 */
#ifndef PRESSURE_H
#define PRESSURE_H

#include <stdbool.h>

#include "ring.h"

struct pressure {
	struct ring	*ring;
	struct ring_op	poll, calm;
	struct __kernel_timespec wait;
	int		fd;
	bool		short_of;	/* memory, and so this process goes first */
	bool		again;		/* told meanwhile */
};

/* Before rights are given up, and after all children were made.  Without root, or a
 * kernel that tells, nothing happens.  It ends with the ring and the process. */
void	pressure_begin(struct pressure *, struct ring *);

#endif
