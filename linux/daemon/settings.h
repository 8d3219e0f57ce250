/*
 * settings.h - what a user may choose for a device, as the daemon takes it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "nbe.h"

struct settings {
	unsigned	depth;		/* commands under way per connection */
	nbe_time	timeout, dead_timeout, fence;
	uint64_t	keep_size;
	enum nbe_unflushed unflushed;
	uint32_t	sector_size;	/* of a block device; 0: as the server has it */
	bool		read_only;	/* whatever the server allows */
	bool		shared;		/* others write to the disk, too: its content
					 * says nothing of whether it is the same */
	nbe_time	path_timeout;	/* of several servers: see nbe.h */
	nbe_time	failback;
	enum nbe_fence_by fence_by;
	const char	*fence_command;	/* for NBE_FENCE_COMMAND: a path */
	uint64_t	discard_max;	/* bytes at a time, though it may take long; 0:
					 * no discards; UINT64_MAX: only if fast */
};

#endif
