/*
 * registry.h - driver options that survive a reboot.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * PASSIVE_LEVEL.
 */
#ifndef WNBD_REGISTRY_H
#define WNBD_REGISTRY_H

#include "port.h"

#include "options.h"

/* Remembers the service's key; DriverEntry's argument. */
NTSTATUS registry_load(const UNICODE_STRING *path);
void	 registry_unload(void);
/* STATUS_OBJECT_NAME_NOT_FOUND: it is not there, or of no use. */
NTSTATUS registry_get(enum option, int64_t *);
NTSTATUS registry_set(enum option, int64_t);
NTSTATUS registry_delete(enum option);

#endif
