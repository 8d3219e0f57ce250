/*
 * memdisk.c - disk.h over memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "memdisk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GARBAGE	0xdb

struct disk {
	struct ring_op	 wake;
	struct ring	*ring;
	struct nbe_export exp;
	uint8_t		*bytes, *allocated;	/* allocated: one per chunk */
	uint64_t	 size_max;
	struct nbe_req	*first, **last;		/* to be done at the next wake */
	bool		 waking;
	struct __kernel_timespec delay;
	enum nbe_err	 error;
	unsigned	 failures;
	bool		 fast;		/* at zeroing */
	struct memdisk_counts counts;
};

static void
mark(struct disk *d, const struct nbe_req *r, bool allocated, bool whole_chunks)
{
	uint64_t first = r->offset, end = r->offset + r->length;

	if (whole_chunks)
		first += MEMDISK_CHUNK - 1;
	else
		end += MEMDISK_CHUNK - 1;
	for (uint64_t i = first / MEMDISK_CHUNK; i < end / MEMDISK_CHUNK; i++)
		d->allocated[i] = allocated;
}

static void
op_read(struct disk *d, struct disk_io *io)
{
	memcpy(io->data, d->bytes + io->req.offset, io->req.length);
}

static void
op_write(struct disk *d, struct disk_io *io)
{
	memcpy(d->bytes + io->req.offset, io->data, io->req.length);
	mark(d, &io->req, true, false);
}

static void
op_flush(struct disk *d, struct disk_io *io)
{
	(void)d;
	(void)io;
}

static void
op_trim(struct disk *d, struct disk_io *io)
{
	memset(d->bytes + io->req.offset, GARBAGE, io->req.length);
	mark(d, &io->req, true, false);
}

static void
op_zero(struct disk *d, struct disk_io *io)
{
	bool keep = (io->req.flags & NBE_NO_HOLE) != 0;

	memset(d->bytes + io->req.offset, 0, io->req.length);
	mark(d, &io->req, keep, !keep);
}

/* Two runs at most, so that whoever asks must ask again. */
static void
op_extents(struct disk *d, struct disk_io *io)
{
	struct nbe_req *r = &io->req;
	uint64_t at = r->offset, end = r->offset + r->length;

	r->extents_count = 0;
	while (at < end && r->extents_count < 2 && r->extents_count < r->extents_max) {
		struct nbe_extent *e = &r->extents[r->extents_count++];
		bool allocated = d->allocated[at / MEMDISK_CHUNK];
		uint64_t from = at;

		while (at < end && d->allocated[at / MEMDISK_CHUNK] == allocated)
			at = (at / MEMDISK_CHUNK + 1) * MEMDISK_CHUNK;
		e->length = (at < end ? at : end) - from;
		e->flags = allocated ? 0 : NBE_EXTENT_HOLE | NBE_EXTENT_ZERO;
	}
}

static void (*const carry_out[NBE_OPS])(struct disk *, struct disk_io *) = {
	[NBE_READ] = op_read, [NBE_WRITE] = op_write, [NBE_FLUSH] = op_flush,
	[NBE_TRIM] = op_trim, [NBE_ZERO] = op_zero, [NBE_CACHE] = op_flush,
	[NBE_EXTENTS] = op_extents,
};

/* As the engine answers for a server that has no fast way to zero, or not here. */
static bool
offers(const struct disk *d, const struct nbe_req *r)
{
	return r->op != NBE_ZERO || (r->flags & NBE_FAST_ONLY) == 0 ||
	    (d->fast && (d->exp.flags & NBE_FLAG_SEND_FAST_ZERO) != 0);
}

static enum nbe_err
carry(struct disk *d, struct disk_io *io)
{
	const struct nbe_req *r = &io->req;

	if (!offers(d, r))
		return NBE_ENOTSUP;
	d->counts.ops[r->op]++;
	d->counts.fua += (r->flags & NBE_FUA) != 0;
	d->counts.no_hole += (r->flags & NBE_NO_HOLE) != 0;
	if (((r->offset | r->length) & (d->exp.block_min - 1)) != 0 ||
	    r->offset > d->exp.size || r->length > d->exp.size - r->offset) {
		d->counts.unaligned++;
		return NBE_EINVAL;
	}
	if (d->failures > 0) {
		d->failures--;
		return d->error;
	}
	carry_out[r->op](d, io);
	return NBE_OK;
}

static void
wake(struct ring_op *op, int res, uint32_t flags)
{
	struct disk *d = container_of(op, struct disk, wake);
	struct nbe_req *r = d->first;

	(void)res;
	(void)flags;
	d->waking = false;
	d->first = NULL;
	d->last = &d->first;
	while (r != NULL) {
		struct disk_io *io = container_of(r, struct disk_io, req);

		r = r->next;
		io->req.error = (uint8_t)carry(d, io);
		io->done(io);
	}
}

void
disk_submit(struct disk *d, struct disk_io *io)
{
	struct io_uring_sqe *sqe;

	io->req.next = NULL;
	*d->last = &io->req;
	d->last = &io->req.next;
	if (d->waking)
		return;
	d->waking = true;
	sqe = ring_sqe(d->ring);
	if (d->delay.tv_nsec != 0 || d->delay.tv_sec != 0)
		io_uring_prep_timeout(sqe, &d->delay, 0, 0);
	else
		io_uring_prep_nop(sqe);
	ring_bind(sqe, &d->wake);
}

bool
disk_has_old_writes(const struct disk *d)
{
	(void)d;
	return false;
}

enum disk_past
disk_past(const struct disk *d)
{
	(void)d;
	return DISK_PAST_SAFE;
}

const struct nbe_export *
disk_export(const struct disk *d)
{
	return &d->exp;
}

struct disk *
memdisk_new(struct ring *ring, const struct memdisk_config *c)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->ring = ring;
	d->wake.done = wake;
	d->last = &d->first;
	d->size_max = c->size_max;
	d->fast = c->fast;
	d->exp = (struct nbe_export){
		.size = c->size, .block_min = c->block_min,
		.block_pref = c->block_min > 4096 ? c->block_min : 4096,
		.payload_max = NBE_PAYLOAD_DEFAULT,
		.flags = c->flags, .has_alloc = c->has_alloc,
	};
	d->allocated = calloc(1, c->size_max / MEMDISK_CHUNK + 1);
	d->bytes = mmap(NULL, c->size_max, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (d->allocated == NULL || d->bytes == MAP_FAILED)
		abort();
	return d;
}

void
memdisk_free(struct disk *d)
{
	munmap(d->bytes, d->size_max);
	free(d->allocated);
	free(d);
}

void
memdisk_grow(struct disk *d, uint64_t size)
{
	if (size <= d->size_max)
		d->exp.size = size;
}

void
memdisk_fail(struct disk *d, enum nbe_err error, unsigned count)
{
	d->error = error;
	d->failures = count;
}

void
memdisk_delay(struct disk *d, uint64_t delay_ns)
{
	d->delay.tv_sec = (int64_t)(delay_ns / NBE_SECOND);
	d->delay.tv_nsec = (long long)(delay_ns % NBE_SECOND);
}

const struct memdisk_counts *
memdisk_counts(const struct disk *d)
{
	return &d->counts;
}
