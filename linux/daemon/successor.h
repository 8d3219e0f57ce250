/*
 * successor.h - the next daemon of a device, when this one was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For the helper, which outlives the daemon, has given up no rights, and needs nothing
 * of the disk.  It runs this same program again, though there may be a newer one by
 * now: "recover NAME".  So there is one way to take a device over, whoever begins it.
 * Where the daemon has left for an upgrade, it runs what has the program's name now,
 * once; who speaks for the daemon chooses no program.
 *
 * The first time that is at once.  A daemon that lived for less than a minute is
 * followed after a pause, and so is an attempt that failed: none, then 100 ms, twice
 * as long each time, 10 s at most.  It goes on until the device is gone, or somebody
 * else serves it. A file of the device's directory counts for those that come later.
 */
#ifndef SUCCESSOR_H
#define SUCCESSOR_H

#include <limits.h>

#include "clock.h"
#include "node.h"
#include "state.h"

struct successor {
	const struct state *state;
	unsigned	count;		/* daemons before this one */
	unsigned	streak;		/* of these the last ones, that lived shortly */
	nbe_time	since;		/* this one serves */
	bool		serves;
	bool		upgrades;	/* it leaves in order */
	char		program[PATH_MAX];	/* as it was named at first; "" */
};

void	successor_init(struct successor *, const struct state *);
/* The daemon serves the device.  takes_over: that of a dead one. */
void	successor_serves(struct successor *, bool takes_over);
/* It is dead.  Returns when there is another one, or none is needed. */
void	successor_start(struct successor *, const struct node *);

#endif
