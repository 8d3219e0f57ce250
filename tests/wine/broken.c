/*
 * broken.c - wnbd.sys with an engine whose assertions fail when they are told to.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The driver's own objects; the linker puts these functions in front of the engine's
 * (--wrap).  What is told is where a request begins, and the name of an export.
 */
#include <string.h>

#include "nbe.h"

#define IN_SUBMIT	(1u << 20)	/* in HwStartIo, at DISPATCH_LEVEL */
#define IN_THREAD	(2u << 20)	/* in the disk's thread, at the next send */
#define BAD_EXPORT	"broken"	/* in the handshake */

/* The device that is to fail in its thread.  Other requests may come in between. */
static struct nbe_dev *soon;

void	__real_nbe_submit(struct nbe_dev *, struct nbe_req *, nbe_time);
void	__wrap_nbe_submit(struct nbe_dev *, struct nbe_req *, nbe_time);
unsigned __real_nbe_tx_begin(struct nbe_dev *, unsigned, struct nbe_seg *, unsigned,
	    nbe_time);
unsigned __wrap_nbe_tx_begin(struct nbe_dev *, unsigned, struct nbe_seg *, unsigned,
	    nbe_time);
void	__real_nbe_hs_init(struct nbe_hs *, const struct nbe_hs_config *);
void	__wrap_nbe_hs_init(struct nbe_hs *, const struct nbe_hs_config *);

void
__wrap_nbe_submit(struct nbe_dev *dev, struct nbe_req *req, nbe_time now)
{
	NBE_ASSERT(req->offset != IN_SUBMIT);
	if (req->offset == IN_THREAD)
		soon = dev;
	__real_nbe_submit(dev, req, now);
}

unsigned
__wrap_nbe_tx_begin(struct nbe_dev *dev, unsigned conn, struct nbe_seg *seg,
    unsigned nseg, nbe_time now)
{
	bool fail = soon == dev;

	if (fail)
		soon = NULL;
	NBE_ASSERT(!fail);
	return __real_nbe_tx_begin(dev, conn, seg, nseg, now);
}

void
__wrap_nbe_hs_init(struct nbe_hs *hs, const struct nbe_hs_config *cfg)
{
	NBE_ASSERT(strcmp(cfg->name, BAD_EXPORT) != 0);
	__real_nbe_hs_init(hs, cfg);
}
