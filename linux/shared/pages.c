/*
 * pages.c - memory that may be large, and what of it is there.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "pages.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24	/* Linux 5.18 */
#endif

void *
pages_new(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Huge pages would make every buffer resident at its first use. */
	(void)madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

void
pages_rest(void *p, size_t size)
{
	if (madvise(p, size, MADV_DONTNEED_LOCKED) < 0)
		(void)madvise(p, size, MADV_DONTNEED);
}

/* Before Linux 5.14. */
static void
touch(uint8_t *p, size_t size, size_t page)
{
	for (size_t i = 0; i < size; i += page) {
		volatile uint8_t *byte = p + i;

		*byte = *byte;
	}
}

bool
pages_ready(void *p, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)p % page;
	uint8_t *first = (uint8_t *)p - before;

	if (madvise(first, size + before, MADV_POPULATE_WRITE) == 0)
		return true;
	if (errno != EINVAL)
		return false;
	touch(p, size, page);
	return true;
}

void *
pages_malloc(size_t size)
{
	void *p = malloc(size);

	if (p != NULL && pages_ready(p, size))
		return p;
	free(p);
	return NULL;
}
