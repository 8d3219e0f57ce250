/*
 * keeper.h - stays in the foreground for a device whose daemon may be killed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who watches this process, as systemd does, sees one that lives as long as the device
 * does: the daemon is its child, and so are those that take its place.  (A service that
 * ends and is started again takes what depends on it along, such as mounts.)  Signals
 * that tell it to end it passes on.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <signal.h>
#include <stdbool.h>

#include "state.h"

struct keeper {
	sigset_t before;
};

/* Before the child is made; and in that. */
void	keeper_begin(struct keeper *);
void	keeper_is_child(const struct keeper *);
/* Until there is no daemon any more.  False: the last one was killed, or has lost
 * writes.  Closes all files but the standard ones. */
bool	keeper_stay(struct state *);

#endif
