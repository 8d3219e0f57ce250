/*
 * ublk_op.c - a request of the kernel into one of the disk; no I/O.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel has bounds of its own for what it sends; they are checked all the same.
 */
#include "ublk_op.h"

#include <errno.h>

#include "ublkdev.h"

static const struct {
	uint8_t		op;		/* enum nbe_op */
	bool		known, changes;
	bool		has_range, has_payload;
	uint32_t	needs;		/* NBE_FLAG_* of the server */
} ops[] = {
	[UBLK_IO_OP_READ] = { NBE_READ, true, false, true, true, 0 },
	[UBLK_IO_OP_WRITE] = { NBE_WRITE, true, true, true, true, 0 },
	[UBLK_IO_OP_FLUSH] = { NBE_FLUSH, true, false, false, false,
	    NBE_FLAG_SEND_FLUSH },
	[UBLK_IO_OP_DISCARD] = { NBE_TRIM, true, true, true, false,
	    NBE_FLAG_SEND_TRIM },
	[UBLK_IO_OP_WRITE_ZEROES] = { NBE_ZERO, true, true, true, false,
	    NBE_FLAG_SEND_WRITE_ZEROES },
};

static uint8_t
flags_of(uint32_t op_flags, uint8_t op)
{
	uint8_t flags = 0;

	if ((op_flags & UBLK_IO_F_FUA) != 0 && op != NBE_READ && op != NBE_FLUSH)
		flags |= NBE_FUA;
	if ((op_flags & UBLK_IO_F_NOUNMAP) != 0 && op == NBE_ZERO)
		flags |= NBE_NO_HOLE;
	return flags;
}

static bool
is_inside(const struct ublksrv_io_desc *d, const struct nbe_export *exp)
{
	uint64_t sectors = exp->size >> 9, offset = d->start_sector << 9;
	uint64_t length = (uint64_t)d->nr_sectors << 9;

	return d->start_sector < sectors && d->nr_sectors > 0 &&
	    d->nr_sectors <= sectors - d->start_sector &&
	    ((offset | length) & (exp->block_min - 1)) == 0;
}

int
ublk_decode(const struct ublksrv_io_desc *d, const struct nbe_export *exp,
    bool read_only, struct nbe_req *req)
{
	uint32_t op = d->op_flags & UBLK_IO_OP_MASK;

	if (op >= sizeof(ops) / sizeof(ops[0]) || !ops[op].known ||
	    (exp->flags & ops[op].needs) != ops[op].needs)
		return EOPNOTSUPP;
	if (ops[op].changes && read_only)
		return EROFS;
	if (ops[op].has_range && !is_inside(d, exp))
		return EINVAL;
	req->op = ops[op].op;
	req->flags = flags_of(d->op_flags, req->op);
	req->offset = ops[op].has_range ? d->start_sector << 9 : 0;
	req->length = ops[op].has_range ? (uint64_t)d->nr_sectors << 9 : 0;
	return ops[op].has_payload && req->length > UBLK_PAYLOAD_MAX ? EINVAL : 0;
}

int32_t
ublk_result(const struct nbe_req *req)
{
	return req->op == NBE_READ || req->op == NBE_WRITE ? (int32_t)req->length : 0;
}
