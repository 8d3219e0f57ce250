/*
 * standby.h - servers that a device may go to later.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef STANDBY_H
#define STANDBY_H

#include "server.h"

/* Dials each of them once, and warns on stderr of those that are not there, or could
 * not take over a device that has this export: better than to learn it from a failover.
 * What is on the disk is not looked at. */
void	standby_check(const struct server *, unsigned count,
	    const struct nbe_export *have);

#endif
