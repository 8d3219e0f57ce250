/*
 * fuse.c - start and stop of the file system, and the glue of its parts.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /dev/fuse is always read: over io_uring too, INIT comes that way, and so do
 * forgets and interrupts.  When the kernel refuses to register an entry, it goes
 * on over /dev/fuse by itself, and so do we.
 *
 * The end: unmounting aborts the connection, all that waits in the ring comes
 * back with an error, and /dev/fuse reads ENODEV.  Buffers of requests that are
 * at the disk then stay until the disk is done with them.
 */
#include "fuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuse_impl.h"
#include "pages.h"

static bool
init_bounce(struct fuse *f)
{
	uint32_t block = disk_export(f->disk)->block_min;

	if (block == 1)
		return true;
	f->bounce_size = FUSE_PAYLOAD_MAX + 2 * (size_t)block;
	f->bounce = pages_new(f->bounce_size);
	return f->bounce != NULL;
}

static void
init_fs(struct fuse *f, const struct fuse_config *config)
{
	bool can_uring = (f->ring->uring.flags & IORING_SETUP_SQE128) != 0 &&
	    fuse_uring_support() == FUSE_URING_ON;
	unsigned background = config->depth;

	f->fs = (struct fuse_fs){
		.uid = config->uid, .gid = config->gid, .mode = config->mode & 0777,
		.read_only = config->read_only, .zero_slowly = config->zero_slowly,
		.agreed = f->fs.agreed, .opens = fuse_agreed_opens(f->fs.agreed),
	};
	f->outlives = config->agreed != NULL;
	if (config->taken >= 0) {
		f->fs.inited = f->fs.can_resend = f->serving = true;
		f->state = FUSE_CLASSIC;
		return;
	}
	f->fs.want_uring = config->want_uring && can_uring &&
	    fuse_uring_init(f, config->depth);
	if (f->fs.want_uring)
		background = f->uring.queues * f->uring.per_queue;
	f->fs.max_background = (uint16_t)(background < UINT16_MAX ? background :
	    UINT16_MAX);
}

static bool
agree(struct fuse *f, const struct fuse_config *c, struct errtext *err)
{
	const struct nbe_export *exp = disk_export(f->disk);

	f->fs.agreed = c->taken >= 0 ? fuse_agreed_take(c->agreed, exp, err) :
	    fuse_agreed_new(c->agreed, exp, time(NULL), err);
	return f->fs.agreed != NULL;
}

/* A new file system, or the one of a dead process. */
static bool
begin(struct fuse *f, const struct fuse_config *c, struct errtext *err)
{
	if (!agree(f, c, err))
		return false;
	if (c->taken < 0)
		f->dev.fd = fuse_mount(c, err);
	if (f->dev.fd < 0)
		return false;
	init_fs(f, c);
	return c->taken < 0 || fuse_dev_resend(f) ||
	    errtext_set(err, "take the file system over: %s", strerror(errno));
}

bool
fuse_start(struct fuse **out, const struct fuse_config *given, struct ring *ring,
    struct disk *disk, struct errtext *err)
{
	struct fuse_config config = *given;
	struct fuse *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return errtext_set(err, "out of memory");
	f->ring = ring;
	f->disk = disk;
	f->dev.fd = config.taken;
	handover_init(&f->handover, &config.handover, disk);
	if ((disk_export(disk)->flags & NBE_FLAG_READ_ONLY) != 0)
		config.read_only = true;
	if (!init_bounce(f) || !fuse_dev_init(f, config.depth))
		errtext_set(err, "out of memory");
	else if (begin(f, &config, err)) {
		fuse_dev_start(f);
		*out = f;
		return true;
	}
	fuse_free(f);
	return false;
}

void
fuse_free(struct fuse *f)
{
	if (f->dev.fd >= 0)
		close(f->dev.fd);
	fuse_dev_free(&f->dev);
	fuse_uring_free(&f->uring);
	if (f->bounce != NULL)
		munmap(f->bounce, f->bounce_size);
	fuse_agreed_free(f->fs.agreed);
	free(f);
}

void
fuse_stop(struct fuse *f)
{
	f->stopping = true;
	fuse_stay(f);
}

/* ---- another process ----------------------------------------------------------- */

int
fuse_to_keep(const struct fuse *f)
{
	return f->outlives && f->fs.can_resend && f->state == FUSE_CLASSIC &&
	    !f->fs.over_uring ? f->dev.fd : -1;
}

void
fuse_leave(struct fuse *f, void (*done)(void *arg), void *arg)
{
	handover_leave(&f->handover, done, arg);
	handover_step(&f->handover, f->in_flight + f->aside);
}

void
fuse_stay(struct fuse *f)
{
	handover_stay(&f->handover);
	fuse_dev_go_on(f);
}

void
fuse_abandon(struct fuse *f)
{
	f->abandoned = true;
}

bool
fuse_has_grown(const struct fuse *f)
{
	return f->fs.agreed->size < disk_export(f->disk)->size;
}

void
fuse_size_seen(struct fuse *f)
{
	f->fs.agreed->size = disk_export(f->disk)->size;
}

/* ---- life ---------------------------------------------------------------------- */

void
fuse_rest(struct fuse *f)
{
	if (f->bounce != NULL)
		pages_rest(f->bounce, f->bounce_size);
	fuse_dev_rest(f);
	if (f->uring.payloads != NULL)
		pages_rest(f->uring.payloads, f->uring.payloads_size);
}

void
fuse_status(const struct fuse *f, struct fuse_status *s)
{
	*s = (struct fuse_status){
		.state = f->state, .in_flight = f->in_flight + f->aside,
		.opens = f->fs.opens, .requests = f->requests,
		.quiet = f->state == FUSE_ENDED && f->in_flight == 0 &&
		    f->in_ring == 0,
	};
	if (s->state == FUSE_URING && f->uring.failed)
		s->state = FUSE_CLASSIC;
}

/* A flush, after a loss that nobody can mend. */
static bool
fails(struct fuse *f, const struct fuse_order *o)
{
	return o->goal == GOAL_FLUSH && handover_fails_flush(&f->handover);
}

bool
fuse_dispatch(struct fuse_req *r, const struct fuse_call *call)
{
	struct fuse *f = r->fuse;
	struct fuse_answer answer = { .out = r->data };
	enum fuse_verdict verdict;

	f->requests++;
	r->unique = call->head->unique;
	verdict = fuse_decode(&f->fs, disk_export(f->disk), call, &answer);
	r->error = answer.error;
	r->out_len = answer.len;
	if (verdict == FUSE_SILENCE)
		return false;
	if (verdict == FUSE_ORDER && !f->stopping && !fails(f, &answer.order)) {
		f->in_flight++;
		r->order = answer.order;
		fuse_io_start(f, r);
		return true;
	}
	if (verdict == FUSE_ORDER)
		r->error = f->stopping ? ENOTCONN : EIO;
	r->answer(r);
	return true;
}

void
fuse_order_done(struct fuse_req *r)
{
	struct fuse *f = r->fuse;

	f->in_flight--;
	r->answer(r);
	handover_step(&f->handover, f->in_flight + f->aside);
}

void
fuse_hello_done(struct fuse *f)
{
	f->serving = true;
	f->state = f->fs.over_uring ? FUSE_URING : FUSE_CLASSIC;
	if (f->fs.over_uring)
		fuse_uring_register(f);
}

void
fuse_ended(struct fuse *f)
{
	f->state = FUSE_ENDED;
}

static void
notice_done(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse *f = container_of(op, struct fuse, notice_op);

	/* ENOENT: nobody has looked at the file yet, so nothing is remembered. */
	(void)res;
	(void)flags;
	f->in_ring--;
	f->notifying = false;
	if (f->notify_again)
		fuse_resize(f);
}

/* Attributes only: what is cached of the data stays valid when a disk grows. */
void
fuse_resize(struct fuse *f)
{
	struct io_uring_sqe *sqe;

	f->notify_again = f->notifying;
	if (f->notifying || !f->serving || f->state == FUSE_ENDED)
		return;
	f->notice = (struct fuse_notice){
		.head.len = sizeof(f->notice),
		.head.error = FUSE_NOTIFY_INVAL_INODE,
		.inval = { .ino = FUSE_INO_DISK, .off = -1 },
	};
	f->notifying = true;
	f->in_ring++;
	f->notice_op.done = notice_done;
	sqe = ring_sqe(f->ring);
	io_uring_prep_write(sqe, f->dev.fd, &f->notice, sizeof(f->notice), 0);
	ring_bind(sqe, &f->notice_op);
}
