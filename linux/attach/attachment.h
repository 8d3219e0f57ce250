/*
 * attachment.h - between what serves a disk and what users open.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All of it waits for the daemon's ring, so it runs in other processes: in the
 * daemon's helper, and in "disconnect" when the daemon is dead.
 */
#ifndef ATTACHMENT_H
#define ATTACHMENT_H

#include <stdint.h>

#include "errtext.h"
#include "node.h"
#include "state.h"
#include "ways.h"

struct attachment {
	struct node	node;		/* held where it was made or found */
	bool		dead;		/* nobody serves it */
};

struct attachment_config {
	uint32_t	sector_size;	/* as near to it as can be */
	bool		read_only;
	uint64_t	discard_max;	/* bytes at a time; 0: no discards; UINT64_MAX:
					 * not said, and no error if not to be had */
	uint64_t	size;
	uint32_t	block_min, block_pref, flags;	/* struct nbe_export's */
	pid_t		server;		/* attachment_make: of the daemon */
	bool		takes_over;	/* what the dead daemon of this state left */
};

/* Adds a device of ublk, or takes that of a dead daemon over; this daemon is to serve
 * it before attachment_make. */
bool	attachment_add(const struct state *, const struct attachment_config *,
	    struct attachment *, struct errtext *);
/* Starts that, or has it go on; without one, as root, a loop device under the file, or
 * the one that there is.  And a link to it in /dev/nbdisk. */
bool	attachment_make(const struct state *, const struct attachment_config *,
	    struct attachment *, struct errtext *);
/* Finds what there is of one whose daemon is dead: was killed, or died with a mount
 * name space of its own; nobody else is at it, and nobody will be (state_lock_dead). */
void	attachment_find(const struct state *, struct attachment *);
/* Whether the block device of this name in /dev is the disk's; asks no daemon. */
bool	attachment_is_on(const struct state *, const char *node);
/* Whether it is one that outlives its daemon, and is there; by which way another one
 * can take it over; which server that had. */
bool	attachment_outlives(const struct state *, enum attach_kind *);
unsigned attachment_last_path(const struct state *);
/* Whether the block device still is the disk's; all below look first, and never touch
 * one that is another's by now. */
bool	attachment_is_there(const struct attachment *);
/* Where it is not: takes the link away, so that it leads to no stranger. */
bool	attachment_check(const struct state *, struct attachment *);
/* The disk has grown to config's size. */
bool	attachment_resize(const struct state *, const struct attachment_config *,
	    struct attachment *, struct errtext *);
/* Detaches and unmounts; refuses, and has changed nothing, where it is in use.
 * is_open: somebody, as who serves the file knows, has it open beside loop. */
bool	attachment_undo(const struct state *, struct attachment *, bool is_open,
	    unsigned timeout_ms, struct errtext *);
/* Does not refuse: what is in use goes when its last user has gone; err names the
 * users then, else it is empty. */
void	attachment_undo_by_force(const struct state *, struct attachment *,
	    struct errtext *);
/* What is read and written at a time at least; of a file, as fast as can be. */
uint32_t attachment_sector_size(const struct attachment *, uint32_t wanted);
/* What users open, in buf of STATE_PATH_MAX. */
const char *attachment_path(const struct state *, const struct attachment *, char *buf);

#endif
