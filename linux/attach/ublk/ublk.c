/*
 * ublk.c - serves a block device of ublk from a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For each tag there is a command with the kernel, or a request here.  The kernel
 * completes the command when it has a request for the tag; the answer is the next
 * command.  So a request costs one submission and one completion.
 *
 * What is read is put into the pages of who reads.  Large payload goes straight from
 * the socket to pages, and the other way, where the kernel has registered them with the
 * ring (Linux 6.16, by the tag's number): the socket's copy is the only one.  What else
 * is written goes by way of memory here, with one call that copies it: only here it is
 * known how much there is and whether there is room for it, and a request without room
 * waits.
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
#include "pool.h"
#include "ublk_op.h"
#include "ublk_proto.h"

struct ublk_req {
	struct disk_io	io;
	struct ring_op	op;
	struct ublk	*ublk;
	struct ublk_req	*next;		/* that waits for room */
	uint64_t	mark;		/* of a flush */
	uint16_t	tag;
	bool		in_pages;	/* payload: there is no room for it here */
	bool		held;		/* it is not looked at: the device is left */
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
	unsigned	held;
	uint64_t	straight;	/* requests, ever */
	int		fd;
	bool		read_only, stopping;
	bool		registers;	/* payload, if the kernel can */
	struct handover	handover;
};

#define STRAIGHT_MIN	(32u << 10)

_Static_assert(UBLK_PAYLOAD_MAX <= POOL_STEP, "there is always room for one");

/* ---- commands -------------------------------------------------------- */

static void
lend(struct ublk_req *r, uint32_t command, int32_t result)
{
	struct ublk *u = r->ublk;
	struct io_uring_sqe *sqe = ring_sqe(u->ring);
	struct ublksrv_io_cmd *cmd = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, u->fd, NULL, 0, 0);
	sqe->cmd_op = command;
	*cmd = (struct ublksrv_io_cmd){ .tag = r->tag, .result = result };
	if (u->registers)
		sqe->addr = UBLK_AUTO_BUF(r->tag);
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

static bool
is_registered(const struct ublk_req *r)
{
	return r->ublk->registers &&
	    (r->ublk->desc[r->tag].op_flags & UBLK_IO_F_NEED_REG_BUF) == 0;
}

/* What is read is put there, wherever it was received.  What is written goes from there
 * alone if it is large; if it is small it is better sent with others. */
static bool
stays_in_pages(const struct ublk_req *r)
{
	const struct nbe_req *req = &r->io.req;

	return has_payload(r) && !disk_wants_to_see(r->ublk->disk, req) &&
	    (req->op == NBE_READ ||
	     (is_registered(r) && req->length >= STRAIGHT_MIN));
}

static void
place_payload(struct ublk_req *r)
{
	r->io.data = NULL;
	r->in_pages = stays_in_pages(r);
	r->io.pages.buffer = is_registered(r) ? r->tag : -1;
	r->ublk->straight += r->in_pages && is_registered(r) &&
	    r->io.req.length >= STRAIGHT_MIN;
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

	if (r->io.req.op != op || r->in_pages)
		return true;
	n = op == NBE_WRITE ? pread(fd, r->io.data, length, at) :
	    pwrite(fd, r->io.data, length, at);
	return n == (ssize_t)length;
}

/* ---- requests -------------------------------------------------------- */

static void serve_waiting(struct ublk *);

static bool
needs_room(const struct ublk_req *r)
{
	return has_payload(r) && !r->in_pages;
}

static void
end(struct ublk_req *r, int32_t result)
{
	struct ublk *u = r->ublk;

	u->in_flight--;
	if (needs_room(r))
		pool_put(&u->pool, r->io.data, r->io.req.length);
	answer(r, result);
}

static void
disk_done(struct disk_io *io)
{
	struct ublk_req *r = container_of(io, struct ublk_req, io);
	int error = errno_of(io->req.error);

	note_done(r->ublk->handover.config.note, &io->req, r->mark);
	if (error == 0 && (io->torn || !copy(r, NBE_READ)))
		error = EIO;
	end(r, error != 0 ? -error : ublk_result(&io->req));
	serve_waiting(r->ublk);
	handover_step(&r->ublk->handover, r->ublk->in_flight);
}

/* False: there is no room. */
static bool
serve(struct ublk_req *r)
{
	struct ublk *u = r->ublk;

	if (needs_room(r)) {
		r->io.data = pool_take(&u->pool, r->io.req.length);
		if (r->io.data == NULL)
			return false;
	}
	if (!copy(r, NBE_WRITE)) {
		end(r, -EIO);
		return true;
	}
	r->mark = note_mark(u->handover.config.note);
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
	struct ublk *u = container_of(p, struct ublk, pool);

	serve_waiting(u);
	handover_step(&u->handover, u->in_flight);
}

static void
take(struct ublk_req *r)
{
	struct ublk *u = r->ublk;
	int error;

	error = u->stopping ? ENOTCONN : ublk_decode(&u->desc[r->tag],
	    disk_export(u->disk), u->read_only, &r->io.req);
	if (error == 0 && r->io.req.op == NBE_FLUSH &&
	    handover_fails_flush(&u->handover))
		error = EIO;
	if (error != 0) {
		answer(r, -error);
		return;
	}
	u->in_flight++;
	place_payload(r);
	if ((needs_room(r) && u->first != NULL) || !serve(r))
		wait_for_room(r);
}

static void
fetched(struct ring_op *op, int res, uint32_t flags)
{
	struct ublk_req *r = container_of(op, struct ublk_req, op);
	struct ublk *u = r->ublk;

	(void)flags;
	u->lent--;
	if (res != UBLK_IO_RES_OK)
		return;
	r->held = handover_is_leaving(&u->handover) && !u->stopping;
	u->held += r->held;
	if (!r->held)
		take(r);
}

static void
take_held(struct ublk *u)
{
	for (unsigned i = 0; i < UBLK_DEPTH; i++) {
		struct ublk_req *r = &u->req[i];

		if (!r->held)
			continue;
		r->held = false;
		u->held--;
		take(r);
	}
}

void
ublk_leave(struct ublk *u, void (*done)(void *arg), void *arg)
{
	handover_leave(&u->handover, done, arg);
	handover_step(&u->handover, u->in_flight);
}

void
ublk_stay(struct ublk *u)
{
	handover_stay(&u->handover);
	take_held(u);
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
		r->io.pages = (struct disk_pages){
			.fd = u->fd, .at = UBLK_IO_POS(0, r->tag),
		};
		r->io.done = disk_done;
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
	bool room;

	if (u == NULL)
		return errtext_set(err, "out of memory");
	u->ring = ring;
	u->disk = disk;
	u->read_only = c->read_only;
	handover_init(&u->handover, &c->handover, disk);
	u->fd = -1;
	u->registers = c->dev.registers;
	u->last = &u->first;
	room = (!u->registers || ring_have_buffers(ring, UBLK_DEPTH)) &&
	    pool_init(&u->pool, ring, (size_t)UBLK_DEPTH * UBLK_PAYLOAD_MAX, more_room);
	if (!room)
		errtext_set(err, "out of memory");
	/* Linux 6.12 gives the requests of a device that was taken over to nobody else
	 * when who has mapped them ends before he fetches: that comes last. */
	if (!room || !open_queue(u, c->dev.number, err) || !map(u, err)) {
		ublk_free(u);
		return false;
	}
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
		.ended = u->lent == 0 && u->in_flight == 0 && u->held == 0,
		.registers = u->registers, .in_flight = u->in_flight,
		.straight = u->straight,
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
	ublk_stay(u);
}

void
ublk_free(struct ublk *u)
{
	pool_free(&u->pool);
	if (u->desc != NULL)
		munmap((void *)(uintptr_t)u->desc, desc_size());
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}
