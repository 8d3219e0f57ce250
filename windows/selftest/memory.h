/*
 * memory.h - what a disk holds, in memory: terabytes, of which only what was written
 * takes room.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Any thread.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory;

struct memory *memory_new(void);		/* NULL: out of memory */
void	memory_free(struct memory *);
/* Zeroes, where nothing was written. */
void	memory_read(struct memory *, uint64_t offset, void *buf, uint32_t len);
bool	memory_write(struct memory *, uint64_t offset, const void *buf, uint32_t len);
void	memory_zero(struct memory *, uint64_t offset, uint64_t len);

#endif
