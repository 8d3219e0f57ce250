/*
 * link_impl.h - what the parts of a connection share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LINK_IMPL_H
#define LINK_IMPL_H

#include "disk.h"
#include "link.h"
#include "payload.h"
#include "tls.h"

static inline bool
in_process_tls(const struct link *l)
{
	return l->nbc.tls != NULL;
}

static inline struct disk_io *
io_of(struct nbe_req *r)
{
	return container_of(r, struct disk_io, req);
}

static inline bool
in_pages(const struct nbe_seg *seg)
{
	return seg->kind == NBE_SEG_DATA && payload_in_pages(io_of(seg->req));
}

/* Where a part of it begins, for an operation with a registered buffer. */
static inline void *
pages_at(const struct nbe_seg *seg)
{
	return (void *)(uintptr_t)(io_of(seg->req)->pages.start + seg->off);
}

/* ---- link.c: how it ends ------------------------------------------------------ */

/* What a socket's error, 0 for its end, means to the engine; it is remembered. */
enum nbe_why link_lost(struct link *, int err);
enum nbe_why link_tls_lost(struct link *);
/* After each operation that is back: if it is closing, and that was the last one. */
void	link_finish(struct link *);

/* ---- link_send.c -------------------------------------------------------------- */

void	link_sent(struct ring_op *, int res, uint32_t flags);
void	link_sent_before(struct ring_op *, int res, uint32_t flags);
/* Keys that the server wants changed come before all else that is sent. */
void	link_update_keys(struct link *);

/* ---- link_recv.c -------------------------------------------------------------- */

void	link_start_recv(struct link *);
void	link_received(struct ring_op *, int res, uint32_t flags);

#endif
