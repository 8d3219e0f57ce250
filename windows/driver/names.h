/*
 * names.h - what Windows calls the disks: their numbers and device instance ids.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * PASSIVE_LEVEL.
 */
#ifndef WNBD_NAMES_H
#define WNBD_NAMES_H

#include "port.h"

void	names_load(DRIVER_OBJECT *);	/* with DriverEntry */
/* DiskNumber and PNPDeviceID of those disks that Windows knows by now. */
void	names_find(WNBD_CONNECTION_INFO *, size_t count);

#endif
