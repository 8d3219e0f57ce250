/*
 * fuse_fuzz.c - libFuzzer: a kernel that asks for anything, a disk in any order.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One byte chooses the device; then come steps: a message of arbitrary bytes, an
 * order made to hit the small disk, or the answer to one step that waits at the
 * disk.  Must hold: orders and steps stay inside the device and the buffers, steps
 * are whole blocks, and no byte changes but those that were asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "fuse_impl.h"

#define DISK_SIZE	32768u
#define REQS		6u
#define BOUNCE_SIZE	(FUSE_PAYLOAD_MAX + 2 * 4096u)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define MUST(condition)	do { if (!(condition)) abort(); } while (0)

struct input {
	const uint8_t *at, *end;
};

/* What the disk holds, and what it should.  A byte is uncertain once an order that
 * would change it has failed, or two of them were under way at once (contested). */
static uint8_t disk[DISK_SIZE], shadow[DISK_SIZE];
static bool uncertain[DISK_SIZE], contested[DISK_SIZE];
static struct nbe_export exported;
static struct fuse fuse;
static struct fuse_fs fs;
static struct fuse_agreed agreed;
static struct note note;	/* of nothing */
static struct slot {
	struct fuse_req	req;
	struct fuse_order asked;	/* req.order changes on the way */
	bool		live, at_disk;
	bool		disturbed;	/* a write crossed this read */
} slot[REQS];

static uint8_t
next8(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint16_t
next16(struct input *in)
{
	uint8_t low = next8(in);

	return (uint16_t)(low | next8(in) << 8);
}

/* ---- the disk ---------------------------------------------------------------- */

bool
disk_has_old_writes(const struct disk *d)
{
	(void)d;
	return false;
}

enum disk_past
disk_past(const struct disk *d)
{
	(void)d;
	return DISK_PAST_SAFE;
}

const struct nbe_export *
disk_export(const struct disk *d)
{
	(void)d;
	return &exported;
}

static struct slot *
slot_of(struct disk_io *io)
{
	return (struct slot *)(void *)io;
}

static void
check_buffer(const struct slot *s)
{
	const uint8_t *data = s->req.io.data;
	uint64_t len = s->req.io.req.length;
	bool own = data >= s->req.data && data + len <= s->req.data + FUSE_PAYLOAD_MAX;
	bool bounce = s->req.exclusive && data >= fuse.bounce &&
	    data + len <= fuse.bounce + BOUNCE_SIZE;

	MUST(own || bounce);
	for (unsigned i = 0; bounce && i < REQS; i++)
		MUST(&slot[i] == s || !slot[i].at_disk || !slot[i].req.exclusive);
}

void
disk_submit(struct disk *d, struct disk_io *io)
{
	struct slot *s = slot_of(io);
	const struct nbe_req *r = &io->req;

	(void)d;
	MUST(!s->at_disk);
	s->at_disk = true;
	if (r->op == NBE_FLUSH)
		return;
	MUST((r->offset | r->length) % exported.block_min == 0 && r->length != 0);
	MUST(r->offset < DISK_SIZE && r->length <= DISK_SIZE - r->offset);
	if (r->op == NBE_READ || r->op == NBE_WRITE)
		check_buffer(s);
}

/* A hole every second page; one run at a time. */
static void
fill_extents(struct nbe_req *r)
{
	uint64_t length = 4096 - r->offset % 4096;

	MUST(r->extents_max != 0);
	r->extents[0].length = length < r->length ? length : r->length;
	r->extents[0].flags = r->offset / 4096 % 2 ? NBE_EXTENT_ZERO : 0;
	r->extents_count = 1;
}

static void
carry_out(struct disk_io *io)
{
	struct nbe_req *r = &io->req;

	if (r->op == NBE_READ)
		memcpy(io->data, disk + r->offset, r->length);
	else if (r->op == NBE_WRITE)
		memcpy(disk + r->offset, io->data, r->length);
	else if (r->op == NBE_TRIM)	/* may leave anything */
		memset(disk + r->offset, 0xdd, r->length);
	else if (r->op == NBE_ZERO)
		memset(disk + r->offset, 0, r->length);
	else if (r->op == NBE_EXTENTS)
		fill_extents(r);
}

static void
complete(struct slot *s, uint8_t error)
{
	if (!s->at_disk)
		return;
	s->at_disk = false;
	s->req.io.req.error = error;
	if (error == NBE_OK)
		carry_out(&s->req.io);
	s->req.io.done(&s->req.io);
}

/* ---- orders ------------------------------------------------------------------ */

static bool
changes(const struct fuse_order *o)
{
	return o->goal == GOAL_WRITE || o->goal == GOAL_ZERO;
}

static bool
overlap(const struct fuse_order *a, const struct fuse_order *b)
{
	return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

/* A new order meets those that are under way. */
static void
meet(struct slot *s, struct slot *other)
{
	uint64_t end = other->asked.offset + other->asked.length;

	if (!other->live || !overlap(&s->asked, &other->asked))
		return;
	if (changes(&s->asked))
		other->disturbed = true;
	if (changes(&other->asked))
		s->disturbed = true;
	if (!changes(&s->asked) || !changes(&other->asked))
		return;
	for (uint64_t at = other->asked.offset; at < end; at++)
		if (at >= s->asked.offset && at < s->asked.offset + s->asked.length)
			contested[at] = true;
}

/* What an order of this length writes at a place. */
static uint8_t
content(uint64_t at, uint64_t length)
{
	return (uint8_t)(at * 7 + length);
}

static void
start(struct slot *s, const struct fuse_order *order)
{
	MUST(order->goal == GOAL_FLUSH || (order->length != 0 &&
	    order->offset < DISK_SIZE && order->length <= DISK_SIZE - order->offset));
	MUST(order->goal == GOAL_ZERO || order->goal == GOAL_SEEK ||
	    order->length <= FUSE_PAYLOAD_MAX);
	s->asked = *order;
	s->disturbed = false;
	if (changes(order))
		memset(contested + order->offset, 0, order->length);
	for (unsigned i = 0; i < REQS; i++)
		meet(s, &slot[i]);
	for (uint64_t i = 0; order->goal == GOAL_WRITE && i < order->length; i++)
		s->req.data[i] = content(order->offset + i, order->length);
	s->live = true;
	s->req.fuse = &fuse;
	s->req.order = *order;
	fuse_io_start(&fuse, &s->req);
}

static void
settle(struct slot *s)
{
	const struct fuse_order *o = &s->asked;

	for (uint64_t i = 0; i < o->length; i++) {
		uint64_t at = o->offset + i;

		uncertain[at] = s->req.error != 0 || contested[at];
		shadow[at] = o->goal == GOAL_ZERO ? 0 : content(at, o->length);
	}
}

void
fuse_order_done(struct fuse_req *r)
{
	struct slot *s = slot_of(&r->io);
	const struct fuse_order *o = &s->asked;

	MUST(s->live && !s->at_disk && r->error >= 0);
	s->live = false;
	if (changes(o))
		settle(s);
	if (o->goal != GOAL_READ || r->error != 0 || s->disturbed)
		return;
	MUST(r->out_len == o->length);
	for (uint64_t i = 0; i < o->length; i++)
		MUST(uncertain[o->offset + i] ||
		    r->data[i] == shadow[o->offset + i]);
}

/* ---- steps of the script -------------------------------------------------------- */

static struct slot *
free_slot(void)
{
	for (unsigned i = 0; i < REQS; i++)
		if (!slot[i].live)
			return &slot[i];
	return NULL;
}

/* As read(2) on /dev/fuse returns it, in memory of just that length. */
static void
message(const void *bytes, size_t len)
{
	struct slot *s = free_slot();
	struct fuse_answer answer = { .out = s == NULL ? NULL : s->req.data };
	struct fuse_call call;
	void *copy;

	if (s == NULL)
		return;
	copy = malloc(len + 1);
	MUST(copy != NULL);
	memcpy(copy, bytes, len);
	if (fuse_call_split(&call, copy, len)) {
		enum fuse_verdict verdict = fuse_decode(&fs, &exported, &call, &answer);

		MUST(answer.error >= 0 && answer.len <= FUSE_PAYLOAD_MAX);
		if (verdict == FUSE_ORDER)
			start(s, &answer.order);
	}
	free(copy);
}

/* Half of them have small numbers in all fields, which get further. */
static void
raw_message(struct input *in)
{
	union {
		struct fuse_in_header head;
		uint8_t bytes[512];
	} m = { .bytes = { 0 } };
	size_t len = sizeof(m.head) + next8(in);
	bool small = next8(in) & 1;

	for (size_t i = sizeof(m.head); i < len; i++)
		m.bytes[i] = small && i % 8 > 1 ? 0 : next8(in);
	m.head.opcode = next8(in) % 60;
	m.head.nodeid = next8(in) % 4;
	m.head.len = (uint32_t)len;
	message(m.bytes, len);
}

static void
near_order(struct input *in)
{
	static const enum fuse_goal goals[] = { GOAL_READ, GOAL_WRITE, GOAL_ZERO,
		GOAL_ZERO, GOAL_SEEK, GOAL_FLUSH };
	uint8_t kind = next8(in);
	struct fuse_order o = { .goal = goals[kind % 6], .trim = kind % 6 == 2,
		.seek_hole = kind & 64 };
	struct slot *s = free_slot();

	if (s == NULL)
		return;
	o.offset = next16(in) % DISK_SIZE;
	o.length = 1 + next16(in) % (DISK_SIZE - o.offset);
	if (o.goal == GOAL_FLUSH)
		o.offset = o.length = 0;
	if (o.goal == GOAL_SEEK)
		o.length = DISK_SIZE - o.offset;
	start(s, &o);
}

static void
begin(uint8_t config)
{
	static const uint32_t blocks[] = { 1, 512, 4096 };

	exported = (struct nbe_export){
		.size = DISK_SIZE, .block_min = blocks[config % 3], .block_pref = 4096,
		.flags = (uint16_t)(NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH |
		    (config & 8 ? NBE_FLAG_SEND_TRIM : 0) |
		    (config & 16 ? NBE_FLAG_SEND_WRITE_ZEROES : 0)),
		.has_alloc = config & 32,
	};
	agreed = (struct fuse_agreed){ .started_s = 1 };
	fs = (struct fuse_fs){
		.mode = 0600, .read_only = config & 64, .agreed = &agreed,
	};
	fuse.handover.config.note = &note;
	fuse.gate = (struct fuse_gate){ 0 };
	if (fuse.bounce == NULL)
		fuse.bounce = malloc(BOUNCE_SIZE);
	for (unsigned i = 0; i < REQS; i++) {
		slot[i].live = slot[i].at_disk = false;
		if (slot[i].req.data == NULL)
			slot[i].req.data = calloc(1, FUSE_PAYLOAD_MAX);
		MUST(slot[i].req.data != NULL && fuse.bounce != NULL);
	}
	memset(disk, 0x5a, sizeof(disk));
	memset(shadow, 0x5a, sizeof(shadow));
	memset(uncertain, 0, sizeof(uncertain));
	memset(contested, 0, sizeof(contested));
}

/* All ends, and only what was asked for has changed. */
static void
end(void)
{
	for (unsigned i = 0; i < REQS; i++)
		if (slot[i].live && !slot[i].at_disk)
			MUST(slot[i].req.exclusive || fuse.gate.exclusive != NULL ||
			    fuse.gate.first != NULL);
	for (unsigned rounds = 0; free_slot() == NULL || rounds < 4096; rounds++) {
		MUST(rounds < 100000);
		complete(&slot[rounds % REQS], NBE_OK);
	}
	for (unsigned i = 0; i < REQS; i++)
		MUST(!slot[i].live);
	MUST(fuse.gate.first == NULL && fuse.gate.exclusive == NULL &&
	    fuse.gate.writers == 0);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		MUST(uncertain[i] || disk[i] == shadow[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data + 1, data + size };

	if (size == 0)
		return 0;
	begin(data[0]);
	while (in.at < in.end) {
		uint8_t step = next8(&in);

		if (step % 8 == 0)
			raw_message(&in);
		else if (step % 8 < 4)
			near_order(&in);
		else
			complete(&slot[step / 8 % REQS],
			    step >= 240 ? NBE_EIO : NBE_OK);
	}
	end();
	return 0;
}
