/*
 * attachment.h - between a file that FUSE serves and what users open.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All of it waits for the daemon's ring, so it runs in other processes: in the
 * daemon's helper, and in "disconnect" when the daemon is dead.
 */
#ifndef ATTACHMENT_H
#define ATTACHMENT_H

#include <stdint.h>

#include "errtext.h"
#include "state.h"

struct attachment {
	bool		has_loop;
	unsigned	loop;		/* the N of /dev/loopN */
};

/* As root: a loop device under the file, and a link to it in /dev/nbdisk. */
bool	attachment_make(const struct state *, uint32_t block_min, bool read_only,
	    struct attachment *, struct errtext *);
/* Finds what there is, also after its daemon was killed. */
void	attachment_find(const struct state *, struct attachment *);
/* The file has grown to size. */
bool	attachment_resize(const struct state *, const struct attachment *,
	    uint64_t size, struct errtext *);
/* Detaches and unmounts; refuses, and leaves all, where it is in use. */
bool	attachment_undo(const struct state *, struct attachment *,
	    unsigned timeout_ms, struct errtext *);
/* Does not refuse: what is in use goes when its last user has gone; err names the
 * users then, else it is empty. */
void	attachment_undo_by_force(const struct state *, struct attachment *,
	    struct errtext *);
/* What users open, in buf of STATE_PATH_MAX. */
const char *attachment_path(const struct state *, const struct attachment *, char *buf);

#endif
