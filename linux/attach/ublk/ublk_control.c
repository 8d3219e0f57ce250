/*
 * ublk_control.c - commands to /dev/ublk-control.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each has a ring of its own, for its entry must have 128 bytes; the kernel carries it
 * out in a thread of its own, so there is a time-out.
 */
#include "ublk_control.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "ublk_proto.h"

#define POLL_MS		5
#define TURN_MS		2000	/* for so long who came first is waited for */

/* What the kernel may write to as long as the command is with it. */
struct command {
	struct io_uring	ring;
	char		buffer[UBLK_BUFFER_MAX];
};

/* Whoever takes longer holds up nobody: it is there so that a kernel that cannot do two
 * at a time need not. */
static void
wait_for_turn(int control)
{
	const struct timespec poll = { .tv_nsec = POLL_MS * 1000000 };

	for (unsigned ms = 0; ms < TURN_MS; ms += POLL_MS) {
		if (flock(control, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return;
		(void)nanosleep(&poll, NULL);
	}
}

static void
prepare(struct command *c, int control, const struct ublk_order *o)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring);
	struct ublksrv_ctrl_cmd *cmd = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, control, NULL, 0, 0);
	sqe->cmd_op = o->op;
	*cmd = (struct ublksrv_ctrl_cmd){
		.dev_id = o->number, .queue_id = UINT16_MAX,
		.len = (uint16_t)o->length, .data = { o->data },
		.addr = o->length > 0 ? (uint64_t)(uintptr_t)c->buffer : 0,
	};
}

static int
await(struct command *c, unsigned timeout_ms)
{
	struct __kernel_timespec limit = {
		.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000LL,
	};
	struct io_uring_cqe *cqe;
	int ret;

	do
		ret = io_uring_wait_cqe_timeout(&c->ring, &cqe, &limit);
	while (ret == -EINTR);
	if (ret < 0)
		return ret == -ETIME ? -ETIMEDOUT : ret;
	ret = cqe->res;
	io_uring_cqe_seen(&c->ring, cqe);
	return ret;
}

static int
run(struct command *c, int control, const struct ublk_order *o)
{
	int ret;

	if (o->length > 0)
		memcpy(c->buffer, o->buffer, o->length);
	prepare(c, control, o);
	ret = io_uring_submit(&c->ring);
	if (ret >= 0)
		ret = await(c, o->timeout_ms);
	if (ret >= 0 && o->length > 0)
		memcpy(o->buffer, c->buffer, o->length);
	return ret;
}

int
ublk_control(const struct ublk_order *o)
{
	struct command *c = calloc(1, sizeof(*c));
	int control = open(UBLK_CONTROL, O_RDWR | O_CLOEXEC);
	int ret = control < 0 ? -errno : c == NULL ? -ENOMEM : 0;

	if (ret == 0)
		ret = io_uring_queue_init(2, &c->ring, IORING_SETUP_SQE128);
	if (ret == 0) {
		wait_for_turn(control);
		ret = run(c, control, o);
		io_uring_queue_exit(&c->ring);
	}
	/* Closing ends the turn, also of a command that goes on. */
	if (control >= 0)
		close(control);
	/* The kernel may still write there. */
	if (ret != -ETIMEDOUT)
		free(c);
	return ret;
}
