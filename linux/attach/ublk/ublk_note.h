/*
 * ublk_note.h - what who serves after this process must know of it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A few bytes of a file in memory, each set before what it tells of, so that they are
 * right however the process ends.
 */
#ifndef UBLK_NOTE_H
#define UBLK_NOTE_H

#include "errtext.h"
#include "nbe.h"

/* By byte.  A file of an older version has the first one only. */
enum {
	UBLK_NOTE_UNFLUSHED,		/* there are unflushed changes */
	UBLK_NOTE_PATHS,		/* nbe_old_paths */
	UBLK_NOTE_ACTIVE,		/* the path that has, or had, connections */
	UBLK_NOTE_BYTES
};

struct ublk_note {
	volatile uint8_t *byte;		/* NULL: nothing is noted */
	uint64_t	changes;	/* acknowledged */
};

/* As the one before has left it. */
struct ublk_left {
	bool		unflushed;
	uint32_t	paths;
	unsigned	active;
};

bool	ublk_note_open(struct ublk_note *, const char *path, struct ublk_left *,
	    struct errtext *);
void	ublk_note_close(struct ublk_note *);
/* For who begins to serve: to be read, and not changed. */
struct ublk_left ublk_note_read(const char *path);
/* For a flush: what is given to ublk_note_done. */
static inline uint64_t
ublk_note_mark(const struct ublk_note *n)
{
	return n->changes;
}
/* A request is done, and is about to be acknowledged. */
void	ublk_note_done(struct ublk_note *, const struct nbe_req *, uint64_t mark);
/* A path has a connection, or what is left on one has changed. */
void	ublk_note_paths(struct ublk_note *, uint32_t paths, unsigned active);

#endif
