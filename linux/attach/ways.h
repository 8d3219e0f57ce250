/*
 * ways.h - the ways in which a disk can become a device of this machine.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WAYS_H
#define WAYS_H

#include <stdbool.h>

#include "errtext.h"

enum attach_kind {
	ATTACH_AUTO,
	ATTACH_FUSE,		/* FUSE: under a loop device as root, else as a file */
	ATTACH_UBLK,		/* the kernel's driver; as root */
	ATTACH_KINDS
};
extern const char *const attach_names[ATTACH_KINDS + 1];	/* ends with NULL */

/* What auto means here; false: what was asked for is not to be had here. */
bool	attach_choose(enum attach_kind asked, enum attach_kind *, struct errtext *);

#endif
