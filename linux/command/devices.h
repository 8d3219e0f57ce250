/*
 * devices.h - snapshots of the devices that the command line names, or of all.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DEVICES_H
#define DEVICES_H

#include "control.h"
#include "options.h"
#include "state.h"

struct device {
	char		name[DEVICE_NAME_MAX + 1];
	bool		alive;		/* else only the name is known */
	struct control_snapshot snapshot;
};

struct devices {
	struct device	*item;
	size_t		count;
	bool		failed;		/* something was said on stderr */
};

/* One that has been opened; false: its daemon lives, and does not say. */
bool	device_get(struct device *, const struct state *, struct errtext *);
/* "DEAD", or as snapshot_state has it. */
const char *device_state(const struct device *);

/* False: out of memory, which was said. */
bool	devices_get(struct devices *, const struct options *);
void	devices_free(struct devices *);

#endif
