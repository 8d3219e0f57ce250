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

/* Of a connection. */
struct note_conn {
	uint64_t	tx_records;	/* TLS in this process: nbc_tls_records */
	uint64_t	rx_records;
	uint64_t	given;		/* bytes_given, or ... */
	uint64_t	giving;		/* ... so many more, and nothing between */
	uint64_t	next_tx_records; /* with these */
	uint64_t	can_ask;	/* nbe_can_flush_last; tx_records is right */
};

/* The file.  One of an older version has other connections, or none, or the first byte
 * only. */
struct note_file {
	uint8_t		unflushed;	/* there are unflushed changes */
	uint8_t		paths;		/* nbe_old_paths */
	uint8_t		active;		/* the path that has, or had, connections */
	uint8_t		doubt;		/* of nbe_epoch's before this one something is
					 * not flushed, perhaps */
	struct note_conn conn[NBE_MAX_CONNS];
};

struct note {
	volatile struct note_file *file;	/* NULL: nothing is noted */
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
	struct note_conn conn[NBE_MAX_CONNS];
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
/* nbe_epoch has changed; before anything is sent.  flushed: all that was acknowledged
 * is; else it is in doubt. */
void	note_epoch(struct note *, bool flushed);
/* What the process before had acknowledged is flushed. */
void	note_no_doubt(struct note *);
/* Of all connections; NULL: nothing is noted. */
volatile struct note_conn *note_conns(struct note *);

#endif
