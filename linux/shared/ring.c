/*
 * ring.c - io_uring, and the one loop of the daemon around it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A round is: call what completed, let the owner look around (idle), then one
 * system call that submits everything and waits.  So the number of system calls
 * falls as the load rises.
 */
#include "ring.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN	(1U << 13)
#endif

#define CQES_AT_ONCE	64

/* More CPUs than this and its own would be no device's share. */
#define WORKERS_MAX	3u

/* Completions per submission entry: operations such as a registered FUSE entry
 * or a multishot receive complete without a new submission. */
#define CQ_FACTOR	8

/* One CPU is this thread's.  Before Linux 6.1 no ring is calm, and before 5.16 a worker
 * waits in a send as long as the peer likes. */
static void
init_workers(struct ring *r)
{
	/* of regular files: as it is; of sockets and devices */
	unsigned most[] = { 0, 0 }, count;
	cpu_set_t cpus;

	if (!ring_is_calm(r) || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return;
	count = (unsigned)CPU_COUNT(&cpus) - 1;
	if (count > WORKERS_MAX)
		count = WORKERS_MAX;
	most[1] = count;	/* the call leaves there what it was before */
	if (count != 0 && io_uring_register_iowq_max_workers(&r->uring, most) == 0)
		r->workers = count;
}

int
ring_init(struct ring *r, unsigned entries, bool sqe128)
{
	/* The best that the kernel knows: with DEFER_TASKRUN (Linux 6.1) work
	 * runs when the loop waits, not by interrupting it; the others want 6.0
	 * and 5.19. */
	static const unsigned wanted[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	unsigned always = IORING_SETUP_CQSIZE | (sqe128 ? IORING_SETUP_SQE128 : 0);
	int ret = -EINVAL;

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		struct io_uring_params params = {
			.flags = wanted[i] | always,
			.cq_entries = entries * CQ_FACTOR,
		};

		ret = io_uring_queue_init_params(entries, &r->uring, &params);
		if (ret != -EINVAL)
			break;
	}
	if (ret < 0)
		return ret;
	/* Saves a look-up per system call; works without. */
	(void)io_uring_register_ring_fd(&r->uring);
	init_workers(r);
	return 0;
}

void
ring_free(struct ring *r)
{
	io_uring_queue_exit(&r->uring);
}

void
ring_submit(struct ring *r)
{
	int ret = io_uring_submit(&r->uring);

	assert(ret != -EBADF && ret != -EEXIST);	/* other thread */
	(void)ret;
}

bool
ring_is_calm(const struct ring *r)
{
	return (r->uring.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
}

bool
ring_have_buffers(struct ring *r, unsigned count)
{
	return io_uring_register_buffers_sparse(&r->uring, count) == 0;
}

bool
ring_set_aside(const struct ring *r, struct io_uring_sqe *sqe)
{
	if (r->workers == 0 || r->alone)
		return false;
	io_uring_sqe_set_flags(sqe, sqe->flags | IOSQE_ASYNC);
	return true;
}

void
ring_reserve(struct ring *r, unsigned count)
{
	/* The kernel takes them all, unless it is short of memory just now. */
	while (io_uring_sq_space_left(&r->uring) < count)
		ring_submit(r);
}

struct io_uring_sqe *
ring_sqe(struct ring *r)
{
	ring_reserve(r, 1);
	return io_uring_get_sqe(&r->uring);
}

void
ring_bind(struct io_uring_sqe *sqe, struct ring_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

static void
complete(struct ring *r)
{
	struct io_uring_cqe *cqe[CQES_AT_ONCE];
	unsigned count;

	while ((count = io_uring_peek_batch_cqe(&r->uring, cqe, CQES_AT_ONCE)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			struct ring_op *op = io_uring_cqe_get_data(cqe[i]);

			op->done(op, cqe[i]->res, cqe[i]->flags);
		}
		io_uring_cq_advance(&r->uring, count);
	}
}

static int
submit_and_wait(struct ring *r, uint64_t ns)
{
	struct io_uring_cqe *first;
	struct __kernel_timespec limit = {
		.tv_sec = (int64_t)(ns / 1000000000),
		.tv_nsec = (long long)(ns % 1000000000),
	};
	int ret;

	ret = io_uring_submit_and_wait_timeout(&r->uring, &first, 1,
	    ns == UINT64_MAX ? NULL : &limit, NULL);
	/* Time is up, a signal, or completions must be taken first. */
	if (ret == -ETIME || ret == -EINTR || ret == -EBUSY || ret == -EAGAIN)
		return 0;
	return ret < 0 ? ret : 0;
}

int
ring_run(struct ring *r, uint64_t (*idle)(void *), void *arg)
{
	int ret = 0;

	while (ret == 0) {
		complete(r);
		uint64_t ns = idle(arg);
		if (r->stop)
			return io_uring_submit(&r->uring) < 0 ? -EIO : 0;
		ret = submit_and_wait(r, ns);
	}
	return ret;
}
