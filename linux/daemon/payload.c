/*
 * payload.c - bytes out of and into the payload of an I/O, wherever that is.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "payload.h"

#include <string.h>
#include <unistd.h>

#define ZEROES	(64 * 1024)

static off_t
place(const struct disk_io *io, uint64_t offset)
{
	return io->pages.at + (off_t)offset;
}

static void
put_in_pages(struct disk_io *io, uint64_t offset, const void *from, size_t n)
{
	if (pwrite(io->pages.fd, from, n, place(io, offset)) != (ssize_t)n)
		io->torn = true;
}

void
payload_put(struct disk_io *io, uint64_t offset, const void *from, size_t n)
{
	if (payload_in_pages(io))
		put_in_pages(io, offset, from, n);
	else
		memcpy(io->data + offset, from, n);
}

void
payload_zero(struct disk_io *io, uint64_t offset, size_t n)
{
	static const uint8_t zeroes[ZEROES];

	if (!payload_in_pages(io)) {
		memset(io->data + offset, 0, n);
		return;
	}
	for (size_t part; n != 0; n -= part, offset += part) {
		part = n < ZEROES ? n : ZEROES;
		put_in_pages(io, offset, zeroes, part);
	}
}

bool
payload_get(const struct disk_io *io, uint64_t offset, void *to, size_t n)
{
	if (payload_in_pages(io))
		return pread(io->pages.fd, to, n, place(io, offset)) == (ssize_t)n;
	memcpy(to, io->data + offset, n);
	return true;
}
