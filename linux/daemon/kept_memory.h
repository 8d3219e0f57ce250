/*
 * kept_memory.h - memory that outlives the daemon: what replay keeps.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The engine's records, and behind them the keep buffer.  It is a file that has no
 * name, and is there as long as somebody has it open (kept.h).  Nobody can make it
 * shorter, so that a look into it is no signal.
 */
#ifndef KEPT_MEMORY_H
#define KEPT_MEMORY_H

#include <stdint.h>

#include "errtext.h"
#include "nbe.h"

struct kept_memory {
	int	fd;
	void	*map;		/* records; NULL: it is not open */
	uint8_t	*keep;
	size_t	size;
};

/* Without replay 0. */
size_t	kept_memory_size(const struct nbe_dev_config *);
/* taken: what another daemon has left, or -1; what is not of the right kind and size is
 * left alone, and the memory is new.  All of it is there. */
bool	kept_memory_open(struct kept_memory *, int taken, const struct nbe_dev_config *,
	    struct errtext *);
/* Also of one that is all zero, and was never opened. */
void	kept_memory_close(struct kept_memory *);

#endif
