/*
 * links.h - /dev/nbdisk/NAME, which leads to a block device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LINKS_H
#define LINKS_H

#include <stdbool.h>

#include "errtext.h"

/* In buf of STATE_PATH_MAX. */
void	links_path(const char *name, char *buf);
/* node is the device's name in /dev. */
bool	links_make(const char *name, const char *node, struct errtext *);
/* Unless it leads elsewhere. */
void	links_remove(const char *name, const char *node);

#endif
