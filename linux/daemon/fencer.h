/*
 * fencer.h - the user's program that keeps a server from writing.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Of several servers of one disk, the one that was left may still write what it has
 * of ours.  With --fence-command a program of the user's ends that; its success is
 * taken as proof.  The daemon may run no programs: a process of its own does, forked
 * before the daemon gives its rights up.  The helper does not, for its work may wait
 * for the disk, which waits for the fence; nor do the hooks, which may take as long as
 * they like.
 */
#ifndef FENCER_H
#define FENCER_H

#include "dialer.h"
#include "errtext.h"
#include "ring.h"
#include "state.h"

struct fence_order {
	uint32_t	path;		/* that is to write no more */
	uint32_t	active;		/* that has taken its place */
};

struct fence_result {
	uint32_t	path;
	bool		certain;	/* the program ended with success */
	struct errtext	why;		/* not */
};

struct fencer {
	const char	*program;	/* NULL: there is none */
	const struct state *state;	/* these are told to it */
	const struct dialer_server *server;
	int		sock;
	struct ring_op	op;
	struct ring	*ring;
	bool		busy;
	struct fence_order order;
	struct fence_result result;
	void		(*done)(void *arg, const struct fence_result *);
	void		*arg;
};

/* Before ring_init and confine; program, state and server are set.  Without a program
 * there is no process.  Then set ring, done and arg. */
bool	fencer_start(struct fencer *, struct errtext *);
/* One at a time.  done is called from the ring's loop, within two minutes. */
void	fencer_run(struct fencer *, const struct fence_order *);
void	fencer_end(struct fencer *);

#endif
