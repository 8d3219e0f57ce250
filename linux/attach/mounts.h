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
 * Whether the disk or one of its partitions is mounted, in any mount name space,
 * swapped on, opened exclusively, a member of a btrfs, or under another device (device
 * mapper, RAID, bcache, loop), used or not.  users names every use, one per line:
 * "loop0p1 is mounted on /mnt", with the processes that are there; elsewhere, with one
 * of them.
 */
bool	mounts_in_use(dev_t disk, struct errtext *users);

#endif
