/*
 * openers.h - which processes have a file open.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef OPENERS_H
#define OPENERS_H

#include <stdbool.h>

#include "errtext.h"

/*
 * Whether a process, of those that we may look at, has path open; who names them,
 * one per line: "fio (process 123) has /dev/loop0 open".  With partitions, also
 * path0, pathp1 and the like.  Touches neither the file nor its file system.
 */
bool	openers_find(const char *path, bool partitions, struct errtext *who);

#endif
