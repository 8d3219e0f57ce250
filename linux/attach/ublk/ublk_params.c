/*
 * ublk_params.c - what the kernel is told of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * NBD's preferred block is the least that is read and written well, so it is the
 * physical block, as far as a page goes, and both hints of I/O size.  What a server
 * cannot do is not offered, and the block layer does without: after writes that are to
 * be durable it flushes, zeroes it writes.
 */
#include "ublk_params.h"

#include <unistd.h>

#include "nbe.h"

#define SECTOR_SHIFT	9
#define DISCARD_MOST	(UINT32_MAX >> SECTOR_SHIFT)	/* of the block layer */

static uint8_t
shift_of(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

static uint32_t
clamp(uint32_t n, uint32_t least, uint32_t most)
{
	return n < least ? least : n > most ? most : n;
}

uint64_t
ublk_sectors(uint64_t size, uint32_t sector_size)
{
	return (size & ~(uint64_t)(sector_size - 1)) >> SECTOR_SHIFT;
}

static uint32_t
attributes(const struct ublkdev_config *c)
{
	static const struct {
		uint32_t all_of, attribute;
	} table[] = {
		{ NBE_FLAG_ROTATIONAL, UBLK_ATTR_ROTATIONAL },
		{ NBE_FLAG_SEND_FLUSH, UBLK_ATTR_VOLATILE_CACHE },
		{ NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA, UBLK_ATTR_FUA },
	};
	uint32_t attrs = c->read_only ? UBLK_ATTR_READ_ONLY : 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if ((c->flags & table[i].all_of) == table[i].all_of)
			attrs |= table[i].attribute;
	return attrs;
}

/* In whole granules, as the block layer wants it; 0: none. */
static uint32_t
discard_sectors(const struct ublkdev_config *c, uint32_t granule)
{
	uint64_t most = (uint64_t)DISCARD_MOST << SECTOR_SHIFT;

	if ((c->flags & NBE_FLAG_SEND_TRIM) == 0 || c->discard_max == 0)
		return 0;
	if (c->discard_max < most)
		most = c->discard_max > granule ? c->discard_max : granule;
	return (uint32_t)((most & ~(uint64_t)(granule - 1)) >> SECTOR_SHIFT);
}

void
ublk_params_make(struct ublk_params *p, const struct ublkdev_config *c)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	uint32_t wanted = clamp(c->block_pref, c->sector_size, UBLK_PAYLOAD_MAX);
	bool zeroes = (c->flags & NBE_FLAG_SEND_WRITE_ZEROES) != 0;

	*p = (struct ublk_params){
		.len = UBLK_PARAMS_LEN,
		.types = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD,
		.basic = {
			.attrs = attributes(c),
			.logical_bs_shift = shift_of(c->sector_size),
			.physical_bs_shift =
			    shift_of(clamp(wanted, c->sector_size, page)),
			.io_min_shift = shift_of(wanted),
			.io_opt_shift = shift_of(wanted),
			.max_sectors = UBLK_PAYLOAD_MAX >> SECTOR_SHIFT,
			.dev_sectors = ublk_sectors(c->size, c->sector_size),
		},
		.discard = {
			.discard_granularity = wanted,
			.max_discard_sectors = discard_sectors(c, wanted),
			.max_discard_segments = 1,
			.max_write_zeroes_sectors = zeroes ? (uint32_t)(DISCARD_MOST &
			    ~((wanted >> SECTOR_SHIFT) - 1)) : 0,
		},
	};
}
