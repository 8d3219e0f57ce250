/*
 * ublk_note.h - whether there are unflushed changes, for who serves after this process.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One byte of a file in memory, set before a change is acknowledged, so that it is
 * right however the process ends.
 */
#ifndef UBLK_NOTE_H
#define UBLK_NOTE_H

#include "errtext.h"
#include "nbe.h"

struct ublk_note {
	volatile uint8_t *byte;		/* NULL: nothing is noted */
	uint64_t	changes;	/* acknowledged */
};

/* was: as the one before has left it. */
bool	ublk_note_open(struct ublk_note *, const char *path, bool *was,
	    struct errtext *);
void	ublk_note_close(struct ublk_note *);
/* For a flush: what is given to ublk_note_done. */
static inline uint64_t
ublk_note_mark(const struct ublk_note *n)
{
	return n->changes;
}
/* A request is done, and is about to be acknowledged. */
void	ublk_note_done(struct ublk_note *, const struct nbe_req *, uint64_t mark);

#endif
