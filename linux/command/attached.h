/*
 * attached.h - what is attached already, before one more is.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A device keeps its configuration in its directory, as connect was told it; that is
 * what is compared, so no daemon need be asked.
 */
#ifndef ATTACHED_H
#define ATTACHED_H

#include "options.h"
#include "server.h"
#include "state.h"

/* Lines of a configuration file, to be freed, which mean the same wherever it is read;
 * NULL: out of memory. */
char	*attached_config(const struct server *, unsigned servers,
	    const struct options *);

enum attached { ATTACHED_NOT, ATTACHED_SAME, ATTACHED_OTHER, ATTACHED_LEFT };
/* Whether a device has this name.  SAME: state is it; OTHER: err has the first
 * difference; LEFT: state is it, and its daemon is dead, but not the block device. */
enum attached attached_find(struct state *, const char *name, const char *config,
	    struct errtext *);

/* Another living device that writes to the same export. */
bool	attached_twice(struct state *other, const char *name, const char *config);

#endif
