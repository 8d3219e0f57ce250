/*
 * pages.h - memory for payload: large, and touched only by what is used of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PAGES_H
#define PAGES_H

#include <stddef.h>

/* Zeroes, at the beginning of a page; no page is there before it is touched.  NULL: out
 * of memory.  munmap ends it. */
void	*pages_new(size_t size);
/* What is there goes back to the system, and reads as zeroes from now on.  Linux before
 * 5.18 keeps it, where it is locked. */
void	pages_rest(void *, size_t size);

#endif
