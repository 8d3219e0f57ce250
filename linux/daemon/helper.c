/*
 * helper.c - a second process that does what the daemon's ring must not.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
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

#define KEPT_FD		3	/* orders */
#define OPENER_FD	4
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

/* These two descriptors and no others, wherever they were. */
static bool
keep(int orders, int questions)
{
	int high = fcntl(orders, F_DUPFD, OPENER_FD + 1);

	if (questions >= 0 && dup2(questions, OPENER_FD) < 0)
		return false;
	if (high < 0 || dup2(high, KEPT_FD) < 0)
		return false;
	return call_close_range(OPENER_FD + (questions >= 0 ? 1 : 0), ~0u) == 0;
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
    struct helper_result *result)
{
	if (!result->ok)
		return;
	if (order->job == HELPER_ATTACH &&
	    result->attachment.node.kind == NODE_UBLK)
		successor_serves(next, order->config.takes_over);
	if (order->job == HELPER_DETACH || order->job == HELPER_FORCE)
		next->serves = false;
	next->upgrades = order->job == HELPER_UPGRADE;
	result->takeovers = next->count;
}

/* Signals to a whole terminal or unit are the daemon's business, which needs the
 * helper to do as they say. */
static void
be_helper(int sock, struct opener *opener, const struct state *s)
{
	struct helper_order order;
	struct helper_result result = { .ok = false };
	struct successor next;
	bool unknown = false;		/* there is one that nobody serves */

	node_init(&result.attachment.node);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "nbdisk-helper");
	if (!keep(sock, opener->serve))
		_exit(1);
	opener_serve(opener, OPENER_FD);
	successor_init(&next, s);
	while (recv(KEPT_FD, &order, sizeof(order), 0) == sizeof(order)) {
		result.job = order.job;
		result.why.text[0] = '\0';
		result.ok = carry_out(s, &order, &result.attachment, &result.why);
		keep_watch(&next, &order, &result);
		unknown = order.job == HELPER_ADD && is_new(&order, &result);
		if (send(KEPT_FD, &result, sizeof(result), MSG_NOSIGNAL) < 0) {
			unknown |= order.job == HELPER_ATTACH &&
			    is_new(&order, &result);
			break;
		}
	}
	if (unknown)
		attachment_undo_by_force(s, &result.attachment, &result.why);
	successor_start(&next, &result.attachment.node);
	_exit(0);
}

/* ---- in the daemon ----------------------------------------------------------- */

bool
helper_start(struct helper *h, struct opener *opener, const struct state *s,
    struct errtext *err)
{
	int pair[2];

	*h = (struct helper){ .sock = -1, .pid = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errtext_set(err, "socketpair: %s", strerror(errno));
	h->pid = fork();
	if (h->pid == 0)
		be_helper(pair[1], opener, s);
	close(pair[1]);
	opener_forked(opener);
	h->sock = pair[0];
	return h->pid > 0 || errtext_set(err, "fork: %s", strerror(errno));
}

static void
received(struct ring_op *op, int res, uint32_t flags)
{
	struct helper *h = container_of(op, struct helper, op);

	(void)flags;
	if (res != (int)sizeof(h->result)) {
		h->result = (struct helper_result){ .job = h->order.job };
		errtext_set(&h->result.why, "the helper process has died");
	}
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
	if (n == (ssize_t)sizeof(*result))
		return;
	*result = (struct helper_result){ .job = order->job };
	node_init(&result->attachment.node);
	errtext_set(&result->why, "the helper process has died");
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
	/* It waits for this process then. */
	if (h->order.job == HELPER_UPGRADE)
		return;
	for (int i = 0; h->pid > 0 && i < END_TRIES; i++) {
		if (waitpid(h->pid, NULL, WNOHANG) != 0)
			return;
		(void)nanosleep(&poll, NULL);
	}
}
