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
 *
 * Meanwhile it keeps what the next daemon needs (kept.h).  The last one who has a
 * daemon's /dev/fuse open must never wait for the file system, else a machine would
 * keep both for ever, and no signal would help.  But the helper's work waits for it.
 * So the keeping and the starting is done by a thread with open files of its own
 * (unshare(2), CLONE_FILES): when the helper is killed in the middle of its work, this
 * thread ends, /dev/fuse is closed, and who waited gets an error.
 */
#ifndef SUCCESSOR_H
#define SUCCESSOR_H

#include <limits.h>
#include <pthread.h>

#include "clock.h"
#include "kept.h"
#include "node.h"
#include "state.h"

struct successor {
	const struct state *state;
	pthread_mutex_t	lock;		/* of what the helper's work changes: */
	struct node	node;		/* what is served; NODE_NONE: nothing */
	unsigned	count;		/* daemons before this one */
	unsigned	streak;		/* of these the last ones, that lived shortly */
	nbe_time	since;		/* this one serves */
	bool		upgrades;	/* it leaves in order */
	/* the thread's own */
	pthread_t	thread;
	int		life;		/* its end is the daemon's */
	struct kept	kept;		/* for the next daemon */
	void		*memory;	/* of that, mapped and locked; NULL */
	size_t		memory_size;
	int		door;		/* where that asks for it; -1 */
	char		program[PATH_MAX];	/* as it was named at first; "" */
};

/* life: a socket by which the daemon sends what is to be kept; when it says that all is
 * there, that is asked for here.  What replay keeps is not taken if it is more than
 * memory_max bytes, which are locked: somebody may have got hold of the daemon. */
bool	successor_begin(struct successor *, const struct state *, int life,
	    uint64_t memory_max);
/* With the lock held.  The daemon serves the device; takes_over: that of a dead one. */
void	successor_serves(struct successor *, const struct node *, bool takes_over);
/* With the lock held.  It serves none any more. */
void	successor_rests(struct successor *);
/* Waits for the daemon's end; then, if it serves a device, until there is another one,
 * or none is needed. */
void	successor_await(struct successor *);

#endif
