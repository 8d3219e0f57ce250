/*
 * helper.h - a second process that does what the daemon's ring must not.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Attaching, resizing and detaching wait for the ring.  A thread would not do: it
 * shares the open files, so that a daemon that is killed while its thread waits
 * for /dev/fuse would keep /dev/fuse open, and both would stay for ever.  The
 * helper is forked before there is a ring, and has nothing open but its ends of
 * socket pairs, and the loop device.  Commands of ublk wait for the ring, too.
 *
 * It ends with the daemon; where that was killed and its device goes on, when there is
 * another one (successor.h).  A thread of its own keeps what that needs.
 */
#ifndef HELPER_H
#define HELPER_H

#include "attachment.h"
#include "kept.h"
#include "opener.h"
#include "ring.h"

enum helper_job {
	HELPER_ADD, HELPER_ATTACH, HELPER_CHECK, HELPER_RESIZE, HELPER_DETACH,
	HELPER_FORCE,
	HELPER_UPGRADE			/* the daemon ends, and leaves the device */
};

struct helper_order {
	enum helper_job	job;
	struct attachment_config config;	/* ADD, ATTACH, RESIZE */
	bool		is_open;		/* DETACH, as attachment_undo has it */
	unsigned	timeout_ms;		/* DETACH */
};

struct helper_result {
	enum helper_job	job;
	bool		ok;
	bool		died;		/* nothing else is known but why */
	struct attachment attachment;
	struct errtext	why;		/* FORCE: who still uses it; "" */
	unsigned	takeovers;	/* ATTACH: daemons of the device before this */
};

struct helper {
	struct ring_op	op, life_op;
	struct ring	*ring;
	int		sock;		/* orders, and results */
	int		life;		/* what it is to keep; ends with the daemon */
	int		pid;
	bool		busy;
	struct helper_order order;
	struct helper_result result;
	void		(*done)(void *arg, const struct helper_result *);
	void		(*died)(void *arg);	/* before the daemon has; once */
	void		*arg;
};

/* Before ring_init; then set ring, done, died and arg.  memory_max: successor_begin. */
bool	helper_start(struct helper *, struct opener *, const struct state *,
	    uint64_t memory_max, struct errtext *);
/* From then on it is noticed when it dies. */
void	helper_watch(struct helper *);
/* One at a time; done is called from the ring's loop. */
void	helper_give(struct helper *, const struct helper_order *);
/* Before the ring runs: waits for the answer. */
void	helper_ask(struct helper *, const struct helper_order *,
	    struct helper_result *);
/* For the next daemon (kept.h).  False: there is no helper. */
bool	helper_keep(struct helper *, const struct kept_message *, int fd);
bool	helper_is_there(const struct helper *);
/* After ring_free and front_free, on which it may still wait. */
void	helper_end(struct helper *);

#endif
