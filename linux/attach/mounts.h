/*
 * mounts.h - who uses a block device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For "disconnect refuses while the device is in use, and says by whom".  Any
 * thread may call; nothing here reads the device itself.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "errtext.h"

/*
 * Whether the disk or one of its partitions is mounted, swapped on, opened exclusively,
 * or under another device (device mapper, RAID, loop), used or not.  users names every
 * use, one per line: "loop0p1 is mounted on /mnt".  What another mount namespace does
 * is seen too, though not where.
 */
bool	mounts_in_use(dev_t disk, struct errtext *users);

#endif
