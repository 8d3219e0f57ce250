/*
 * openers.h - which processes have a file open.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OPENERS_H
#define OPENERS_H

#include <stdbool.h>

#include "errtext.h"

enum openers_of {
	OPENERS_OF_DISK,	/* path and its partitions, pathp1 and the like */
	OPENERS_OF_TREE,	/* path, and all that lies below it */
};

/*
 * Whether a process, of those that we may look at and other than this one, has path
 * open, or stands in it; who names them, one per line: "fio (process 123) has
 * /dev/loop0 open".  Touches neither the file nor its file system.
 */
bool	openers_find(const char *path, enum openers_of, struct errtext *who);

#endif
