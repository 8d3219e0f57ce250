/*
 * hooks.h - programs that are told what becomes of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon may start no programs, and waits for none: a process of its own does,
 * forked before the daemon gives its rights up.  It runs one program at a time, in the
 * order of what happened, without the daemon's priority for memory.  Where there is no
 * program there is no process.
 */
#ifndef HOOKS_H
#define HOOKS_H

#include "attachment.h"
#include "dialer.h"
#include "nbe.h"
#include "state.h"

#define HOOK_DIR	NBDISK_CONFIG_DIR "/hook.d"

enum hook_event {
	HOOK_UP,	/* attached */
	HOOK_LOST,	/* no server, for a moment by now */
	HOOK_BACK,	/* after LOST: a server again */
	HOOK_DEAD,	/* after LOST: the dead-timeout is over, requests fail */
	HOOK_RESIZED,
	HOOK_MOVED,	/* to another server */
	HOOK_EVENTS
};

struct hooks {
	int		sock;		/* -1: nobody is to be told */
	bool		lost, dead;	/* told so */
};

struct hooks_config {
	const char	*program;	/* absolute; NULL: only those of HOOK_DIR */
	const struct dialer_server *server;	/* by path */
	bool		keep_stderr;	/* else what they say goes nowhere */
};

/* Before ring_init and confine. */
bool	hooks_start(struct hooks *, const struct hooks_config *, const struct state *,
	    struct errtext *);
/* Waits for nobody; false: too much is waiting already, or the process has died. */
bool	hooks_tell(struct hooks *, enum hook_event, const struct attachment *,
	    uint64_t size, unsigned path);
/* What is to be told now, HOOK_EVENTS for nothing, of a disk that has been without a
 * server for so long, 0: it has one.  *next: ns until it wants to be asked again. */
enum hook_event hooks_turn(struct hooks *, nbe_time down_for, nbe_time dead_timeout,
	    uint64_t *next);
/* What is waiting is still told. */
void	hooks_end(struct hooks *);

#endif
