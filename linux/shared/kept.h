/*
 * kept.h - descriptors that outlive the daemon which opened them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A device by FUSE is there as long as somebody has its /dev/fuse open.  Of a
 * connection that is still up, the next daemon can learn that the server was not
 * restarted (overdue.h).  And what replay keeps is in memory that is there as long as
 * somebody has it open (kept_memory.h).  So the daemon sends copies to its helper as
 * they come; when it is dead its helper has them, and who starts the next daemon asks
 * for them over a socket in the device's directory, which only its owner can reach.
 */
#ifndef KEPT_H
#define KEPT_H

#include "nbe.h"
#include "state.h"

#define KEPT_SESSION_MAX 128

struct kept {
	int		fuse;		/* /dev/fuse; -1: none */
	int		memory;		/* what replay keeps; -1: none */
	uint64_t	memory_max;	/* a larger one is not taken */
	struct kept_conn {
		int	fd;		/* -1: none */
		uint8_t	path, framing;	/* enum nbe_framing */
		bool	has_session;	/* of TLS */
		uint8_t	session[KEPT_SESSION_MAX];	/* the daemon's business */
	} conn[NBE_MAX_CONNS];
};

enum kept_what {
	KEPT_FUSE,
	KEPT_CONN,			/* in the place of any before of its number */
	KEPT_CONN_ENDED,
	KEPT_ALL_THERE,			/* the device is served */
	KEPT_MEMORY,
	KEPT_SESSION			/* as KEPT_CONN, with a session */
};

struct kept_message {
	uint8_t		what, conn, path, framing;
	uint8_t		session[KEPT_SESSION_MAX];	/* of KEPT_SESSION only */
};

void	kept_init(struct kept *);
void	kept_close(struct kept *);

/* What says so of a connection; NULL: it has ended. */
struct kept_message kept_conn_message(unsigned conn, const struct kept_conn *);

/* Over the socket between daemon and helper.  False: nobody is there, or he is behind;
 * the message is lost. */
bool	kept_tell(int sock, const struct kept_message *, int fd);
/* Takes what comes; false: the end. */
bool	kept_hear(int sock, struct kept *, struct kept_message *);

/* Who has something: a socket to wait at (POLLIN), in the place of any before; -1 with
 * errno. */
int	kept_listen(const struct state *);
/* Gives copies to the one who asks, if there is one. */
void	kept_give(int sock, const struct kept *);
/* Whether somebody has something. */
bool	kept_is_there(const struct state *);
/* Copies, of which some may be missing if who has them is slow; none where nobody has
 * any.  *k is initialized in any case. */
void	kept_ask(const struct state *, struct kept *k);

#endif
