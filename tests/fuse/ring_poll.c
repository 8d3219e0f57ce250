/*
 * ring_poll.c - preloaded under valgrind: the loop waits for its ring by poll(2).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Valgrind runs one thread at a time.  It lets the others run while one waits in
 * poll(2), but not in io_uring_enter(2), which it does not know to wait: a daemon at
 * rest would keep its own dialing threads from the processor.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

/* Readable when the ring has something to take, or to run first (DEFER_TASKRUN). */
static int
ring_event(struct io_uring *ring)
{
	static int event = -1;	/* a daemon has one ring */

	if (event < 0) {
		event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (io_uring_register_eventfd(ring, event) < 0)
			__builtin_trap();
	}
	return event;
}

/* As liburing's, which this takes the place of, for what ring.c asks of it: one
 * completion, no signal mask. */
int
io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
    unsigned wait_nr, struct __kernel_timespec *limit, sigset_t *mask)
{
	struct pollfd events = { .fd = ring_event(ring), .events = POLLIN };
	struct timespec time = {
		.tv_sec = limit ? limit->tv_sec : 0,
		.tv_nsec = limit ? limit->tv_nsec : 0,
	};
	eventfd_t count;
	int ret;

	(void)cqe, (void)wait_nr, (void)mask;
	(void)eventfd_read(events.fd, &count);
	ret = io_uring_submit_and_get_events(ring);
	if (ret < 0 || io_uring_cq_ready(ring) > 0)
		return ret;
	switch (ppoll(&events, 1, limit ? &time : NULL, NULL)) {
	case -1:
		return -errno;
	case 0:
		return -ETIME;
	}
	return io_uring_get_events(ring);
}
