/*
 * fuse_dev.c - requests over /dev/fuse, the classic way.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The device is nonblocking.  What waits for requests is a poll with a read linked
 * behind it, which the kernel starts by itself.  When there is more than one
 * request about, a burst of plain reads follows, as many as the last one found,
 * until one finds nothing.  Reads, replies and the next poll all go into the ring
 * and so share a system call.
 *
 * A request is read to 80 bytes before its page-aligned buffer.  Both headers of
 * WRITE are that long, so its data begins at the buffer; and the header of a
 * reply fits before the data of READ, so a reply is one piece.
 *
 * Large payload is copied on another CPU while other requests are at the disk: alone,
 * a request would only wait longer.  A read behind a poll is not: it may happen when
 * the buffers are given back.
 *
 * The kernel copies into one page after the other.  Of a process that is killed in the
 * middle of this it makes no page ready any more, and the request fails.  So where the
 * device outlives the process a buffer is in memory before it is given to a read.  A
 * worker of the kernel's sees to that, one buffer after the other, for who serves a
 * disk must not wait for memory (pool.h); while that is short, any buffer will do.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse_impl.h"
#include "pages.h"

#define HEADROOM	(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define BURST_MAX	32u
#define ANSWER_ASIDE	(64u * 1024)	/* from so much on it pays, */
#define READ_ASIDE	(128u * 1024)	/* more of which may find nothing */

_Static_assert(sizeof(struct fuse_in_header) + FUSE_ARG_SAFE == HEADROOM,
    "an answer does not overwrite what the decoder still reads");

static void read_on(struct fuse *);

/* ---- buffers ------------------------------------------------------------------ */

static void
push(struct fuse_dev *d, struct fuse_req *r)
{
	struct fuse_req **list = r->ready ? &d->ready : &d->cold;

	r->next = *list;
	*list = r;
}

static struct fuse_req *
pop(struct fuse_req **list)
{
	struct fuse_req *r = *list;

	if (r != NULL)
		*list = r->next;
	return r;
}

/* Its memory goes back to the system. */
static void
cool(struct fuse_dev *d, struct fuse_req *r)
{
	size_t stride = d->buffers_size / d->depth;

	r->ready = false;
	pages_rest(d->buffers + stride * (size_t)(r - d->reqs), stride);
}

static void
put_req(struct fuse *f, struct fuse_req *r)
{
	push(&f->dev, r);
	if (f->dev.starved) {
		f->dev.starved = false;
		read_on(f);
	}
}

/* If the kernel has no memory for it, it is used as it is. */
static void
is_ready(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse_req *r = container_of(op, struct fuse_req, op);
	struct fuse *f = r->fuse;

	(void)res;
	(void)flags;
	f->in_ring--;
	f->dev.warming = false;
	r->ready = true;
	put_req(f, r);
}

static void
warm(struct fuse *f)
{
	struct fuse_req *r = f->dev.warming ? NULL : pop(&f->dev.cold);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct io_uring_sqe *sqe;

	if (r == NULL)
		return;
	f->dev.warming = true;
	f->in_ring++;
	sqe = ring_sqe(f->ring);
	io_uring_prep_madvise(sqe, r->data - page, (uint32_t)(page + FUSE_PAYLOAD_MAX),
	    MADV_POPULATE_WRITE);
	r->op.done = is_ready;
	ring_bind(sqe, &r->op);
}

static bool
any_will_do(const struct fuse *f)
{
	return fuse_to_keep(f) < 0 || f->ring->alone;
}

static bool
has_free(const struct fuse *f)
{
	return f->dev.ready != NULL || (f->dev.cold != NULL && any_will_do(f));
}

static struct fuse_req *
take_free(struct fuse *f)
{
	return pop(f->dev.ready != NULL ? &f->dev.ready : &f->dev.cold);
}

/* ---- answers ------------------------------------------------------------------ */

static bool
set_aside(struct fuse *f, struct io_uring_sqe *sqe)
{
	return f->in_flight != 0 && ring_set_aside(f->ring, sqe);
}

/* An error is ENOENT, when the request was given up meanwhile; but without the
 * answer to INIT there is no connection. */
static void
written(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse_req *r = container_of(op, struct fuse_req, op);
	struct fuse *f = r->fuse;

	(void)flags;
	f->in_ring--;
	f->aside -= r->aside;
	r->aside = false;
	handover_step(&f->handover, f->in_flight + f->aside);
	if (!f->serving && f->fs.inited && res > 0)
		fuse_hello_done(f);
	else if (!f->serving && f->fs.inited)
		fuse_ended(f);
	put_req(f, r);
}

static void
answer(struct fuse_req *r)
{
	struct fuse_out_header *head = (void *)(r->data - sizeof(*head));
	struct fuse *f = r->fuse;
	struct io_uring_sqe *sqe;

	if (f->abandoned) {
		put_req(f, r);
		return;
	}
	sqe = ring_sqe(f->ring);
	head->len = (uint32_t)sizeof(*head) + (r->error == 0 ? r->out_len : 0);
	head->error = -r->error;
	head->unique = r->unique;
	r->op.done = written;
	io_uring_prep_write(sqe, f->dev.fd, head, head->len, 0);
	r->aside = head->len >= ANSWER_ASIDE && set_aside(f, sqe);
	f->aside += r->aside;
	ring_bind(sqe, &r->op);
	f->in_ring++;
}

/* Linux 5.17: an operation that went well need not complete. */
static bool
can_skip(const struct fuse *f)
{
	return (f->ring->uring.features & IORING_FEAT_CQE_SKIP) != 0;
}

/* The read behind it follows, or is cancelled; the poll itself says nothing. */
static void
polled(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse *f = container_of(op, struct fuse, dev.poll);

	(void)res;
	(void)flags;
	f->in_ring -= !can_skip(f);
}

static void
start_poll(struct fuse *f)
{
	unsigned quiet = can_skip(f) ? IOSQE_CQE_SKIP_SUCCESS : 0;
	struct io_uring_sqe *sqe = ring_sqe(f->ring);

	io_uring_prep_poll_add(sqe, f->dev.fd, POLLIN);
	sqe->flags = (uint8_t)(IOSQE_IO_LINK | quiet);
	ring_bind(sqe, &f->dev.poll);
	f->in_ring += !can_skip(f);
}

/* It comes again in the next process, unless this one stays. */
static void
hold(struct fuse_req *r, uint32_t len)
{
	r->len = len;
	r->next = r->fuse->dev.held;
	r->fuse->dev.held = r;
}

static void
take(struct fuse *f, struct fuse_req *r, int res)
{
	struct fuse_call call;

	switch (res) {
	case -EAGAIN:
	case -EINTR:
		f->dev.drained = true;
		break;
	case -ENOENT:	/* the request was given up while it was read */
		break;
	default:
		if (res <= 0) {
			fuse_ended(f);
			break;
		}
		f->dev.got++;
		f->dev.payload = (uint32_t)res;
		if (handover_is_leaving(&f->handover) && !f->stopping) {
			hold(r, (uint32_t)res);
			return;
		}
		if (fuse_call_split(&call, r->data - HEADROOM, (size_t)res) &&
		    fuse_dispatch(r, &call))
			return;
	}
	put_req(f, r);
}

static void
was_read(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse_req *r = container_of(op, struct fuse_req, op);
	struct fuse *f = r->fuse;

	(void)flags;
	f->in_ring--;
	f->dev.reading--;
	r->reads = false;
	if (r->called_back && (res == -ECANCELED || res == -EINTR)) {
		cool(&f->dev, r);
		put_req(f, r);
	} else {
		take(f, r, res);
	}
	if (f->dev.reading == 0 && f->state != FUSE_ENDED)
		read_on(f);
}

/* payload: what it is expected to bring, if it may be set aside. */
static void
start_read(struct fuse *f, uint32_t payload)
{
	struct fuse_req *r = take_free(f);
	struct io_uring_sqe *sqe = ring_sqe(f->ring);

	f->dev.reading++;
	f->in_ring++;
	r->reads = true;
	r->called_back = false;
	r->op.done = was_read;
	io_uring_prep_read(sqe, f->dev.fd, r->data - HEADROOM,
	    HEADROOM + FUSE_PAYLOAD_MAX, 0);
	/* Then it may wait for something to read, so nobody must wait for it. */
	if (payload >= READ_ASIDE)
		(void)set_aside(f, sqe);
	ring_bind(sqe, &r->op);
}

static void
read_burst(struct fuse *f)
{
	struct fuse_dev *d = &f->dev;

	for (unsigned i = 0; i < d->burst && has_free(f); i++)
		start_read(f, d->payload);
	d->burst = d->burst < BURST_MAX / 2 ? 2 * d->burst : BURST_MAX;
	if (!has_free(f))
		warm(f);
}

static void
read_behind_poll(struct fuse *f)
{
	struct fuse_dev *d = &f->dev;

	d->burst = d->got > 1 ? d->got : 1;
	d->got = 0;
	d->drained = false;
	/* Both in one submission, or the link is cut. */
	ring_reserve(f->ring, 2);
	start_poll(f);
	start_read(f, 0);
}

/* No read is in the ring. */
static void
read_on(struct fuse *f)
{
	struct fuse_dev *d = &f->dev;

	if (f->abandoned || (handover_is_leaving(&f->handover) && !f->stopping))
		return;
	d->starved = !has_free(f);
	if (d->starved)
		warm(f);
	else if (!d->drained && (d->burst > 1 || f->in_flight > 1))
		read_burst(f);
	else
		read_behind_poll(f);
}

static void
cancelled(struct ring_op *op, int res, uint32_t flags)
{
	(void)res;
	(void)flags;
	container_of(op, struct fuse, dev.cancel)->in_ring--;
}

/* A read that was set aside waits where it found nothing.  One does for all: there is
 * no poll where there are more. */
static void
call_back(struct fuse *f)
{
	struct fuse_dev *d = &f->dev;
	unsigned more = d->reading;
	struct io_uring_sqe *sqe;

	for (struct fuse_req *r = d->reqs; more > 1; r++) {
		if (!r->reads)
			continue;
		more--;
		r->called_back = true;
		sqe = ring_sqe(f->ring);
		io_uring_prep_cancel(sqe, &r->op, 0);
		ring_bind(sqe, &d->cancel);
		f->in_ring++;
	}
}

bool
fuse_dev_init(struct fuse *f, unsigned depth)
{
	struct fuse_dev *d = &f->dev;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t stride = page + FUSE_PAYLOAD_MAX;

	d->poll.done = polled;
	d->cancel.done = cancelled;
	d->depth = depth;
	d->burst = 1;
	d->buffers_size = stride * depth;
	d->reqs = calloc(depth, sizeof(*d->reqs));
	d->buffers = pages_new(d->buffers_size);
	if (d->reqs == NULL || d->buffers == NULL)
		return false;
	for (unsigned i = 0; i < depth; i++) {
		struct fuse_req *r = &d->reqs[i];

		r->fuse = f;
		r->answer = answer;
		r->data = d->buffers + stride * i + page;
		r->ready = i == 0;
		push(d, r);
	}
	return pages_ready(d->buffers, stride);
}

void
fuse_dev_start(struct fuse *f)
{
	read_on(f);
}

bool
fuse_dev_resend(struct fuse *f)
{
	const struct fuse_out_header notice = {
		.len = sizeof(notice), .error = FUSE_NOTIFY_RESEND,
	};

	return write(f->dev.fd, &notice, sizeof(notice)) == (ssize_t)sizeof(notice);
}

/* One buffer stays, which a read may write to at any time. */
void
fuse_dev_rest(struct fuse *f)
{
	struct fuse_dev *d = &f->dev;
	struct fuse_req *r;

	while ((r = pop(&d->ready)) != NULL) {
		r->ready = false;
		push(d, r);
	}
	for (r = d->cold; r != NULL; r = r->next)
		cool(d, r);
	call_back(f);
}

void
fuse_dev_go_on(struct fuse *f)
{
	struct fuse_req *r = f->dev.held, *next;

	f->dev.held = NULL;
	for (; r != NULL; r = next) {
		next = r->next;
		take(f, r, (int)r->len);
	}
	if (f->dev.reading == 0 && f->state != FUSE_ENDED)
		read_on(f);
}

void
fuse_dev_free(struct fuse_dev *d)
{
	if (d->buffers != NULL)
		munmap(d->buffers, d->buffers_size);
	free(d->reqs);
}
