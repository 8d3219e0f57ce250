/*
 * note.h - what who serves after this process must know of it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A few bytes of a file in memory, each set before what it tells of, so that they are
 * right however the process ends.
 */
#ifndef NOTE_H
#define NOTE_H

#include "errtext.h"
#include "nbe.h"

/* By byte.  A file of an older version has the first one only. */
enum {
	NOTE_UNFLUSHED,		/* there are unflushed changes */
	NOTE_PATHS,		/* nbe_old_paths */
	NOTE_ACTIVE,		/* the path that has, or had, connections */
	NOTE_DOUBT,		/* of nbe_epoch's before this one something is not
				 * flushed, perhaps */
	NOTE_CAN_ASK,		/* by connection: nbe_can_flush_last */
	NOTE_BYTES = NOTE_CAN_ASK + NBE_MAX_CONNS
};

struct note {
	volatile uint8_t *byte;		/* NULL: nothing is noted */
	/* Moments count up with what happens; a flush covers those before it. */
	uint64_t	moment;
	uint64_t	changed;	/* last */
	uint64_t	doubted;	/* last */
};

/* As the one before has left it. */
struct note_left {
	bool		unflushed;
	uint32_t	paths;
	unsigned	active;
	bool		doubt;
	uint32_t	can_ask;	/* a bit per connection */
};

bool	note_open(struct note *, const char *path, struct note_left *,
	    struct errtext *);
void	note_close(struct note *);
/* For who begins to serve: to be read, and not changed. */
struct note_left note_read(const char *path);
/* For a flush: what is given to note_done. */
static inline uint64_t
note_mark(const struct note *n)
{
	return n->moment;
}
/* A request is done, and is about to be acknowledged. */
void	note_done(struct note *, const struct nbe_req *, uint64_t mark);
/* A path has a connection, or what is left on one has changed. */
void	note_paths(struct note *, uint32_t paths, unsigned active);
/* nbe_epoch has changed; before anything is sent. */
void	note_doubt(struct note *);
/* What the process before had acknowledged is flushed. */
void	note_no_doubt(struct note *);
/* Where the bytes of NOTE_CAN_ASK are; NULL: nothing is noted. */
volatile uint8_t *note_can_ask(struct note *);

#endif
