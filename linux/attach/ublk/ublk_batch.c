/*
 * ublk_batch.c - many requests of ublk by one command (BATCH_IO, Linux 7.0).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel writes numbers of tags into buffers that it takes from a ring of them, one
 * for each completion.  A tag comes again only once it was answered, so there are
 * enough when there is one for each tag.
 *
 * An answer that is prepared can be added to until the kernel takes the command, for
 * which one array is enough: the kernel reads it while it takes the command.
 */
#include "ublk_batch.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "pages.h"
#include "ublk_proto.h"
#include "ublkdev.h"

#define BUFFERS		UBLK_DEPTH	/* a power of two */
#define BUFFER_GROUP	0		/* the ring has no other */

struct ublk_batch {
	/* From the beginning of a page; the kernel reads it. */
	struct io_uring_buf buffers[BUFFERS];
	uint16_t	tags[BUFFERS][UBLK_DEPTH];
	struct ublk_elem answers[UBLK_DEPTH];
	struct ublk_batch_config config;
	struct ring_op	prepare_op, fetch_op, answer_op;
	struct io_uring_sqe *answer;	/* the last one */
	unsigned	answer_number;	/* ring_last's, of that */
	bool		ended;
};

/* ---- commands -------------------------------------------------------- */

static struct ublk_batch_io *
command(struct io_uring_sqe *sqe)
{
	return (void *)sqe->cmd;
}

static struct io_uring_sqe *
prepare(struct ublk_batch *b, uint32_t op, struct ring_op *done)
{
	struct io_uring_sqe *sqe = ring_sqe(b->config.ring);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, b->config.fd, NULL, 0, 0);
	sqe->cmd_op = op;
	*command(sqe) = (struct ublk_batch_io){ 0 };
	ring_bind(sqe, done);
	return sqe;
}

/* With elements of b->answers. */
static struct io_uring_sqe *
prepare_list(struct ublk_batch *b, uint32_t op, struct ring_op *done)
{
	struct io_uring_sqe *sqe = prepare(b, op, done);

	sqe->addr = (uint64_t)(uintptr_t)b->answers;
	command(sqe)->elem_bytes = sizeof(b->answers[0]);
	if (b->config.registers)
		command(sqe)->flags = UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK;
	return sqe;
}

static void
add(struct ublk_batch *b, struct io_uring_sqe *sqe, uint16_t tag, int32_t result)
{
	assert(command(sqe)->nr_elem < UBLK_DEPTH);
	b->answers[command(sqe)->nr_elem++] = (struct ublk_elem){
		.tag = tag, .buf_index = tag, .result = result,
	};
}

static void
fetch(struct ublk_batch *b)
{
	struct io_uring_sqe *sqe = prepare(b, UBLK_U_IO_FETCH_IO_CMDS, &b->fetch_op);

	command(sqe)->elem_bytes = sizeof(b->tags[0][0]);
	sqe->rw_flags = UBLK_URING_CMD_MULTISHOT;
	sqe->buf_group = BUFFER_GROUP;
	io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
}

/* Linked: who cannot have the tags is told nothing of them. */
void
ublk_batch_fetch(struct ublk_batch *b)
{
	struct io_uring_sqe *sqe;

	ring_reserve(b->config.ring, 2);
	sqe = prepare_list(b, UBLK_U_IO_PREP_IO_CMDS, &b->prepare_op);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	for (unsigned i = 0; i < UBLK_DEPTH; i++)
		add(b, sqe, (uint16_t)i, 0);
	fetch(b);
}

/* Its success completes nothing, for that would be a round of its own. */
void
ublk_batch_answer(struct ublk_batch *b, uint16_t tag, int32_t result)
{
	struct ring *ring = b->config.ring;

	if (b->answer == NULL || !ring_keeps(ring, b->answer_number)) {
		b->answer = prepare_list(b, UBLK_U_IO_COMMIT_IO_CMDS, &b->answer_op);
		b->answer_number = ring_last(ring);
		io_uring_sqe_set_flags(b->answer, IOSQE_CQE_SKIP_SUCCESS);
	}
	add(b, b->answer, tag, result);
}

/* ---- completions -------------------------------------------------------- */

static void
prepared(struct ring_op *op, int res, uint32_t flags)
{
	(void)op;	/* the fetch that is linked to it ends, if this has failed */
	(void)res;
	(void)flags;
}

/* The kernel refuses only what it was never given, or not as it wants it. */
static void
answered(struct ring_op *op, int res, uint32_t flags)
{
	(void)op;
	(void)flags;
	assert(res >= 0);
	(void)res;
}

static void
give_buffer(struct ublk_batch *b, unsigned number)
{
	struct io_uring_buf_ring *ring = (void *)b->buffers;

	io_uring_buf_ring_add(ring, b->tags[number], sizeof(b->tags[number]),
	    (unsigned short)number, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(ring, 1);
}

static void
take_tags(struct ublk_batch *b, unsigned number, size_t count)
{
	const struct ublk_batch_config *c = &b->config;

	if (number >= BUFFERS)
		return;
	for (size_t i = 0; i < count && i < UBLK_DEPTH; i++)
		if (b->tags[number][i] < UBLK_DEPTH)
			c->came(c->arg, b->tags[number][i]);
	give_buffer(b, number);
}

/* It may have tags and be the last completion.  Without room for a completion (ENOBUFS)
 * it ends, and the kernel keeps the tags for the next one. */
static void
fetched(struct ring_op *op, int res, uint32_t flags)
{
	struct ublk_batch *b = container_of(op, struct ublk_batch, fetch_op);

	if ((flags & IORING_CQE_F_BUFFER) != 0)
		take_tags(b, flags >> IORING_CQE_BUFFER_SHIFT,
		    res > 0 ? (size_t)res / sizeof(b->tags[0][0]) : 0);
	if ((flags & IORING_CQE_F_MORE) != 0)
		return;
	if (res >= 0 || res == -ENOBUFS)
		fetch(b);
	else
		b->ended = true;
}

bool
ublk_batch_ended(const struct ublk_batch *b)
{
	return b->ended;
}

/* ---- life -------------------------------------------------------- */

static bool
give_buffers(struct ublk_batch *b)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)b->buffers,
		.ring_entries = BUFFERS, .bgid = BUFFER_GROUP,
	};

	io_uring_buf_ring_init((struct io_uring_buf_ring *)(void *)b->buffers);
	for (unsigned i = 0; i < BUFFERS; i++)
		give_buffer(b, i);
	return io_uring_register_buf_ring(&b->config.ring->uring, &reg, 0) == 0;
}

struct ublk_batch *
ublk_batch_new(const struct ublk_batch_config *config)
{
	struct ublk_batch *b = pages_new(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->config = *config;
	b->prepare_op.done = prepared;
	b->fetch_op.done = fetched;
	b->answer_op.done = answered;
	if (pages_ready(b, sizeof(*b)) && give_buffers(b))
		return b;
	ublk_batch_free(b);
	return NULL;
}

void
ublk_batch_free(struct ublk_batch *b)
{
	if (b != NULL)
		munmap(b, sizeof(*b));
}
