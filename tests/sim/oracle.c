/*
 * oracle.c - the upper layer: issues requests, knows what each block may hold.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each change of the disk has a version, counting up, and writes it into every
 * block, with the block's number: a block that is torn, misplaced or old shows.
 * Changes never overlap another request in flight, as in a file system; but once
 * a change is aborted or failed, its blocks may be used again at once, and then
 * hold the older version or that one, until a newer one is acknowledged.
 */
#include <stdarg.h>
#include <string.h>

#include "sim.h"

#define VERSIONS	400000u
#define WORDS		(BLOCK / 8)

struct io io[IOS];
unsigned long done_count, error_count;

static uint64_t next_version, next_seq;
static unsigned tolds;		/* flushes that failed because of a loss */
static uint8_t failed[VERSIONS];	/* may have happened, or not, or yet */
static bool recorded[VERSIONS];	/* with REPLAY a restart cannot undo it */

static struct {
	unsigned readers, writers;
	uint64_t acked;		/* the last acknowledged version */
	uint64_t promised;	/* by the next flush; less than acked after a loss */
	uint64_t zeroed, trimmed;	/* the last versions issued that do so */
	uint64_t durable;	/* promised, by FUA or a flush */
	bool any;		/* trimmed: may hold anything */
	bool may_be_old;	/* the server forgot; nobody has been told yet */
} block[BLOCKS_MAX];

static unsigned
blocks(void)
{
	return (unsigned)(nbe_dev_export(dev)->size / BLOCK);
}

struct io *
io_of(const struct nbe_req *r)
{
	return (struct io *)(uintptr_t)((uintptr_t)r - offsetof(struct io, r));
}

void
oracle_init(void)
{
	memset(block, 0, sizeof(block));
	memset(failed, 0, sizeof(failed));
	memset(io, 0, sizeof(io));
	memset(recorded, true, sizeof(recorded));
	next_version = next_seq = 1;
}

static void
release(struct io *o)
{
	free(o->buf);
	free(o->snap);
	o->buf = NULL;
	o->snap = NULL;
	o->live = false;
}

void
oracle_free(void)
{
	for (unsigned i = 0; i < IOS; i++)
		release(&io[i]);
}

unsigned
oracle_live(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IOS; i++)
		n += io[i].live;
	return n;
}

static bool
changes(const struct nbe_req *r)
{
	return nbe_op_info[r->op].modifies;
}

static bool
first_block(const struct nbe_req *r, unsigned *from, unsigned *to)
{
	*from = (unsigned)(r->offset / BLOCK);
	*to = (unsigned)((r->offset + r->length) / BLOCK);
	return r->op != NBE_FLUSH;
}

/* ---- contents -------------------------------------------------------------------- */

static void
fill(uint8_t *p, unsigned b, uint64_t version)
{
	uint64_t w[WORDS];

	for (unsigned k = 0; k < WORDS; k++)
		w[k] = (version << 16 | b) + k * UINT64_C(0x9E3779B97F4A7C15);
	memcpy(p, w, BLOCK);
}

#define GARBAGE	UINT64_MAX

/* The version that a block holds; what was there at first is 0. */
static uint64_t
version_of(const uint8_t *p, unsigned b)
{
	uint8_t same[BLOCK];
	uint64_t w0;

	memset(same, p[0], BLOCK);
	if (memcmp(p, same, BLOCK) == 0) {
		if (p[0] == 0)
			return block[b].zeroed;
		return p[0] == (uint8_t)(0x80 | b) ? 0 : GARBAGE;
	}
	memcpy(&w0, p, 8);
	fill(same, (unsigned)(w0 & 0xffff), w0 >> 16);
	if ((w0 & 0xffff) != b || memcmp(p, same, BLOCK) != 0)
		return GARBAGE;
	return w0 >> 16;
}

void
oracle_check_write(const uint8_t *data, uint64_t off, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += BLOCK)
		HOLDS("P2", version_of(data + at, (unsigned)((off + at) / BLOCK)) !=
		    GARBAGE, "the server was sent the wrong data for block %u",
		    (unsigned)((off + at) / BLOCK));
}

static bool
may_hold(unsigned b, uint64_t v)
{
	if (block[b].any || block[b].may_be_old || v == block[b].acked)
		return true;
	return v != GARBAGE && v > block[b].acked && v < VERSIONS && failed[v];
}

void
oracle_restarted(unsigned b)
{
	if ((plan.cfg.unflushed != NBE_UNFLUSHED_REPLAY ||
	    !recorded[block[b].acked]) &&
	    version_of(server_current(b), b) != block[b].acked)
		block[b].may_be_old = true;
}

/* The device has another server.  In order: it sees what the one before did. */
void
oracle_other_server(bool in_order)
{
	if (!in_order)
		server_restarts++;
	for (unsigned b = 0; b < BLOCKS_MAX; b++) {
		uint64_t v = version_of(server_current(b), b);

		HOLDS("P4", !in_order || may_hold(b, v) || !plan.honest ||
		    block[b].writers != 0,
		    "after a move block %u holds version %llu, acked %llu", b,
		    (unsigned long long)v, (unsigned long long)block[b].acked);
		if (!in_order && (v == GARBAGE || v < block[b].acked))
			oracle_restarted(b);
	}
}

/* No server came back for a replay: what it did not get to is lost, and is told. */
void
oracle_not_replayed(void)
{
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (version_of(server_current(b), b) != block[b].acked)
			block[b].may_be_old = true;
}

/*
 * The device is gone, and so are its records.  What it had under way the next one gets,
 * with its version, and records when it acknowledges it.
 */
void
oracle_records_lost(void)
{
	if (plan.cfg.unflushed == NBE_UNFLUSHED_REPLAY)
		oracle_not_replayed();
	memset(recorded, false, next_version * sizeof(*recorded));
}

void
oracle_in_doubt(void)
{
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (!recorded[block[b].acked])
			block[b].may_be_old = true;
}

/* Is the last change of block b that the device keeps one that it has given up? */
static bool
given_up(unsigned b)
{
	const struct unflushed *un = &dev->un;
	uint64_t off = (uint64_t)b * BLOCK;

	for (uint64_t i = un->records->last; i != un->records->first; i--) {
		const struct record *rec = record_at(dev, i - 1);

		if (rec->kept && rec->off <= off && off < rec->off + rec->len)
			return rec->given_up;
	}
	return false;
}

/*
 * A change that is given up is not replayed any more, but those before it are, also
 * over it: until a flush covers them all.  So nothing is promised of its blocks, even
 * if a server has it at present, until a flush tells.  Where a newer change is kept,
 * that one counts.
 */
void
oracle_given_up(void)
{
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (given_up(b))
			block[b].may_be_old = true;
}

/* ---- issue --------------------------------------------------------------- */

static bool
lock(const struct nbe_req *r)
{
	unsigned b, from, to;

	if (!first_block(r, &from, &to))
		return true;
	for (b = from; b < to; b++)
		if (block[b].writers != 0 || (changes(r) && block[b].readers != 0))
			return false;
	for (b = from; b < to; b++) {
		if (changes(r))
			block[b].writers++;
		else
			block[b].readers++;
	}
	return true;
}

static void
unlock(const struct nbe_req *r)
{
	unsigned b, from, to;

	if (!first_block(r, &from, &to))
		return;
	for (b = from; b < to; b++) {
		if (changes(r))
			block[b].writers--;
		else
			block[b].readers--;
	}
}

static void
issue_change(struct io *o)
{
	bool zeroes = (plan.exp.flags & NBE_FLAG_SEND_WRITE_ZEROES) != 0;
	unsigned b, from, to;

	o->version = next_version++;
	if (o->version >= VERSIONS)
		violated("sim", "more versions than room");
	first_block(&o->r, &from, &to);
	for (b = from; b < to; b++) {
		if (o->r.op == NBE_ZERO && zeroes)
			block[b].zeroed = o->version;
		if (o->r.op == NBE_TRIM) {
			block[b].trimmed = o->version;
			block[b].any = true;
		}
		if (o->r.op == NBE_WRITE)
			fill(o->buf + (b - from) * BLOCK, b, o->version);
	}
}

static void
snapshot(struct io *o)
{
	o->snap = malloc(BLOCKS_MAX * sizeof(*o->snap));
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		o->snap[b] = block[b].any ? 0 : block[b].promised;
}

static uint8_t
pick_op(void)
{
	static const uint8_t ops[] = { NBE_READ, NBE_READ, NBE_READ, NBE_WRITE,
	    NBE_WRITE, NBE_WRITE, NBE_WRITE, NBE_ZERO, NBE_TRIM, NBE_FLUSH,
	    NBE_CACHE, NBE_EXTENTS };

	return ops[below(sizeof(ops))];
}

static uint8_t
pick_flags(uint8_t op)
{
	uint8_t flags = 0;

	if (nbe_op_info[op].modifies && one_in(5))
		flags |= NBE_FUA;
	if (one_in(25))
		flags |= NBE_BARRIER;
	if (op == NBE_ZERO && one_in(2))
		flags |= one_in(2) ? NBE_NO_HOLE : NBE_FAST_ZERO;
	return flags;
}

void
oracle_issue(void)
{
	struct io *o = &io[below(IOS)];
	uint64_t b = below(blocks()), n = 1 + below(one_in(10) ? 100 : 12);

	if (o->live)
		return;
	memset(o, 0xAA, sizeof(*o));		/* the engine sets what it reads */
	o->live = o->aborted = false;
	o->snap = NULL;
	o->r.op = pick_op();
	o->r.flags = pick_flags(o->r.op);
	if (n > blocks() - b)
		n = blocks() - b;
	o->r.offset = o->r.op == NBE_FLUSH ? 0 : b * BLOCK;
	o->r.length = o->r.op == NBE_FLUSH ? 0 : n * BLOCK;
	o->r.extents = o->ext;
	o->r.extents_max = 4;
	if (!lock(&o->r)) {
		o->buf = NULL;
		return;
	}
	o->live = true;
	o->seq = next_seq++;
	o->restarts = (unsigned)server_restarts;
	o->tolds = tolds;
	o->buf = malloc(o->r.length + 1);
	memset(o->buf, 0xEE, o->r.length + 1);
	if (changes(&o->r))
		issue_change(o);
	if (o->r.op == NBE_FLUSH)
		snapshot(o);
	trace("submit %llu %s flags %#x blocks %llu+%llu", (unsigned long long)o->seq,
	    nbe_op_name(o->r.op), o->r.flags, (unsigned long long)o->r.offset / BLOCK,
	    (unsigned long long)o->r.length / BLOCK);
	if (changes(&o->r))
		trace("  as version %llu", (unsigned long long)o->version);
	heir_submit(o);
}

void
oracle_abort_one(void)
{
	struct io *o = &io[below(IOS)];

	if (!o->live || o->aborted)
		return;
	o->aborted = true;
	nbe_abort(dev, &o->r, now);
}

/* ---- barriers ------------------------------------------------------------ */

/* A command of r goes out: is it r's turn? */
void
oracle_arrives(const struct nbe_req *r)
{
	const struct io *o = io_of(r);

	for (unsigned i = 0; i < IOS; i++) {
		const struct io *p = &io[i];

		if (!p->live || p == o || p->r.error == NBE_EABORTED ||
		    p->r.state == REQ_DONE)
			continue;
		HOLDS("P5", p->seq > o->seq || (p->r.flags & NBE_BARRIER) == 0,
		    "request %llu overtakes barrier %llu",
		    (unsigned long long)o->seq, (unsigned long long)p->seq);
		HOLDS("P5", p->seq > o->seq || (r->flags & NBE_BARRIER) == 0,
		    "barrier %llu overtakes request %llu",
		    (unsigned long long)o->seq, (unsigned long long)p->seq);
	}
}

/* ---- done ---------------------------------------------------------------- */

/* A read that was under way when a loss was told may have seen what was lost. */
static void
check_read(const struct io *o)
{
	unsigned b, from, to;

	first_block(&o->r, &from, &to);
	for (b = from; b < to && o->tolds == tolds; b++) {
		uint64_t v = version_of(o->buf + (b - from) * BLOCK, b);

		HOLDS("P3", may_hold(b, v), "block %u reads version %llu, acked %llu",
		    b, (unsigned long long)v, (unsigned long long)block[b].acked);
	}
	HOLDS("P7", o->buf[o->r.length] == 0xEE, "wrote beyond the buffer");
}

static void
check_durable(const char *promise, unsigned b, uint64_t at_least)
{
	uint64_t v = version_of(server_durable(b), b);

	if (at_least == 0 || block[b].any || block[b].may_be_old ||
	    block[b].trimmed >= at_least)
		return;
	HOLDS(promise, v != GARBAGE && v >= at_least,
	    "block %u is durable as version %llu, promised %llu", b,
	    (unsigned long long)v, (unsigned long long)at_least);
}

/*
 * May the device have lost, without knowing yet, what block b held?  Only if a
 * restart has not been noticed; a flush that then says OK is a lie (P4).
 */
static void
check_flush(const struct io *o)
{
	if ((plan.exp.flags & NBE_FLAG_SEND_FLUSH) == 0)
		return;
	if (plan.cfg.unflushed == NBE_UNFLUSHED_IGNORE && server_restarts != 0)
		return;			/* as the user chose */
	for (unsigned b = 0; b < BLOCKS; b++) {
		if (plan.cfg.unflushed != NBE_UNFLUSHED_IGNORE &&
		    block[b].may_be_old && !block[b].any &&
		    block[b].trimmed < o->snap[b])
			HOLDS("P4", version_of(server_durable(b), b) >= o->snap[b],
			    "flush is fine, but block %u was forgotten", b);
		if (block[b].writers == 0)
			check_durable("P1", b, o->snap[b]);
		if (o->snap[b] > block[b].durable)
			block[b].durable = o->snap[b];
	}
}

/*
 * The upper layer was told of the loss: it takes the disk as it is now.  A newer write
 * may be under way there, which nobody has acknowledged; and what is not durable may
 * be lost again.  When it is told again, after a device has died, what that had done
 * elsewhere may have landed since, within the fence time.
 */
static void
take_as_it_is(unsigned b)
{
	uint64_t v = version_of(server_current(b), b);
	uint64_t durable = version_of(server_durable(b), b);

	block[b].may_be_old = false;
	failed[block[b].acked] = 1;	/* a late copy may still land */
	/* zeroes may be older than the zeroing that is under way */
	if (v == GARBAGE || (v == block[b].zeroed && v > block[b].acked))
		block[b].any = true;
	else if (v < block[b].acked || !recorded[v])
		block[b].acked = v;
	block[b].promised = durable < block[b].acked ? durable : block[b].acked;
}

static void
told(void)
{
	tolds++;
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (block[b].may_be_old)
			take_as_it_is(b);
}

static void
keep_durable(unsigned b, uint64_t version)
{
	check_durable("P5", b, version);
	block[b].durable = version;
}

/* As if the client died now, and the server with it. */
void
oracle_durable(void)
{
	for (unsigned b = 0; b < BLOCKS; b++)
		if (block[b].writers == 0)
			check_durable("P5", b, block[b].durable);
}

static void
acknowledge(struct io *o)
{
	unsigned b, from, to;

	first_block(&o->r, &from, &to);
	recorded[o->version] = true;
	for (b = from; b < to; b++) {
		block[b].acked = block[b].promised = o->version;
		block[b].any = o->r.op == NBE_TRIM;
		/* the reply may be older than the restart it came after */
		block[b].may_be_old = o->restarts != server_restarts &&
		    o->r.op != NBE_TRIM &&
		    plan.cfg.unflushed != NBE_UNFLUSHED_REPLAY &&
		    version_of(server_current(b), b) != o->version;
		if ((o->r.flags & NBE_FUA) != 0 &&
		    (plan.exp.flags & (NBE_FLAG_SEND_FUA | NBE_FLAG_SEND_FLUSH)) != 0)
			keep_durable(b, o->version);
	}
}

static void
check_extents(const struct io *o)
{
	uint64_t sum = 0;

	HOLDS("P7", o->r.extents_count >= 1 && o->r.extents_count <= 4, "extents");
	for (unsigned i = 0; i < o->r.extents_count; i++)
		sum += o->ext[i].length;
	HOLDS("P7", sum <= o->r.length, "extents beyond the request");
}

static void
succeeded(struct io *o)
{
	if (o->r.op == NBE_READ)
		check_read(o);
	if (o->r.op == NBE_FLUSH)
		check_flush(o);
	if (o->r.op == NBE_EXTENTS)
		check_extents(o);
	if (changes(&o->r))
		acknowledge(o);
}

static void
check_error(const struct io *o)
{
	enum nbe_err e = (enum nbe_err)o->r.error;

	HOLDS("P2", e != NBE_EABORTED || o->aborted, "aborted by nobody");
	HOLDS("P2", e != NBE_ETIMEDOUT || dev->dead ||
	    now - o->r.submitted_at >= plan.cfg.dead_timeout,
	    "timed out after %llu us",
	    (unsigned long long)(now - o->r.submitted_at) / US);
	if (plan.error_odds != 0 || o->aborted || plan.shutdowns)
		return;
	HOLDS("P2", e == NBE_ETIMEDOUT || e == NBE_ENOTSUP ||
	    (e == NBE_EIO && o->r.op == NBE_FLUSH &&
	    (dev->st.restarts != 0 || plan.die_odds != 0)) ||
	    (e == NBE_EIO && o->r.op == NBE_READ),
	    "error %d from a server without errors", e);
	HOLDS("P4", e != NBE_EIO || o->r.op != NBE_FLUSH || plan.die_odds == 0 ||
	    plan.cfg.unflushed != NBE_UNFLUSHED_REPLAY || heir_may_lose(),
	    "a flush fails, though all was kept");
}

void
oracle_done(struct nbe_req *r)
{
	struct io *o = io_of(r);

	HOLDS("P2", o->live, "a request was done twice");
	done_count++;
	heir_done(o);
	trace("done %llu, error %u", (unsigned long long)o->seq, o->r.error);
	unlock(&o->r);
	if (o->r.error == NBE_OK && plan.honest)
		succeeded(o);
	if (o->r.error != NBE_OK) {
		error_count++;
		if (plan.honest)
			check_error(o);
		if (changes(&o->r))
			failed[o->version] = 1;
		if (o->r.op == NBE_FLUSH && o->r.error == NBE_EIO)
			told();
	}
	release(o);
}

/* Everything is finished: does the disk hold what was promised? */
void
oracle_end(bool flushed)
{
	for (unsigned b = 0; b < BLOCKS; b++) {
		uint64_t v = version_of(server_current(b), b);

		HOLDS("P2", may_hold(b, v), "in the end block %u holds version %llu, "
		    "acked %llu", b, (unsigned long long)v,
		    (unsigned long long)block[b].acked);
		if (flushed && !(plan.cfg.unflushed == NBE_UNFLUSHED_IGNORE &&
		    server_restarts != 0) &&
		    (plan.exp.flags & NBE_FLAG_SEND_FLUSH) != 0)
			check_durable("P1", b, block[b].promised);
	}
}
