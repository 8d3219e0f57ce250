/*
 * pattern.c - data that tells where it belongs, many requests at once.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#define DEPTH_MAX	64

struct slot {
	struct nt_io	 io;
	uint64_t	*buf;
	uint64_t	 offset;
	bool		 busy;
};

static void
fill(uint64_t *p, ULONG len, uint64_t offset, uint64_t seed)
{
	ULONG i;

	for (i = 0; i < len / 8; i++)
		p[i] = (offset + i * 8) * 0x9e3779b97f4a7c15u + seed;
}

static bool
is_right(const uint64_t *p, ULONG len, uint64_t offset, uint64_t seed)
{
	ULONG i;

	for (i = 0; i < len / 8; i++)
		if (p[i] != (offset + i * 8) * 0x9e3779b97f4a7c15u + seed)
			return false;
	return true;
}

static NTSTATUS
settle(struct slot *s, bool write, ULONG piece, uint64_t seed)
{
	NTSTATUS status;

	if (!s->busy)
		return STATUS_SUCCESS;
	s->busy = false;
	status = nt_end(&s->io, LONG_MS);
	if (!NT_SUCCESS(status) || status == STATUS_TIMEOUT)
		return status == STATUS_TIMEOUT ? STATUS_IO_TIMEOUT : status;
	if (s->io.status.Information != piece)
		return STATUS_END_OF_FILE;
	if (!write && !is_right(s->buf, piece, s->offset, seed))
		return STATUS_CRC_ERROR;
	return STATUS_SUCCESS;
}

/* All of the range, once; the first error. */
static NTSTATUS
pass(HANDLE disk, struct slot *slots, unsigned depth, bool write, uint64_t offset,
    uint64_t len, ULONG piece, uint64_t seed)
{
	NTSTATUS status, first = STATUS_SUCCESS;
	uint64_t at;
	unsigned n = 0;

	for (at = offset; at < offset + len && NT_SUCCESS(first); at += piece, n++) {
		struct slot *s = &slots[n % depth];

		first = settle(s, write, piece, seed);
		if (write)
			fill(s->buf, piece, at, seed);
		s->offset = at;
		s->busy = true;
		nt_io_move(&s->io, disk, write, at, s->buf, piece);
	}
	for (n = 0; n < depth; n++) {
		status = settle(&slots[n], write, piece, seed);
		if (NT_SUCCESS(first))
			first = status;
	}
	return first;
}

NTSTATUS
exercise(HANDLE disk, uint64_t offset, uint64_t len, ULONG piece, unsigned depth,
    uint64_t seed)
{
	static struct slot slots[DEPTH_MAX];
	static uint8_t *memory;
	NTSTATUS status;
	unsigned i;

	if (memory == NULL)
		memory = nt_pages(DEPTH_MAX * MIB);
	if (memory == NULL || depth > DEPTH_MAX || piece > MIB)
		return STATUS_INVALID_PARAMETER;
	for (i = 0; i < depth; i++) {
		slots[i].buf = (uint64_t *)(void *)(memory + i * MIB);
		nt_io_init(&slots[i].io);
	}
	status = pass(disk, slots, depth, true, offset, len, piece, seed);
	if (NT_SUCCESS(status))
		status = pass(disk, slots, depth, false, offset, len, piece, seed);
	for (i = 0; i < depth; i++)
		nt_io_free(&slots[i].io);
	return status;
}
