/*
 * udev_names.h - what udev names a device by.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UDEV_NAMES_H
#define UDEV_NAMES_H

#include "connect.h"
#include "state.h"

/* Into the device's directory, for 60-nbdisk.rules: NBDISK_NAME, and NBDISK_PATH,
 * which is where the disk comes from.  Before there is a block device, for then udev
 * looks. */
bool	udev_names_write(const struct state *, const struct nbc_target *);

#endif
