/*
 * daemon_impl.h - what the parts of the daemon share.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All of it runs in the daemon's one thread, from its ring's loop.
 */
#ifndef DAEMON_IMPL_H
#define DAEMON_IMPL_H

#include <sys/signalfd.h>

#include "control_server.h"
#include "daemon.h"
#include "fencer.h"
#include "front.h"
#include "helper.h"
#include "hooks.h"
#include "kept_memory.h"
#include "log.h"
#include "note.h"
#include "opener.h"
#include "pressure.h"
#include "snapshot.h"

enum stage { STARTING, RUNNING, DETACHING, DRAINING, STOPPED };

struct daemon {
	const struct daemon_config *config;
	struct nbc_options options[NBE_MAX_PATHS];	/* of the disk's own attempts */
	struct dialer_server server[NBE_MAX_PATHS];
	struct ring	ring;
	struct log	log;
	struct helper	helper;
	struct hooks	hooks;
	struct opener	opener;
	struct fencer	fencer;
	struct pressure	pressure;
	struct disk	*disk;
	struct front	front;
	struct control_server *control;
	struct control_client *asker;	/* waits for the end of DETACHING */
	struct control_client *upgrader;
	nbe_time	leave_by;
	bool		leaving;	/* for an upgrade */
	bool		outlives;	/* the device, this process */
	struct attachment attachment;
	struct note note;
	struct note_left left;		/* by the daemon before this one */
	struct kept_memory memory;	/* what replay keeps */
	uint64_t	size;		/* as users see it */
	unsigned	takeovers;
	enum stage	stage;
	nbe_time	deadline;	/* of an end by force */
	uint64_t	flushes_failed;	/* before the last flush */
	nbe_time	closed_by;	/* who has the file open may, until then */
	bool		reported, forced, detached, disk_stopped, taken_over;
	bool		rests;		/* no request since front_rest */
	char		node[NODE_NAME_MAX];	/* as it was attached */
	bool		node_lost;	/* somebody else has detached it */
	bool		writes_lost;	/* acknowledged, and not to be saved */
	bool		want_attach, want_check, want_detach, want_force, want_resize;
	bool		want_upgrade;
	struct ring_op	signal_op, watch_op;
	int		signal_fd;
	struct signalfd_siginfo signal;
	char		watched;
	struct snapshot_source source;
};

/* ---- daemon_start.c ------------------------------------------------------------ */

/* Undoes what was done when it fails; the connections are closed then too. */
bool	 daemon_start(struct daemon *, struct errtext *);
/* The helper, and those of opener, fencer and hooks. */
void	 daemon_end_processes(struct daemon *);

/* ---- daemon_asked.c: the command, and signals ----------------------------------- */

bool	 daemon_serve_control(struct daemon *, struct errtext *);
bool	 daemon_catch_signals(struct daemon *, struct errtext *);
/* To signals, and to the end of who has started it. */
void	 daemon_listen(struct daemon *);

/* ---- daemon_events.c: what the disk says ---------------------------------------- */

struct disk_events daemon_disk_events(struct daemon *);
/* disk_past is known, or has changed. */
void	 daemon_past_known(void *daemon);
void	 daemon_fence_done(void *daemon, const struct fence_result *);

/* ---- daemon_orders.c: what the helper is asked for ------------------------------- */

struct helper_order daemon_make_order(const struct daemon *, enum helper_job);
/* ns until an order that must wait can be given. */
uint64_t daemon_next_order(struct daemon *);
void	 daemon_helper_done(void *daemon, const struct helper_result *);
void	 daemon_helper_died(void *daemon);
/* The helper has what makes the device stay. */
bool	 daemon_keep_front(struct daemon *);

/* ---- daemon_end.c: how it ends, and who is told --------------------------------- */

/* Tells who has started it, once. */
void	 daemon_ready(struct daemon *, bool ok, const char *why);
void	 daemon_tell_hooks(struct daemon *, enum hook_event);
/* What it was to take over stays for the next one; and what it leaves. */
bool	 daemon_leaves_all(const struct daemon *);
void	 daemon_stop_by_force(struct daemon *);
/* Where it runs; else nothing happens. */
void	 daemon_stop_softly(struct daemon *);
/* Who has asked for its end is told that it does not come. */
void	 daemon_refuse(struct daemon *, const char *why);
/* An upgrade, if one is under way, does not come. */
void	 daemon_stay(struct daemon *, const char *why);
/* For an upgrade: nothing is at the disk any more. */
void	 daemon_has_left(void *daemon);
/* ns until an upgrade has taken too long. */
uint64_t daemon_watch_leave(struct daemon *);
/* From stage to stage. */
void	 daemon_check_end(struct daemon *);
void	 daemon_disk_stopped(void *daemon);
bool	 daemon_has_lost_writes(const struct daemon *);

#endif
