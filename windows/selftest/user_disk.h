/*
 * user_disk.h - a disk that this process serves, through libwnbd.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef USER_DISK_H
#define USER_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "wnbd.h"

enum mood {
	MOOD_WELL,
	MOOD_SLOW,		/* 20 ms for each answer */
	MOOD_SHORT,		/* reads bring 512 bytes */
	MOOD_SICK,		/* reads and writes fail */
	MOOD_DEAF,		/* reads are never answered */
};

struct user_disk {
	PWNBD_DISK	disk;
	struct memory	*memory;
	volatile LONG	mood;
	volatile LONG	reads, writes, fua, flushes, unmaps, reserve_in, reserve_out;
};

/* Created, and its dispatcher running. */
DWORD	user_disk_start(struct user_disk *, const char *name, uint64_t size,
	    uint32_t block_size);
/* Removed, if it is not: soft asks first.  Freed. */
DWORD	user_disk_stop(struct user_disk *, bool soft);

#endif
