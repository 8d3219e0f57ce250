/*
 * ways.c - the ways in which a disk can become a device of this machine.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ways.h"

#include <stddef.h>

const char *const attach_names[] = {
	[ATTACH_AUTO] = "auto",
	[ATTACH_FUSE] = "fuse",
	[ATTACH_UBLK] = "ublk",
	[ATTACH_KINDS] = NULL,
};

/* In the order in which auto prefers them. */
static const struct {
	enum attach_kind kind;
	bool	built;
} ways[] = {
	{ ATTACH_UBLK, false },
	{ ATTACH_FUSE, true },
};

bool
attach_choose(enum attach_kind asked, enum attach_kind *chosen, struct errtext *err)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		bool wanted = asked == ATTACH_AUTO || asked == ways[i].kind;

		if (wanted && ways[i].built) {
			*chosen = ways[i].kind;
			return true;
		}
	}
	return errtext_set(err, "--via %s is not in this version; use auto or fuse",
	    attach_names[asked]);
}
