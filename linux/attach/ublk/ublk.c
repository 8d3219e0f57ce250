/*
 * ublk.c - serves a block device of ublk from a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For each tag there is a command with the kernel, or a request here.  The kernel
 * completes the command when it has a request for the tag; the answer is the next
 * command.  So a request costs one submission and one completion.
 *
 * When the device is stopped, all commands come back with an error.
 */
#include "ublk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nbe_errno.h"
#include "pages.h"
#include "ublk_note.h"
#include "ublk_op.h"
#include "ublk_past.h"
#include "ublk_proto.h"

struct ublk_req {
	struct disk_io	io;
	struct ring_op	op;
	struct ublk	*ublk;
	uint8_t		*data;		/* UBLK_PAYLOAD_MAX bytes */
	struct ublk_held held;
	uint64_t	mark;		/* of a flush */
	uint16_t	tag;
};

struct ublk {
	struct ring	*ring;
	struct disk	*disk;
	const struct ublksrv_io_desc *desc;	/* by tag; the kernel writes it */
	uint8_t		*buffers;
	struct ublk_req	req[UBLK_DEPTH];
	unsigned	lent;		/* commands with the kernel */
	unsigned	in_flight;
	int		fd;
	bool		read_only, stopping;
	struct ublk_note note;
	struct ublk_past past;		/* all zero: there was nobody before */
};

/* One for each request, and one more for reads of our own. */
#define BUFFERS_SIZE	((size_t)(UBLK_DEPTH + 1) * UBLK_PAYLOAD_MAX)

/* ---- requests -------------------------------------------------------- */

static void
lend(struct ublk_req *r, uint32_t command, int32_t result)
{
	struct ublk *u = r->ublk;
	struct io_uring_sqe *sqe = ring_sqe(u->ring);
	struct ublksrv_io_cmd *cmd = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, u->fd, NULL, 0, 0);
	sqe->cmd_op = command;
	*cmd = (struct ublksrv_io_cmd){
		.tag = r->tag, .result = result, .addr = (uint64_t)(uintptr_t)r->data,
	};
	ring_bind(sqe, &r->op);
	u->lent++;
}

static void
answer(struct ublk_req *r, int32_t result)
{
	lend(r, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

static void
disk_done(struct disk_io *io)
{
	struct ublk_req *r = container_of(io, struct ublk_req, io);
	int error = errno_of(io->req.error);

	r->ublk->in_flight--;
	ublk_note_done(&r->ublk->note, &io->req, r->mark);
	answer(r, error != 0 ? -error : ublk_result(&io->req));
}

static void
fetched(struct ring_op *op, int res, uint32_t flags)
{
	struct ublk_req *r = container_of(op, struct ublk_req, op);
	struct ublk *u = r->ublk;
	int error;

	(void)flags;
	u->lent--;
	if (res != UBLK_IO_RES_OK)
		return;
	error = u->stopping ? ENOTCONN : ublk_decode(&u->desc[r->tag],
	    disk_export(u->disk), u->read_only, &r->io.req);
	if (error == 0 && ublk_past_fails(&u->past, &r->io.req))
		error = EIO;
	if (error != 0) {
		answer(r, -error);
		return;
	}
	u->in_flight++;
	r->mark = ublk_note_mark(&u->note);
	if (!ublk_past_holds(&u->past, &r->held))
		disk_submit(u->disk, &r->io);
}

/* ---- life -------------------------------------------------------- */

static size_t
desc_size(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = UBLK_DEPTH * sizeof(struct ublksrv_io_desc);

	return (size + page - 1) & ~(page - 1);
}

static bool
map(struct ublk *u, struct errtext *err)
{
	void *desc = mmap(NULL, desc_size(), PROT_READ, MAP_SHARED, u->fd, 0);

	if (desc == MAP_FAILED)
		return errtext_set(err, "ublk: map its requests: %s", strerror(errno));
	u->desc = desc;
	return true;
}

static void
fetch(struct ublk *u)
{
	for (unsigned i = 0; i < UBLK_DEPTH; i++) {
		struct ublk_req *r = &u->req[i];

		r->ublk = u;
		r->tag = (uint16_t)i;
		r->data = u->buffers + (size_t)i * UBLK_PAYLOAD_MAX;
		r->io.data = r->data;
		r->io.done = disk_done;
		r->held.io = &r->io;
		r->op.done = fetched;
		lend(r, UBLK_U_IO_FETCH_REQ, 0);
	}
}

static bool
open_queue(struct ublk *u, unsigned number, struct errtext *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", number);
	u->fd = open(path, O_RDWR | O_CLOEXEC);
	return u->fd >= 0 || errtext_set(err, "%s: %s", path, strerror(errno));
}

bool
ublk_start(struct ublk **out, const struct ublk_config *c, struct ring *ring,
    struct disk *disk, struct errtext *err)
{
	struct ublk *u = calloc(1, sizeof(*u));
	bool unflushed;

	if (u == NULL)
		return errtext_set(err, "out of memory");
	u->ring = ring;
	u->disk = disk;
	u->read_only = c->read_only;
	u->fd = -1;
	u->buffers = pages_new(BUFFERS_SIZE);
	if (u->buffers == NULL)
		errtext_set(err, "out of memory");
	/* Linux 6.12 gives the requests of a device that was taken over to nobody else
	 * when who has mapped them ends before he fetches: that comes last. */
	if (u->buffers == NULL ||
	    !ublk_note_open(&u->note, c->note, &unflushed, err) ||
	    !open_queue(u, c->dev.number, err) || !map(u, err)) {
		ublk_free(u);
		return false;
	}
	if (c->takes_over)
		ublk_past_begin(&u->past, ring, disk, c->fence_ns,
		    c->fail_flush && unflushed,
		    u->buffers + (size_t)UBLK_DEPTH * UBLK_PAYLOAD_MAX);
	fetch(u);
	/* Now, and not when the loop runs, with the rights of now. */
	ring_submit(ring);
	*out = u;
	return true;
}

void
ublk_status(const struct ublk *u, struct ublk_status *s)
{
	*s = (struct ublk_status){
		.ended = u->lent == 0 && u->in_flight == 0, .in_flight = u->in_flight,
	};
}

void
ublk_rest(struct ublk *u)
{
	pages_rest(u->buffers, BUFFERS_SIZE);
}

void
ublk_stop(struct ublk *u)
{
	u->stopping = true;
	ublk_past_fail(&u->past, NBE_ESHUTDOWN);
}

void
ublk_free(struct ublk *u)
{
	if (u->buffers != NULL)
		munmap(u->buffers, BUFFERS_SIZE);
	if (u->desc != NULL)
		munmap((void *)(uintptr_t)u->desc, desc_size());
	if (u->fd >= 0)
		close(u->fd);
	ublk_note_close(&u->note);
	free(u);
}
