/*
 * devices.h - snapshots of the devices that the command line names, or of all.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DEVICES_H
#define DEVICES_H

#include "control.h"
#include "options.h"

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

/* False: out of memory, which was said. */
bool	devices_get(struct devices *, const struct options *);
void	devices_free(struct devices *);

#endif
