/*
 * overdue.h - late connections, kept for what may still come on them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that is slow, or was asleep, works on what it had been sent after its
 * connection was given up.  No byte more is sent to it there, and what comes is not
 * looked at: it only tells that the server is at it, so that the fence waits for it.
 * When the engine waits for nothing old of that server, the connection is reset.
 */
#ifndef OVERDUE_H
#define OVERDUE_H

#include "nbe.h"
#include "ring.h"

#define OVERDUE_MAX	NBE_MAX_CONNS
/* What answers to all that was sent hardly come to: a server that says more talks
 * nonsense, and is not listened to any longer. */
#define OVERDUE_BYTES	(64u << 20)

struct overdue {
	struct nbe_dev	*dev;
	struct ring	*ring;
	nbe_time	(*now)(void *arg);
	void		*arg;
	unsigned	count;
	struct overdue_socket {
		struct ring_op	op;	/* its receive: always in the ring */
		struct overdue	*all;
		unsigned	path;
		bool		used, ended;
		int		fd;
		uint64_t	bytes;		/* that came */
	} at[OVERDUE_MAX];
	uint8_t		scratch[4096];	/* what came, for all of them */
};

/* Takes the socket, which is half closed; without room for it, resets it. */
void	overdue_keep(struct overdue *, int fd, unsigned path);
/* Once per round.  all: the device is at its end. */
void	overdue_tend(struct overdue *, bool all);

#endif
