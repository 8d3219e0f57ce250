/*
 * ublk.c - serves a block device of ublk from a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For each tag there is a command with the kernel, or a request here.  The kernel
 * completes the command when it has a request for the tag; the answer is the next
 * command.  So a request costs one submission and one completion, and with payload one
 * call that copies it: only here it is known how much there is and whether there is
 * room for it, and a request without room waits.
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
#include "pool.h"
#include "ublk_note.h"
#include "ublk_op.h"
#include "ublk_past.h"
#include "ublk_proto.h"

struct ublk_req {
	struct disk_io	io;
	struct ring_op	op;
	struct ublk	*ublk;
	struct ublk_req	*next;		/* that waits for room */
	struct ublk_held held;
	uint64_t	mark;		/* of a flush */
	uint16_t	tag;
};

struct ublk {
	struct ring	*ring;
	struct disk	*disk;
	const struct ublksrv_io_desc *desc;	/* by tag; the kernel writes it */
	struct pool	pool;
	struct ublk_req	*first, **last;	/* that wait for room, in order */
	struct ublk_req	req[UBLK_DEPTH];
	unsigned	lent;		/* commands with the kernel */
	unsigned	in_flight;	/* requests here */
	int		fd;
	bool		read_only, stopping;
	struct ublk_note note;
	struct ublk_past past;		/* all zero: there was nobody before */
	uint8_t		*probe;		/* a block for it */
};

_Static_assert(UBLK_PAYLOAD_MAX <= POOL_STEP, "there is always room for one");

/* ---- requests -------------------------------------------------------- */

static void
lend(struct ublk_req *r, uint32_t command, int32_t result)
{
	struct ublk *u = r->ublk;
	struct io_uring_sqe *sqe = ring_sqe(u->ring);
	struct ublksrv_io_cmd *cmd = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, u->fd, NULL, 0, 0);
	sqe->cmd_op = command;
	*cmd = (struct ublksrv_io_cmd){ .tag = r->tag, .result = result };
	ring_bind(sqe, &r->op);
	u->lent++;
}

static void
answer(struct ublk_req *r, int32_t result)
{
	lend(r, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

static bool
has_payload(const struct ublk_req *r)
{
	return r->io.req.op == NBE_READ || r->io.req.op == NBE_WRITE;
}

/* Between what somebody reads or writes, and our room.  False: he has taken his pages
 * away, or the device is being stopped. */
static bool
copy(const struct ublk_req *r, uint8_t op)
{
	off_t at = UBLK_IO_POS(0, r->tag);
	size_t length = r->io.req.length;
	int fd = r->ublk->fd;
	ssize_t n;

	if (r->io.req.op != op)
		return true;
	n = op == NBE_WRITE ? pread(fd, r->io.data, length, at) :
	    pwrite(fd, r->io.data, length, at);
	return n == (ssize_t)length;
}

static void serve_waiting(struct ublk *);

static void
end(struct ublk_req *r, int32_t result)
{
	struct ublk *u = r->ublk;

	u->in_flight--;
	if (has_payload(r))
		pool_put(&u->pool, r->io.data, r->io.req.length);
	answer(r, result);
}

static void
disk_done(struct disk_io *io)
{
	struct ublk_req *r = container_of(io, struct ublk_req, io);
	int error = errno_of(io->req.error);

	ublk_note_done(&r->ublk->note, &io->req, r->mark);
	if (error == 0 && !copy(r, NBE_READ))
		error = EIO;
	end(r, error != 0 ? -error : ublk_result(&io->req));
	serve_waiting(r->ublk);
}

/* False: there is no room. */
static bool
serve(struct ublk_req *r)
{
	struct ublk *u = r->ublk;

	if (has_payload(r)) {
		r->io.data = pool_take(&u->pool, r->io.req.length);
		if (r->io.data == NULL)
			return false;
	}
	if (!copy(r, NBE_WRITE)) {
		end(r, -EIO);
		return true;
	}
	r->mark = ublk_note_mark(&u->note);
	if (!ublk_past_holds(&u->past, &r->held))
		disk_submit(u->disk, &r->io);
	return true;
}

/* In the order in which they came, so that a large one waits no longer than others. */
static void
serve_waiting(struct ublk *u)
{
	struct ublk_req *r;

	while ((r = u->first) != NULL && serve(r)) {
		u->first = r->next;
		if (u->first == NULL)
			u->last = &u->first;
	}
}

static void
wait_for_room(struct ublk_req *r)
{
	r->next = NULL;
	*r->ublk->last = r;
	r->ublk->last = &r->next;
}

static void
more_room(struct pool *p)
{
	serve_waiting(container_of(p, struct ublk, pool));
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
	if ((has_payload(r) && u->first != NULL) || !serve(r))
		wait_for_room(r);
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
		r->io.done = disk_done;
		r->held.io = &r->io;
		r->op.done = fetched;
		lend(r, UBLK_U_IO_FETCH_REQ, 0);
	}
}

static bool
take_memory(struct ublk *u)
{
	size_t size = ublk_past_block(u->disk);

	if (!pool_init(&u->pool, u->ring, (size_t)UBLK_DEPTH * UBLK_PAYLOAD_MAX,
	    more_room))
		return false;
	u->probe = malloc(size);
	return u->probe != NULL && pages_ready(u->probe, size);
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
	bool room, unflushed;

	if (u == NULL)
		return errtext_set(err, "out of memory");
	u->ring = ring;
	u->disk = disk;
	u->read_only = c->read_only;
	u->fd = -1;
	u->last = &u->first;
	room = take_memory(u);
	if (!room)
		errtext_set(err, "out of memory");
	/* Linux 6.12 gives the requests of a device that was taken over to nobody else
	 * when who has mapped them ends before he fetches: that comes last. */
	if (!room ||
	    !ublk_note_open(&u->note, c->note, &unflushed, err) ||
	    !open_queue(u, c->dev.number, err) || !map(u, err)) {
		ublk_free(u);
		return false;
	}
	if (c->takes_over)
		ublk_past_begin(&u->past, ring, disk, c->fence_ns,
		    c->fail_flush && unflushed, u->probe);
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
	pool_rest(&u->pool);
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
	pool_free(&u->pool);
	free(u->probe);
	if (u->desc != NULL)
		munmap((void *)(uintptr_t)u->desc, desc_size());
	if (u->fd >= 0)
		close(u->fd);
	ublk_note_close(&u->note);
	free(u);
}
