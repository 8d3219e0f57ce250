/*
 * fuse_uring.c - requests over io_uring (Linux 6.14).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel has one queue per possible CPU and wants entries in each before it
 * uses any.  An entry is a header, a payload buffer and a command in the ring:
 * REGISTER lends it to the kernel, which completes the command when it has put a
 * request into it; COMMIT_AND_FETCH hands the answer back and lends the entry
 * again.  So a request costs one submission and one completion, and its data is
 * copied once, straight between the caller's pages and the payload buffer.
 *
 * All queues are served by the one thread of the ring.  The kernel takes the
 * entry that was used last, so only as many buffers become resident as requests
 * were ever at work together.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse_impl.h"
#include "pages.h"

#define POSSIBLE_CPUS	"/sys/devices/system/cpu/possible"

/* All queues together: with hundreds of CPUs, each needs fewer. */
#define ENTRIES_MAX	4096
#define PER_QUEUE_MIN	4

struct fuse_uring_entry {
	struct fuse_req	req;
	struct fuse_uring_req_header header;
	struct iovec	iov[2];		/* header, payload */
	uint16_t	queue;
};

/* Counts the numbers of a list such as "0-3,8"; 0 when it cannot be read. */
static unsigned
possible_cpus(void)
{
	FILE *list = fopen(POSSIBLE_CPUS, "re");
	unsigned first, last, count = 0;
	int fields;

	if (list == NULL)
		return 0;
	while ((fields = fscanf(list, "%u-%u", &first, &last)) >= 1) {
		count += fields == 2 && last >= first ? last - first + 1 : 1;
		if (fgetc(list) != ',')
			break;
	}
	fclose(list);
	return count <= UINT16_MAX ? count : 0;
}

/* command: fuse_uring_cmd. */
static void
lend(struct fuse_uring_entry *e, unsigned command, uint64_t commit_id)
{
	struct fuse *f = e->req.fuse;
	struct io_uring_sqe *sqe = ring_sqe(f->ring);
	struct fuse_uring_cmd_req *req = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, f->dev.fd, e->iov, 2, 0);
	sqe->cmd_op = command;
	memset(req, 0, sizeof(*req));
	req->commit_id = commit_id;
	req->qid = e->queue;
	ring_bind(sqe, &e->req.op);
	f->in_ring++;
}

static void
answer(struct fuse_req *r)
{
	struct fuse_uring_entry *e = container_of(r, struct fuse_uring_entry, req);
	struct fuse_out_header *head = (void *)e->header.in_out;
	struct fuse_uring_ent_in_out *io = &e->header.ring_ent_in_out;

	io->payload_sz = r->error == 0 ? r->out_len : 0;
	head->len = (uint32_t)sizeof(*head) + io->payload_sz;
	head->error = -r->error;
	head->unique = r->unique;
	lend(e, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, io->commit_id);
}

/* The header's length counts header, fixed part and payload. */
static bool
split(struct fuse_call *c, const struct fuse_uring_entry *e)
{
	const struct fuse_in_header *head = (const void *)e->header.in_out;
	uint32_t payload = e->header.ring_ent_in_out.payload_sz;

	if (payload > FUSE_PAYLOAD_MAX || head->len < sizeof(*head) + payload ||
	    head->len - sizeof(*head) - payload > sizeof(e->header.op_in))
		return false;
	*c = (struct fuse_call){
		.head = head, .arg = e->header.op_in,
		.arg_len = (uint32_t)(head->len - sizeof(*head) - payload),
		.payload = e->req.data, .payload_len = payload,
	};
	return true;
}

static void
fetched(struct ring_op *op, int res, uint32_t flags)
{
	struct fuse_req *r = container_of(op, struct fuse_req, op);
	struct fuse_uring_entry *e = container_of(r, struct fuse_uring_entry, req);
	const struct fuse_in_header *head = (const void *)e->header.in_out;
	struct fuse_call call;

	(void)flags;
	r->fuse->in_ring--;
	if (res < 0) {
		/* Not lent any more.  ENOTCONN: unmounted or aborted, which
		 * /dev/fuse says as well. */
		if (res != -ENOTCONN && res != -ECONNABORTED)
			r->fuse->uring.failed = true;
		return;
	}
	if (split(&call, e) && fuse_dispatch(r, &call))
		return;
	/* The entry must go back in any case. */
	r->unique = head->unique;
	r->error = EINVAL;
	answer(r);
}

bool
fuse_uring_init(struct fuse *f, unsigned depth)
{
	struct fuse_uring *u = &f->uring;
	unsigned most;

	u->queues = possible_cpus();
	if (u->queues == 0)
		return false;
	most = ENTRIES_MAX / u->queues;
	if (most < PER_QUEUE_MIN)
		most = PER_QUEUE_MIN;
	u->per_queue = depth < most ? depth : most;
	u->payloads_size = (size_t)u->queues * u->per_queue * FUSE_PAYLOAD_MAX;
	u->entries = calloc((size_t)u->queues * u->per_queue, sizeof(*u->entries));
	u->payloads = pages_new(u->payloads_size);
	return u->entries != NULL && u->payloads != NULL;
}

static void
init_entry(struct fuse *f, size_t index)
{
	struct fuse_uring_entry *e = &f->uring.entries[index];

	e->queue = (uint16_t)(index / f->uring.per_queue);
	e->req.fuse = f;
	e->req.answer = answer;
	e->req.op.done = fetched;
	e->req.data = f->uring.payloads + index * FUSE_PAYLOAD_MAX;
	e->iov[0] = (struct iovec){ &e->header, sizeof(e->header) };
	e->iov[1] = (struct iovec){ e->req.data, FUSE_PAYLOAD_MAX };
}

void
fuse_uring_register(struct fuse *f)
{
	for (size_t i = 0; i < (size_t)f->uring.queues * f->uring.per_queue; i++) {
		init_entry(f, i);
		lend(&f->uring.entries[i], FUSE_IO_URING_CMD_REGISTER, 0);
	}
}

void
fuse_uring_free(struct fuse_uring *u)
{
	if (u->payloads != NULL)
		munmap(u->payloads, u->payloads_size);
	free(u->entries);
}
