/*
 * payload.h - bytes out of and into the payload of an I/O, wherever that is.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For what does not go straight between a socket and payload in pages: what was read
 * ahead, zeroes that are not sent, and TLS in this process.  A system call for each, if
 * it is in pages; the kernel refuses it when who does the I/O has taken these away.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stddef.h>

#include "disk.h"

static inline bool
payload_in_pages(const struct disk_io *io)
{
	return io->data == NULL;
}

/* Of a read.  Where it fails io is torn. */
void	payload_put(struct disk_io *, uint64_t offset, const void *, size_t);
void	payload_zero(struct disk_io *, uint64_t offset, size_t);
/* Of a write. */
bool	payload_get(const struct disk_io *, uint64_t offset, void *, size_t);

#endif
