/*
 * fuse_io.c - carry out an order at the disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An order becomes up to FUSE_STEPS_MAX steps, one after another.  A read or
 * write of whole blocks is one step straight into or out of the request's own
 * buffer.  An order that begins or ends inside a block is made whole in the
 * bounce buffer: read the blocks at the edges, patch the bytes in, write.
 *
 * Such a read-modify-write writes back bytes that it was not asked to touch.  A
 * write to them that completes in between would be undone, so it runs alone: it
 * waits until no write is at the disk, and all later ones wait for it (struct
 * fuse_gate).  That is slow and simple; no loop device and no sane program comes
 * this way, and servers that take any byte never need it.
 */
#include <errno.h>
#include <string.h>

#include "fuse_impl.h"
#include "nbe_errno.h"

/* What fits into one answer to NBE_EXTENTS.  The request's buffer holds them. */
#define EXTENTS_MAX	1024

/* A disk in very many pieces: after so many questions, call the rest data, which
 * is always allowed and ends the wait of the program. */
#define ASKS_MAX	256

_Static_assert(EXTENTS_MAX * sizeof(struct nbe_extent) <= FUSE_PAYLOAD_MAX, "room");

static void run(struct fuse_req *);

/* ---- plans ------------------------------------------------------------------- */

static void
add_step(struct fuse_req *r, enum nbe_op op, uint8_t flags, uint64_t offset,
    uint64_t length, uint8_t *data)
{
	r->step[r->steps++] = (struct fuse_step){
		.offset = offset, .length = length, .data = data,
		.op = (uint8_t)op, .flags = flags,
	};
}

static uint64_t
round_down(uint64_t n, uint32_t block)
{
	return n & ~(uint64_t)(block - 1);
}

static uint64_t
round_up(uint64_t n, uint32_t block)
{
	return round_down(n + block - 1, block);
}

static bool
is_whole(const struct fuse_order *o, uint32_t block)
{
	return ((o->offset | o->length) & (block - 1)) == 0;
}

static void
plan_read(struct fuse *f, struct fuse_req *r, uint32_t block)
{
	const struct fuse_order *o = &r->order;
	uint64_t from = round_down(o->offset, block);
	uint64_t to = round_up(o->offset + o->length, block);

	r->exclusive = !is_whole(o, block);
	add_step(r, NBE_READ, 0, from, to - from, r->exclusive ? f->bounce : r->data);
	r->patch_at = 1;
}

/* Read the blocks that the order covers in part into the bounce buffer: in_place
 * as far apart as they are on the disk, else one behind the other. */
static void
plan_edges(struct fuse *f, struct fuse_req *r, uint32_t block, bool in_place)
{
	uint64_t end = r->order.offset + r->order.length;
	uint64_t head = round_down(r->order.offset, block);
	uint64_t tail = round_down(end, block);
	bool has_head = head != r->order.offset;

	if (has_head)
		add_step(r, NBE_READ, 0, head, block, f->bounce);
	if (tail != end && !(has_head && tail == head))
		add_step(r, NBE_READ, 0, tail, block,
		    f->bounce + (in_place ? tail - head : block));
	r->patch_at = r->steps;
}

static void
plan_write(struct fuse *f, struct fuse_req *r, uint32_t block)
{
	const struct fuse_order *o = &r->order;
	uint64_t from = round_down(o->offset, block);
	uint64_t to = round_up(o->offset + o->length, block);

	r->exclusive = !is_whole(o, block);
	if (r->exclusive)
		plan_edges(f, r, block, true);
	add_step(r, NBE_WRITE, o->flags, from, to - from,
	    r->exclusive ? f->bounce : r->data);
}

static void
plan_flush(struct fuse *f, struct fuse_req *r, uint32_t block)
{
	(void)f;
	(void)block;
	add_step(r, NBE_FLUSH, 0, 0, 0, NULL);
}

static void
plan_zero(struct fuse *f, struct fuse_req *r, uint32_t block)
{
	const struct fuse_order *o = &r->order;
	uint64_t from = round_up(o->offset, block);
	uint64_t to = round_down(o->offset + o->length, block);

	r->exclusive = !is_whole(o, block);
	if (r->exclusive)
		plan_edges(f, r, block, false);
	for (unsigned i = 0; i < r->patch_at; i++)
		add_step(r, NBE_WRITE, 0, r->step[i].offset, block, r->step[i].data);
	if (from >= to)
		return;
	if (o->trim)
		add_step(r, NBE_TRIM, 0, from, to - from, NULL);
	add_step(r, NBE_ZERO, o->flags, from, to - from, NULL);
}

static void
plan_seek(struct fuse *f, struct fuse_req *r, uint32_t block)
{
	uint64_t from = round_down(r->order.offset, block);

	add_step(r, NBE_EXTENTS, 0, from, disk_export(f->disk)->size - from, NULL);
}

/* ---- patches: between reading the edges and writing them ----------------------- */

static void
patch_read(struct fuse_req *r)
{
	if (r->exclusive)
		memcpy(r->data, r->fuse->bounce + (r->order.offset - r->step[0].offset),
		    r->order.length);
}

static void
patch_write(struct fuse_req *r)
{
	const struct fuse_step *write = &r->step[r->steps - 1];

	if (r->exclusive)
		memcpy(write->data + (r->order.offset - write->offset), r->data,
		    r->order.length);
}

static void
patch_zero(struct fuse_req *r)
{
	uint64_t begin = r->order.offset, end = begin + r->order.length;

	for (unsigned i = 0; i < r->patch_at; i++) {
		const struct fuse_step *s = &r->step[i];
		uint64_t from = begin > s->offset ? begin : s->offset;
		uint64_t to = end < s->offset + s->length ? end : s->offset + s->length;

		memset(s->data + (from - s->offset), 0, to - from);
	}
}

static void
patch_nothing(struct fuse_req *r)
{
	(void)r;
}

static const struct {
	void	(*plan)(struct fuse *, struct fuse_req *, uint32_t block);
	void	(*patch)(struct fuse_req *);
	bool	 writes;
} goals[] = {
	[GOAL_READ]	= { plan_read, patch_read, false },
	[GOAL_WRITE]	= { plan_write, patch_write, true },
	[GOAL_FLUSH]	= { plan_flush, patch_nothing, false },
	[GOAL_ZERO]	= { plan_zero, patch_zero, true },
	[GOAL_SEEK]	= { plan_seek, patch_nothing, false },
};

/* ---- the gate ------------------------------------------------------------------ */

static bool
must_pass_gate(const struct fuse_req *r)
{
	return r->exclusive || goals[r->order.goal].writes;
}

static bool
is_open(const struct fuse_gate *g, const struct fuse_req *r)
{
	return g->exclusive == NULL && !(r->exclusive && g->writers > 0);
}

static void
pass(struct fuse_gate *g, struct fuse_req *r)
{
	if (r->exclusive)
		g->exclusive = r;
	else
		g->writers++;
	run(r);
}

static void
gate_enter(struct fuse_gate *g, struct fuse_req *r)
{
	if (g->first == NULL && is_open(g, r)) {
		pass(g, r);
		return;
	}
	r->next = NULL;
	if (g->first == NULL)
		g->first = r;
	else
		g->last->next = r;
	g->last = r;
}

static void
gate_leave(struct fuse_gate *g, struct fuse_req *r)
{
	if (r->exclusive)
		g->exclusive = NULL;
	else
		g->writers--;
	while (g->first != NULL && is_open(g, g->first)) {
		struct fuse_req *next = g->first;

		g->first = next->next;
		pass(g, next);
	}
}

/* ---- steps ----------------------------------------------------------------------- */

/* Fills in the answer of an order that went well. */
static void
set_answer(struct fuse_req *r)
{
	struct fuse_write_out *written = (void *)r->data;
	struct fuse_lseek_out *found = (void *)r->data;

	switch (r->order.goal) {
	case GOAL_READ:
		r->out_len = (uint32_t)r->order.length;
		break;
	case GOAL_WRITE:
		written->size = (uint32_t)r->order.length;
		written->padding = 0;
		r->out_len = sizeof(*written);
		break;
	case GOAL_SEEK:
		found->offset = r->order.offset;
		r->out_len = sizeof(*found);
		break;
	case GOAL_FLUSH:
	case GOAL_ZERO:
		break;
	}
}

static void
finish(struct fuse_req *r, int error)
{
	struct fuse *f = r->fuse;
	bool gated = must_pass_gate(r);

	r->error = error;
	if (error == 0)
		set_answer(r);
	if (gated)
		gate_leave(&f->gate, r);
	fuse_order_done(r);
}

/*
 * Look at the runs that came, from order.offset on.  Only what reads as zeroes
 * counts as a hole: programs that copy a file leave holes out.  Returns whether
 * it was found; if not, order.offset is where to go on.
 */
static bool
seek_extents(struct fuse_req *r)
{
	const struct nbe_extent *extent = r->io.req.extents;
	uint64_t at = r->io.req.offset;

	for (uint32_t i = 0; i < r->io.req.extents_count; i++) {
		bool hole = (extent[i].flags & NBE_EXTENT_ZERO) != 0;

		at += extent[i].length;
		if (at <= r->order.offset)
			continue;
		if (hole == r->order.seek_hole)
			return true;
		r->order.offset = at;
	}
	return false;
}

static void
seek_done(struct fuse_req *r)
{
	uint64_t size = disk_export(r->fuse->disk)->size;
	uint64_t before = r->order.offset;

	if (seek_extents(r)) {
		finish(r, 0);
	} else if (r->order.offset >= size) {
		/* Every file has a hole at its end. */
		r->order.offset = size;
		finish(r, r->order.seek_hole ? 0 : ENXIO);
	} else if (r->order.offset == before) {
		finish(r, EIO);
	} else if (++r->asks == ASKS_MAX) {
		r->order.offset = r->order.seek_hole ? size : r->order.offset;
		finish(r, 0);
	} else {
		r->step[0].offset = r->order.offset;
		r->step[0].length = size - r->order.offset;
		run(r);
	}
}

static void
step_done(struct disk_io *io)
{
	struct fuse_req *r = (struct fuse_req *)io;
	const struct fuse_step *s = &r->step[r->step_now];

	note_done(r->fuse->handover.config.note, &io->req, r->mark);
	/* TRIM is advice, WRITE_ZEROES follows. */
	if (io->req.error != NBE_OK && s->op != NBE_TRIM) {
		finish(r, errno_of(io->req.error));
		return;
	}
	if (s->op == NBE_EXTENTS) {
		seek_done(r);
		return;
	}
	r->step_now++;
	if (r->step_now == r->patch_at)
		goals[r->order.goal].patch(r);
	if (r->step_now == r->steps)
		finish(r, 0);
	else
		run(r);
}

static void
run(struct fuse_req *r)
{
	const struct fuse_step *s = &r->step[r->step_now];

	r->io.req.offset = s->offset;
	r->io.req.length = s->length;
	r->io.req.op = s->op;
	r->io.req.flags = s->flags;
	r->io.req.extents = (void *)r->data;
	r->io.req.extents_max = EXTENTS_MAX;
	r->io.data = s->data;
	r->io.done = step_done;
	r->mark = note_mark(r->fuse->handover.config.note);
	disk_submit(r->fuse->disk, &r->io);
}

void
fuse_io_start(struct fuse *f, struct fuse_req *r)
{
	r->steps = r->step_now = r->patch_at = 0;
	r->asks = 0;
	r->exclusive = false;
	goals[r->order.goal].plan(f, r, disk_export(f->disk)->block_min);
	if (must_pass_gate(r))
		gate_enter(&f->gate, r);
	else
		run(r);
}
