/*
 * ring_test.c - the loop around io_uring.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "../fuse/tap.h"
#include "ring.h"

#define MS	UINT64_C(1000000)
#define MANY	300		/* more than the ring has entries */

static struct {
	struct ring	ring;
	struct ring_op	op[MANY];
	unsigned	completed, in_order, rounds, stop_at;
	uint64_t	sleep_ns;
} t;

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static void
done(struct ring_op *op, int res, uint32_t flags)
{
	(void)flags;
	CHECK(res == 0 || res == -ETIME);
	t.in_order += op == &t.op[t.completed];
	t.completed++;
}

static void
start_nop(unsigned i)
{
	struct io_uring_sqe *sqe = ring_sqe(&t.ring);

	t.op[i].done = done;
	io_uring_prep_nop(sqe);
	ring_bind(sqe, &t.op[i]);
}

static void
start_timer(unsigned i, struct __kernel_timespec *after)
{
	struct io_uring_sqe *sqe = ring_sqe(&t.ring);

	t.op[i].done = done;
	io_uring_prep_timeout(sqe, after, 0, 0);
	ring_bind(sqe, &t.op[i]);
}

static bool
begin(bool sqe128)
{
	memset(&t, 0, sizeof(t));
	t.sleep_ns = UINT64_MAX;
	return CHECK(ring_init(&t.ring, 64, sqe128) == 0);
}

static uint64_t
stop_when_completed(void *arg)
{
	(void)arg;
	t.rounds++;
	t.ring.stop = t.completed == t.stop_at;
	return t.sleep_ns;
}

static uint64_t
stop_after_rounds(void *arg)
{
	(void)arg;
	t.ring.stop = ++t.rounds == t.stop_at;
	return t.sleep_ns;
}

/* More operations than entries, of both sizes. */
static void
case_many(void)
{
	for (int sqe128 = 0; sqe128 < 2; sqe128++) {
		if (!begin(sqe128 != 0))
			return;
		for (unsigned i = 0; i < MANY; i++)
			start_nop(i);
		t.stop_at = MANY;
		CHECK(ring_run(&t.ring, stop_when_completed, NULL) == 0);
		CHECK(t.completed == MANY && t.in_order == MANY);
		ring_free(&t.ring);
	}
}

static void
case_idle_runs_in_time(void)
{
	uint64_t start, took;

	if (!begin(false))
		return;
	t.stop_at = 4;
	t.sleep_ns = 20 * MS;
	start = now_ns();
	CHECK(ring_run(&t.ring, stop_after_rounds, NULL) == 0);
	took = now_ns() - start;
	CHECK(took >= 60 * MS && took < 1000 * MS);
	ring_free(&t.ring);
}

/* A completion ends the wait, and a wait without end too. */
static void
case_completion_wakes(void)
{
	struct __kernel_timespec soon = { .tv_nsec = 20 * (long long)MS };
	uint64_t start;

	if (!begin(false))
		return;
	t.stop_at = 1;
	start_nop(0);
	CHECK(ring_run(&t.ring, stop_when_completed, NULL) == 0);
	CHECK(t.rounds == 2);
	t.ring.stop = false;
	t.stop_at = 2;
	start_timer(1, &soon);
	start = now_ns();
	CHECK(ring_run(&t.ring, stop_when_completed, NULL) == 0);
	CHECK(t.completed == 2 && now_ns() - start >= 20 * MS);
	ring_free(&t.ring);
}

static void
case_reserve(void)
{
	if (!begin(false))
		return;
	for (unsigned i = 0; i < 63; i++)
		start_nop(i);
	CHECK(io_uring_sq_space_left(&t.ring.uring) == 1);
	ring_reserve(&t.ring, 2);
	CHECK(io_uring_sq_space_left(&t.ring.uring) == 64);
	t.stop_at = 63;
	CHECK(ring_run(&t.ring, stop_when_completed, NULL) == 0);
	ring_free(&t.ring);
}

static unsigned
threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	unsigned n = 0;

	if (!CHECK(tasks != NULL))
		return 0;
	while ((e = readdir(tasks)) != NULL)
		n += e->d_name[0] != '.';
	closedir(tasks);
	return n;
}

/* The threads that there are more, when some were set aside. */
static unsigned
set_some_aside(unsigned some)
{
	unsigned before = threads();
	bool aside = t.ring.workers != 0 && !t.ring.alone;

	for (unsigned i = 0; i < some; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&t.ring);

		t.op[i].done = done;
		io_uring_prep_nop(sqe);
		CHECK(ring_set_aside(&t.ring, sqe) == aside);
		ring_bind(sqe, &t.op[i]);
	}
	t.completed = 0;
	t.stop_at = some;
	t.ring.stop = false;
	CHECK(ring_run(&t.ring, stop_when_completed, NULL) == 0);
	return threads() - before;
}

/* Workers end five seconds after their last work, or with the process. */
static void
case_set_aside(void)
{
	unsigned now[] = { 0, 0 };
	cpu_set_t cpus;

	if (!begin(false))
		return;
	CHECK(sched_getaffinity(0, sizeof(cpus), &cpus) == 0);
	CHECK(t.ring.workers < (unsigned)CPU_COUNT(&cpus));
	CHECK(t.ring.workers != 0 || CPU_COUNT(&cpus) == 1 || !ring_is_calm(&t.ring));
	t.ring.alone = true;
	CHECK(set_some_aside(10) == 0);
	t.ring.alone = false;
	CHECK((set_some_aside(10) != 0) == (t.ring.workers != 0));
	CHECK(io_uring_register_iowq_max_workers(&t.ring.uring, now) == 0);
	CHECK(t.ring.workers == 0 || now[1] == t.ring.workers);
	ring_free(&t.ring);
}

/* What is this thread's only CPU stays its own. */
static void
case_one_cpu(void)
{
	cpu_set_t before, one;

	CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	if (begin(false)) {
		CHECK(t.ring.workers == 0);
		CHECK(set_some_aside(10) == 0);
		ring_free(&t.ring);
	}
	CHECK(sched_setaffinity(0, sizeof(before), &before) == 0);
}

static const struct tap_case cases[] = {
	{ "more operations than entries", case_many },
	{ "idle runs in time", case_idle_runs_in_time },
	{ "a completion wakes", case_completion_wakes },
	{ "reserve", case_reserve },
	{ "one CPU: nothing is set aside", case_one_cpu },
	{ "set aside: another thread, unless it goes alone", case_set_aside },
};

int
main(void)
{
	return tap_main(cases, sizeof(cases) / sizeof(*cases));
}
