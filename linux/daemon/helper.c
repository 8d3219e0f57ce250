/*
 * helper.c - a second process that does what the daemon's ring must not.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "successor.h"

/* What it has open, and no more. */
enum { ORDERS_FD = STDERR_FILENO + 1, LIFE_FD, OPENER_FD, FILES_END };

#define END_TRIES	100
#define END_POLL_NS	10000000

/* ---- in the helper ----------------------------------------------------------- */

static bool
carry_out(const struct state *s, const struct helper_order *order,
    struct attachment *a, struct errtext *why)
{
	switch (order->job) {
	case HELPER_ADD:
		return attachment_add(s, &order->config, a, why);
	case HELPER_ATTACH:
		return attachment_make(s, &order->config, a, why);
	case HELPER_CHECK:
		return attachment_check(s, a);
	case HELPER_RESIZE:
		return attachment_resize(s, &order->config, a, why);
	case HELPER_DETACH:
		return attachment_undo(s, a, order->is_open, order->timeout_ms, why);
	case HELPER_FORCE:
		attachment_undo_by_force(s, a, why);
		return true;
	case HELPER_UPGRADE:
		return true;
	}
	return false;
}

/* Each to its place, and no others, wherever they were; -1: there is none. */
static bool
keep(int *file)
{
	for (int i = ORDERS_FD; i < FILES_END; i++)
		if (file[i] >= 0 && (file[i] = fcntl(file[i], F_DUPFD, FILES_END)) < 0)
			return false;
	for (int i = ORDERS_FD; i < FILES_END; i++) {
		(void)close(i);
		if (file[i] >= 0 && dup2(file[i], i) < 0)
			return false;
	}
	return call_close_range(FILES_END, ~0u) == 0;
}

/* What was there before is left for the next one. */
static bool
is_new(const struct helper_order *order, const struct helper_result *result)
{
	return result->ok && !order->config.takes_over;
}

/* Whether there is a device that needs a daemon. */
static void
keep_watch(struct successor *next, const struct helper_order *order,
    const struct helper_result *result)
{
	if (!result->ok)
		return;
	if (order->job == HELPER_ATTACH)
		successor_serves(next, &result->attachment.node,
		    order->config.takes_over);
	if (order->job == HELPER_DETACH)
		successor_rests(next);
	next->upgrades = order->job == HELPER_UPGRADE;
}

/* Also when it takes long, and the daemon does not wait for it. */
static void
give_up(struct successor *next)
{
	pthread_mutex_lock(&next->lock);
	successor_rests(next);
	pthread_mutex_unlock(&next->lock);
}

/* Whoever looks when the daemon has ended sees what that knew.  False: it is dead. */
static bool
answer(struct successor *next, const struct helper_order *order,
    struct helper_result *result)
{
	bool sent;

	pthread_mutex_lock(&next->lock);
	result->takeovers = next->count + (order->job == HELPER_ATTACH &&
	    order->config.takes_over);
	sent = send(ORDERS_FD, result, sizeof(*result), MSG_NOSIGNAL) >= 0;
	if (sent)
		keep_watch(next, order, result);
	pthread_mutex_unlock(&next->lock);
	return sent;
}

/* Signals to a whole terminal or unit are the daemon's business, which needs the
 * helper to do as they say. */
static void
be_helper(int orders, int life, struct opener *opener, const struct state *s,
    uint64_t memory_max)
{
	int file[FILES_END] = {
		[ORDERS_FD] = orders, [LIFE_FD] = life, [OPENER_FD] = opener->serve,
	};
	struct helper_order order;
	struct helper_result result = { .ok = false };
	struct successor next;
	bool unknown = false;		/* there is one that nobody serves */

	node_init(&result.attachment.node);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "nbdisk-helper");
	if (!keep(file) || !successor_begin(&next, s, LIFE_FD, memory_max))
		_exit(1);
	opener_serve(opener, OPENER_FD);
	while (recv(ORDERS_FD, &order, sizeof(order), 0) == sizeof(order)) {
		result.job = order.job;
		result.why.text[0] = '\0';
		if (order.job == HELPER_FORCE)
			give_up(&next);
		result.ok = carry_out(s, &order, &result.attachment, &result.why);
		unknown = order.job == HELPER_ADD && is_new(&order, &result);
		if (!answer(&next, &order, &result)) {
			unknown |= order.job == HELPER_ATTACH &&
			    is_new(&order, &result);
			break;
		}
	}
	if (unknown)
		attachment_undo_by_force(s, &result.attachment, &result.why);
	/* Who wants to remove what a dead daemon left must not find a user here. */
	node_release(&result.attachment.node);
	successor_await(&next);
	_exit(0);
}

/* ---- in the daemon ----------------------------------------------------------- */

static void
close_pair(const int *pair)
{
	close(pair[0]);
	close(pair[1]);
}

bool
helper_start(struct helper *h, struct opener *opener, const struct state *s,
    uint64_t memory_max, struct errtext *err)
{
	int orders[2], life[2];

	*h = (struct helper){ .sock = -1, .life = -1, .pid = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) < 0)
		return errtext_set(err, "socketpair: %s", strerror(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, life) < 0) {
		close_pair(orders);
		return errtext_set(err, "socketpair: %s", strerror(errno));
	}
	h->pid = fork();
	if (h->pid == 0)
		be_helper(orders[1], life[1], opener, s, memory_max);
	close(orders[1]);
	close(life[1]);
	opener_forked(opener);
	h->sock = orders[0];
	h->life = life[0];
	return h->pid > 0 || errtext_set(err, "fork: %s", strerror(errno));
}

bool
helper_keep(struct helper *h, const struct kept_message *m, int fd)
{
	return kept_tell(h->life, m, fd);
}

bool
helper_is_there(const struct helper *h)
{
	struct pollfd life = { .fd = h->life };

	return poll(&life, 1, 0) == 0;
}

/* Nobody says anything there. */
static void
life_ended(struct ring_op *op, int res, uint32_t flags)
{
	struct helper *h = container_of(op, struct helper, life_op);

	(void)flags;
	if (res > 0)
		h->died(h->arg);
}

void
helper_watch(struct helper *h)
{
	struct io_uring_sqe *sqe = ring_sqe(h->ring);

	h->life_op.done = life_ended;
	io_uring_prep_poll_add(sqe, h->life, POLLHUP);
	ring_bind(sqe, &h->life_op);
}

static struct helper_result
nothing_known(enum helper_job job)
{
	struct helper_result result = { .job = job, .died = true };

	node_init(&result.attachment.node);
	errtext_set(&result.why, "its helper process has died");
	return result;
}

static void
received(struct ring_op *op, int res, uint32_t flags)
{
	struct helper *h = container_of(op, struct helper, op);

	(void)flags;
	if (res != (int)sizeof(h->result))
		h->result = nothing_known(h->order.job);
	h->busy = false;
	h->done(h->arg, &h->result);
}

void
helper_ask(struct helper *h, const struct helper_order *order,
    struct helper_result *result)
{
	ssize_t n = -1;

	if (send(h->sock, order, sizeof(*order), MSG_NOSIGNAL) >= 0)
		do
			n = recv(h->sock, result, sizeof(*result), 0);
		while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*result))
		*result = nothing_known(order->job);
}

void
helper_give(struct helper *h, const struct helper_order *order)
{
	struct io_uring_sqe *sqe = ring_sqe(h->ring);

	h->order = *order;
	h->busy = true;
	h->op.done = received;
	/* One small packet into an empty socket: does not wait. */
	(void)send(h->sock, &h->order, sizeof(h->order), MSG_NOSIGNAL | MSG_DONTWAIT);
	io_uring_prep_recv(sqe, h->sock, &h->result, sizeof(h->result), 0);
	ring_bind(sqe, &h->op);
}

void
helper_end(struct helper *h)
{
	const struct timespec poll = { .tv_nsec = END_POLL_NS };

	if (h->sock >= 0)
		close(h->sock);
	if (h->life >= 0)
		close(h->life);
	/* It waits for this process then. */
	if (h->order.job == HELPER_UPGRADE)
		return;
	for (int i = 0; h->pid > 0 && i < END_TRIES; i++) {
		if (waitpid(h->pid, NULL, WNOHANG) != 0)
			return;
		(void)nanosleep(&poll, NULL);
	}
}
