/*
 * overdue.h - old connections, kept for what may still come on them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that is slow, or was asleep, works on what it had been sent after its
 * connection was given up, or after the daemon was killed.  What comes there is not
 * looked at: it only tells that the server is at it, so that the fence waits for it.
 * When the engine waits for nothing old of that server, the connection is reset.
 *
 * Over one of a daemon before this one the server may be asked to flush first: if it
 * does, it was not restarted, and what it had acknowledged is safe.  Commands of that
 * daemon may still be in our own system then, which sends them on: until the server has
 * them the fence does not begin (nbe_underway).
 */
#ifndef OVERDUE_H
#define OVERDUE_H

#include "nbe.h"
#include "ring.h"
#include "tls.h"

#define OVERDUE_MAX	(2 * NBE_MAX_CONNS)
/* What answers to all that was sent hardly come to: a server that says more talks
 * nonsense, and is not listened to any longer. */
#define OVERDUE_BYTES	(96u << 20)
/* For so long an answer is waited for, and longer while there may be old writes. */
#define OVERDUE_ASK	(5 * NBE_SECOND)
/* And for what is in our own system: as long as some of it goes out now and then, but
 * changes wait for that. */
#define OVERDUE_UNDERWAY (30 * NBE_SECOND)

struct overdue {
	struct nbe_dev	*dev;
	struct ring	*ring;
	nbe_time	(*now)(void *arg);
	/* To overdue_ask, once, from the ring's loop. */
	void		(*answered)(void *arg, bool flushed);
	void		*arg;
	unsigned	count;
	struct overdue_socket {
		struct ring_op	op;	/* its receive: always in the ring */
		struct overdue	*all;
		unsigned	path;
		bool		used, ended, asked;
		bool		underway;	/* of what was sent, something is */
		int		fd;
		uint64_t	bytes;		/* that came */
		nbe_time	ask_until;
		uint64_t	taken;		/* underway: bytes_taken */
		nbe_time	underway_until;
		struct nbe_last_flush flush;
		struct nbc_tls_last *tls;	/* by which it was asked; NULL: in the
						 * clear */
		uint8_t		room[NBC_TLS_LAST_FEED];	/* what came last */
	} at[OVERDUE_MAX];
};

/* Takes the socket, to which nothing more will be sent; without room for it, resets
 * it. */
void	overdue_keep(struct overdue *, int fd, unsigned path);
/* Takes the socket, on which a whole command was the last, and its session, or NULL.
 * False: it is reset. */
bool	overdue_ask(struct overdue *, int fd, unsigned path, enum nbe_framing,
	    struct nbc_tls_last *);
/* Once per round.  all: the device is at its end. */
void	overdue_tend(struct overdue *, bool all);

#endif
