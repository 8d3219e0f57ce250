/*
 * snapshot.h - all that a command may want to know of a device, at one moment.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "attachment.h"
#include "connect.h"
#include "control.h"
#include "disk_owner.h"
#include "front.h"
#include "settings.h"
#include "state.h"

struct snapshot_source {
	const struct state	*state;
	const struct dialer_server *server;
	unsigned		servers;
	const struct settings	*settings;
	const struct attachment	*attachment;
	const uint64_t		*size;		/* of what is attached */
	const unsigned		*takeovers;
	const bool		*outlives;
	const bool		*node_lost;	/* somebody else has detached it */
	const struct disk	*disk;
	const struct front	*front;
	const char		*about;		/* NULL: the server did not say */
	nbe_time		started;
};

void	snapshot_take(struct control_snapshot *, const struct snapshot_source *);

#endif
