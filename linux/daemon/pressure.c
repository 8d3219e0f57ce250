/*
 * pressure.c - the policy of this process while the machine is short of memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "pressure.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Somebody waited for memory for 5 of 500 ms, the shortest window there is: long before
 * there is none, for at first others than this process wait, and find some. */
#define PRESSURE	"/proc/pressure/memory"
#define TRIGGER		"some 5000 500000"
#define CALM_S		30

static void watch(struct pressure *);

/* No thread and no child has it. */
static void
set_policy(int policy)
{
	const struct sched_param param = {
		.sched_priority = sched_get_priority_min(policy),
	};

	(void)sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &param);
}

static void
start_calm(struct pressure *p)
{
	struct io_uring_sqe *sqe = ring_sqe(p->ring);

	io_uring_prep_timeout(sqe, &p->wait, 0, 0);
	ring_bind(sqe, &p->calm);
}

static void
calm(struct ring_op *op, int res, uint32_t flags)
{
	struct pressure *p = container_of(op, struct pressure, calm);

	(void)res;
	(void)flags;
	p->short_of = p->ring->alone = p->again;
	p->again = false;
	if (p->short_of)
		start_calm(p);
	else
		set_policy(SCHED_OTHER);
}

static void
told(struct ring_op *op, int res, uint32_t flags)
{
	struct pressure *p = container_of(op, struct pressure, poll);

	(void)flags;
	if (res < 0 || (res & POLLERR) != 0)
		return;
	p->again = p->short_of;
	if (!p->short_of) {
		p->short_of = p->ring->alone = true;
		set_policy(SCHED_RR);
		start_calm(p);
	}
	watch(p);
}

static void
watch(struct pressure *p)
{
	struct io_uring_sqe *sqe = ring_sqe(p->ring);

	io_uring_prep_poll_add(sqe, p->fd, POLLPRI);
	ring_bind(sqe, &p->poll);
}

/* Later, without the right to. */
static bool
may_go_first(void)
{
	const struct rlimit limit = {
		(rlim_t)sched_get_priority_min(SCHED_RR),
		(rlim_t)sched_get_priority_min(SCHED_RR),
	};

	return setrlimit(RLIMIT_RTPRIO, &limit) == 0;
}

void
pressure_begin(struct pressure *p, struct ring *ring)
{
	*p = (struct pressure){
		.ring = ring, .poll.done = told, .calm.done = calm,
		.wait.tv_sec = CALM_S,
	};
	if (geteuid() != 0 || !may_go_first())
		return;
	p->fd = open(PRESSURE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0)
		return;
	if (write(p->fd, TRIGGER, sizeof(TRIGGER)) < 0) {
		close(p->fd);
		return;
	}
	watch(p);
}
