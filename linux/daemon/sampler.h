/*
 * sampler.h - is it the same disk?  Fingerprints of some blocks.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Of some blocks that were read it remembers a sum, as long as nothing changes them.
 * One counts when a flush has covered what the read may have seen, so that a server
 * that was restarted, or another one of the same store, must have it, too.  When the
 * engine asks (nbe_work.compare), these blocks are read again.
 *
 * Not remembered are blocks of zeroes, which an empty disk has as well, and what a
 * change that failed may still write at any time.
 */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdbool.h>

#include "disk.h"

#define SAMPLES		32u

struct sampler;

/* dev must outlive it.  block_min is that of the export.  NULL: out of memory. */
struct sampler *sampler_new(struct nbe_dev *, uint32_t block_min);
void	sampler_free(struct sampler *);

/* Each I/O of the attachment: before nbe_submit, and when it is done. */
void	sampler_submitted(struct sampler *, struct disk_io *);
void	sampler_done(struct sampler *, const struct disk_io *, nbe_time now);

/* Whether it would like to have a sample of the next read: of few, so that to look for
 * one costs nothing.  It looks at no payload that is not in memory. */
bool	sampler_wants(struct sampler *, nbe_time now);

/* Reads what is remembered, and says nbe_compared when all is there.  different is
 * called first where it is another disk.  True: the engine has something to do. */
bool	sampler_compare(struct sampler *, uint32_t number, nbe_time now);
void	sampler_on_different(struct sampler *, void (*different)(void *), void *arg);

#endif
