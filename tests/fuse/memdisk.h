/*
 * memdisk.h - disk.h over memory: what an attachment is tested against.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Completes through the ring, never inside disk_submit, all that came in one
 * round together.  Counts what it is asked for, and can be slow or fail.  TRIM
 * fills the range with garbage, since no TRIM promises zeroes.
 */
#ifndef MEMDISK_H
#define MEMDISK_H

#include "disk.h"
#include "ring.h"

/* Granularity of allocation, as NBE_EXTENTS tells it. */
#define MEMDISK_CHUNK	65536u

struct memdisk_config {
	uint64_t	size, size_max;	/* size_max: memdisk_grow goes up to here */
	uint32_t	block_min;
	uint16_t	flags;		/* NBE_FLAG_* */
	bool		has_alloc;
	bool		fast;		/* at zeroing, if it says so */
};

struct memdisk_counts {
	uint64_t	ops[NBE_OPS];
	uint64_t	fua, no_hole;	/* of these, with the flag */
	uint64_t	unaligned;	/* bugs: not whole blocks, or outside */
};

struct disk	*memdisk_new(struct ring *, const struct memdisk_config *);
void		 memdisk_free(struct disk *);
void		 memdisk_grow(struct disk *, uint64_t size);
/* The next count requests fail; requests wait for delay_ns. */
void		 memdisk_fail(struct disk *, enum nbe_err, unsigned count);
void		 memdisk_delay(struct disk *, uint64_t delay_ns);
const struct memdisk_counts *memdisk_counts(const struct disk *);

#endif
