/*
 * ublk_op.h - a request of the kernel into one of the disk; no I/O.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UBLK_OP_H
#define UBLK_OP_H

#include "nbe.h"
#include "ublk_proto.h"

/* Sets op, flags, offset and length.  0, or a positive errno: it is not one that the
 * device may have. */
int	ublk_decode(const struct ublksrv_io_desc *, const struct nbe_export *,
	    bool read_only, struct nbe_req *);
/* What the kernel is told of one that went well: bytes of its payload. */
int32_t	ublk_result(const struct nbe_req *);

#endif
