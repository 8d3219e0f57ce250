/*
 * pages.h - memory that may be large, and what of it is there.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PAGES_H
#define PAGES_H

#include <stdbool.h>
#include <stddef.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ	22	/* Linux 5.14 */
#define MADV_POPULATE_WRITE	23
#endif

/* Zeroes, at the beginning of a page; no page is there before it is touched.  NULL: out
 * of memory.  munmap ends it. */
void	*pages_new(size_t size);
/* All of it, which may be written, is there from now on, and stays where memory is
 * locked: who serves a disk must not wait for a page.  False: out of memory. */
bool	pages_ready(void *, size_t size);
/* As malloc, and all of it is there.  free ends it. */
void	*pages_malloc(size_t size);
/* What is there goes back to the system, and reads as zeroes from now on.  Linux before
 * 5.18 keeps it, where it is locked. */
void	pages_rest(void *, size_t size);

#endif
