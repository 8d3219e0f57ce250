/*
 * ways.c - the ways in which a disk can become a device of this machine.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ways.h"

#include <stddef.h>

#include "privilege.h"
#include "ublkdev.h"

const char *const attach_names[] = {
	[ATTACH_AUTO] = "auto",
	[ATTACH_FUSE] = "fuse",
	[ATTACH_UBLK] = "ublk",
	[ATTACH_KINDS] = NULL,
};

static bool
ublk_possible(struct errtext *err)
{
	if (!privilege_is_root())
		return errtext_set(err, "ublk: root only");
	return ublkdev_possible(err);
}

/* In the order in which auto prefers them. */
static const struct {
	enum attach_kind kind;
	bool	(*possible)(struct errtext *);	/* NULL: always tried */
} ways[] = {
	{ ATTACH_UBLK, ublk_possible },
	{ ATTACH_FUSE, NULL },
};

bool
attach_choose(enum attach_kind asked, enum attach_kind *chosen, struct errtext *err)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (asked != ATTACH_AUTO && asked != ways[i].kind)
			continue;
		*chosen = ways[i].kind;
		if (ways[i].possible == NULL || ways[i].possible(err))
			return true;
	}
	return false;
}
