/*
 * ublk_past.c - what the server before this one may have left, when it was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ublk_past.h"

#define FAIL_TIME	NBE_SECOND
#define BLOCK_LEAST	512u

static struct ublk_held *
take_all(struct ublk_past *p)
{
	struct ublk_held *first = p->first;

	p->first = p->last = NULL;
	return first;
}

void
ublk_past_fail(struct ublk_past *p, enum nbe_err error)
{
	struct ublk_held *next;

	for (struct ublk_held *h = take_all(p); h != NULL; h = next) {
		next = h->next;
		h->io->req.error = (uint8_t)error;
		h->io->done(h->io);
	}
}

static void
time_is_up(struct ring_op *op, int res, uint32_t flags)
{
	struct ublk_past *p = container_of(op, struct ublk_past, timer);
	struct ublk_held *next;

	(void)res;
	(void)flags;
	p->fencing = false;
	for (struct ublk_held *h = take_all(p); h != NULL; h = next) {
		next = h->next;
		disk_submit(p->disk, h->io);
	}
}

/* Who is dead for so long that a read fails has writes fail, too; and is asked again
 * when there is another one. */
static void
answered(struct disk_io *io)
{
	struct ublk_past *p = container_of(io, struct ublk_past, probe);
	struct io_uring_sqe *sqe;

	if (io->req.error != NBE_OK) {
		p->asking = false;
		ublk_past_fail(p, (enum nbe_err)io->req.error);
		return;
	}
	sqe = ring_sqe(p->ring);
	io_uring_prep_timeout(sqe, &p->fence, 0, 0);
	ring_bind(sqe, &p->timer);
}

uint32_t
ublk_past_block(const struct disk *disk)
{
	uint32_t block = disk_export(disk)->block_min;

	return block > BLOCK_LEAST ? block : BLOCK_LEAST;
}

static void
ask(struct ublk_past *p)
{
	p->asking = true;
	p->probe.req = (struct nbe_req){
		.op = NBE_READ, .length = ublk_past_block(p->disk),
	};
	disk_submit(p->disk, &p->probe);
}

void
ublk_past_begin(struct ublk_past *p, struct ring *ring, struct disk *disk,
    uint64_t fence_ns, bool fail_flush, uint8_t *block)
{
	*p = (struct ublk_past){
		.ring = ring, .disk = disk, .probe.data = block,
		.probe.done = answered, .timer.done = time_is_up,
		.fence.tv_sec = (int64_t)(fence_ns / NBE_SECOND),
		.fence.tv_nsec = (long long)(fence_ns % NBE_SECOND),
		.fencing = true, .fail_flush = fail_flush,
	};
	ask(p);
}

bool
ublk_past_fails(struct ublk_past *p, const struct nbe_req *r)
{
	nbe_time now;

	if (!p->fail_flush || r->op != NBE_FLUSH)
		return false;
	now = clock_now();
	if (p->fail_until == 0)
		p->fail_until = now + FAIL_TIME;
	p->fail_flush = now < p->fail_until;
	return p->fail_flush;
}

bool
ublk_past_holds(struct ublk_past *p, struct ublk_held *h)
{
	uint8_t op = h->io->req.op;

	if (!p->fencing || op == NBE_READ || op == NBE_FLUSH)
		return false;
	h->next = NULL;
	if (p->first == NULL)
		p->first = h;
	else
		p->last->next = h;
	p->last = h;
	if (!p->asking)
		ask(p);
	return true;
}
