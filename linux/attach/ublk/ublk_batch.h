/*
 * ublk_batch.h - many requests of ublk by one command (BATCH_IO, Linux 7.0).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One command is with the kernel for as long as a device is served, and tells again and
 * again which tags have a request; the answers of a round go with one command more.
 * All calls come from the ring's thread.
 */
#ifndef UBLK_BATCH_H
#define UBLK_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"

struct ublk_batch;

struct ublk_batch_config {
	struct ring	*ring;
	int		fd;		/* /dev/ublkcN */
	bool		registers;	/* payload, by the tag's number */
	/* There is a request for this tag. */
	void		(*came)(void *arg, unsigned tag);
	void		*arg;
};

/* NULL: out of memory. */
struct ublk_batch *ublk_batch_new(const struct ublk_batch_config *);
/* All tags are the kernel's from now on; in the ring's next submission. */
void	ublk_batch_fetch(struct ublk_batch *);
/* For a tag that came; it is the kernel's again. */
void	ublk_batch_answer(struct ublk_batch *, uint16_t tag, int32_t result);
/* No more requests will come: the device was stopped, or could not be served. */
bool	ublk_batch_ended(const struct ublk_batch *);
/* After ring_free. */
void	ublk_batch_free(struct ublk_batch *);

#endif
