/*
 * wnbd_disk.h - the adapter's commands, and a disk that this process serves.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WNBD_DISK_H
#define WNBD_DISK_H

#include "nt.h"

#include <winioctl.h>

#include "test_ioctl.h"
#include "wnbd_ioctl.h"

#define ADAPTER_IOCTL	0x0004d038	/* IOCTL_MINIPORT_PROCESS_SERVICE_IRP */
#define SERVERS		4	/* threads that fetch requests */

enum mood {
	MOOD_WELL,
	MOOD_SLOW,		/* 20 ms for each answer */
	MOOD_DEAF,		/* reads and writes are never answered */
};

struct user_disk {
	HANDLE		 port;
	WNBD_CONNECTION_ID id;
	uint8_t		*data;
	uint64_t	 size, room;	/* the disk is room bytes, again and again */
	HANDLE		 thread[SERVERS];
	volatile LONG	 mood;
	volatile LONG	 reads, writes, fua, flushes, unmaps, bad;
};

NTSTATUS adapter_open(HANDLE *);
/* A command of wnbd_ioctl.h, or an ioctl of the test port. */
NTSTATUS adapter_command(HANDLE, void *in, ULONG in_len, void *out, ULONG out_len);
NTSTATUS adapter_test(HANDLE, ULONG code, ULONG value);
struct test_report adapter_report(HANDLE);
NTSTATUS adapter_create(HANDLE, const WNBD_PROPERTIES *, WNBD_CONNECTION_INFO *);
NTSTATUS adapter_remove(HANDLE, const char *name);
NTSTATUS adapter_show(HANDLE, const char *name, WNBD_CONNECTION_INFO *);
/* Waits until the system has the disk, and opens it: \\.\PhysicalDriveN. */
NTSTATUS adapter_disk(HANDLE, const char *name, HANDLE *disk, WNBD_CONNECTION_INFO *);
/* Waits until the disk is not mapped any more. */
bool	adapter_is_gone(HANDLE, const char *name);

/* What a disk of this process asks for in CREATE. */
WNBD_PROPERTIES user_disk_properties(const char *name, uint64_t size);
/* data has size bytes.  Created, and served. */
NTSTATUS user_disk_start(struct user_disk *, const char *name, void *data,
	    uint64_t size);
/* A large one: data has room bytes. */
NTSTATUS user_disk_start_large(struct user_disk *, const char *name, void *data,
	    uint64_t room, uint64_t size);
/* After it was removed: its threads have ended. */
bool	user_disk_ended(struct user_disk *);

#endif
