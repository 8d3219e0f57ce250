/*
 * pages.c - memory for payload: large, and touched only by what is used of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "pages.h"

#include <sys/mman.h>

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
