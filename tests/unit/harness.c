/*
 * harness.c - the front of the device tests.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "harness.h"

/* A broken rule of the seam: no later check would mean anything. */
static void
seam(bool ok, const char *what, int line)
{
	if (ok)
		return;
	printf("Bail out! harness.c:%d: %s\n", line, what);
	fflush(stdout);
	abort();
}
#define SEAM(cond) seam((cond), #cond, __LINE__)

/* ---- bytes ---------------------------------------------------------------- */

void
bytes_add(struct bytes *b, const void *p, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len);
		b->at = realloc(b->at, b->room);
		SEAM(b->at != NULL);
	}
	if (len != 0)
		memcpy(b->at + b->len, p, len);
	b->len += len;
}

void
bytes_free(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){ 0 };
}

void
add16(struct bytes *b, uint16_t v)
{
	uint8_t p[2];

	put16(p, v);
	bytes_add(b, p, sizeof p);
}

void
add32(struct bytes *b, uint32_t v)
{
	uint8_t p[4];

	put32(p, v);
	bytes_add(b, p, sizeof p);
}

void
add64(struct bytes *b, uint64_t v)
{
	uint8_t p[8];

	put64(p, v);
	bytes_add(b, p, sizeof p);
}

void
add_data(struct bytes *b, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		uint8_t v = rig_data(off + i);

		bytes_add(b, &v, 1);
	}
}

/* ---- device ---------------------------------------------------------------- */

struct rig *
rig_new(enum nbe_framing framing)
{
	struct rig *g = calloc(1, sizeof *g);

	SEAM(g != NULL);
	g->now = 100 * NBE_SECOND;
	g->cfg = (struct nbe_dev_config){
		.conns_max = 1, .conns = 1, .depth = 16,
		.timeout = NBE_NEVER, .dead_timeout = NBE_NEVER,
		.fence = 10 * NBE_SECOND,
		.backoff_min = NBE_SECOND, .backoff_max = 8 * NBE_SECOND,
		.unflushed = NBE_UNFLUSHED_FAIL, .seed = 1,
	};
	g->exp = (struct nbe_export){
		.size = MEGABYTE, .block_min = 512, .block_pref = 4096,
		.payload_max = 65536, .flags = ALL_FLAGS, .framing = framing,
		.has_alloc = framing != NBE_SIMPLE, .alloc_context = CONTEXT_ID,
	};
	return g;
}

void
rig_start_down(struct rig *g)
{
	g->mem = malloc(nbe_dev_size(&g->cfg));
	g->keep = calloc(1, g->cfg.keep_size + 1);
	SEAM(g->mem != NULL && g->keep != NULL);
	g->dev = nbe_dev_init(g->mem, &g->cfg, &g->exp, g->now);
	rig_work(g);
}

void
rig_start(struct rig *g)
{
	rig_start_down(g);
	SEAM(rig_up(g, 0) == NBE_WHY_NONE);
}

void
rig_end(struct rig *g)
{
	for (unsigned i = 0; i < g->ios; i++) {
		free(g->io[i]->buf);
		free(g->io[i]);
	}
	for (unsigned i = 0; i < RIG_CONNS; i++)
		bytes_free(&g->sent[i]);
	free(g->keep);
	free(g->mem);
	free(g);
}

static void
keep_copy(struct rig *g, const struct io *o)
{
	if (o->r.keep != NBE_NO_KEEP) {
		SEAM(o->r.op == NBE_WRITE && o->r.error == NBE_OK);
		SEAM(o->r.keep + o->r.length <= g->cfg.keep_size);
		memcpy(g->keep + o->r.keep, o->buf, o->r.length);
	}
	nbe_kept(g->dev, &o->r);
}

void
rig_work(struct rig *g)
{
	SEAM(nbe_dev_valid(g->dev));
	nbe_work(g->dev, &g->work, g->now);
	SEAM(nbe_dev_valid(g->dev));
	g->resized |= g->work.resized;
	for (struct nbe_req *r = g->work.done, *next; r != NULL; r = next) {
		struct io *o = (struct io *)r;

		next = r->next;
		SEAM(!o->done && r->error < NBE_ERRS);
		o->done = true;
		o->order = ++g->done;
		if (!g->dies)
			keep_copy(g, o);
	}
	g->work.done = NULL;
}

enum nbe_why
rig_up(struct rig *g, unsigned conn)
{
	enum nbe_why why = nbe_conn_up(g->dev, conn, &g->exp, g->now);

	g->sent[conn].len = g->taken[conn] = 0;
	rig_work(g);
	return why;
}

void
rig_down(struct rig *g, unsigned conn)
{
	nbe_conn_down(g->dev, conn, NBE_WHY_CLOSED, g->now);
	rig_work(g);
}

bool
rig_closing(const struct rig *g, unsigned conn)
{
	return (g->work.close >> conn & 1) != 0;
}

bool
rig_opens(const struct rig *g, unsigned conn)
{
	return (g->work.open >> conn & 1) != 0;
}

void
rig_close(struct rig *g, unsigned conn)
{
	SEAM(rig_closing(g, conn));
	rig_down(g, conn);
}

void
rig_wait(struct rig *g, nbe_time t)
{
	g->now += t;
	nbe_tick(g->dev, g->now);
	rig_work(g);
}

/* ---- requests --------------------------------------------------------------- */

/* No two blocks are alike. */
uint8_t
rig_data(uint64_t off)
{
	return (uint8_t)(off * 7 + (off >> 9) * 31 + 1);
}

bool
rig_has_data(const struct io *o)
{
	for (uint64_t i = 0; i < o->r.length; i++)
		if (o->buf[i] != rig_data(o->r.offset + i))
			return false;
	return true;
}

static void
fill(struct io *o)
{
	o->buf = malloc(o->r.length);
	SEAM(o->buf != NULL);
	memset(o->buf, UNTOUCHED, o->r.length);
	if (o->r.op == NBE_WRITE)
		for (uint64_t i = 0; i < o->r.length; i++)
			o->buf[i] = rig_data(o->r.offset + i);
}

struct io *
rig_submit(struct rig *g, enum nbe_op op, uint64_t off, uint64_t len, unsigned flags)
{
	struct io *o = calloc(1, sizeof *o);

	SEAM(o != NULL && g->ios < RIG_IOS);
	g->io[g->ios++] = o;
	o->r.op = (uint8_t)op;
	o->r.offset = off;
	o->r.length = len;
	o->r.flags = (uint8_t)flags;
	o->r.extents = o->extent;
	o->r.extents_max = sizeof o->extent / sizeof o->extent[0];
	if ((op == NBE_READ || op == NBE_WRITE) && len <= 64 * MEGABYTE)
		fill(o);
	nbe_submit(g->dev, &o->r, g->now);
	rig_work(g);
	return o;
}

bool
io_ended(const struct io *o, enum nbe_err error)
{
	return o->done && o->r.error == error;
}

/* ---- sending ---------------------------------------------------------------- */

static uint8_t *
memory_of(const struct rig *g, const struct nbe_seg *s)
{
	struct io *o = (struct io *)s->req;

	if (s->kind == NBE_SEG_CORE)
		return s->base;
	if (s->kind == NBE_SEG_KEPT) {
		SEAM(s->off + s->len <= g->cfg.keep_size);
		return g->keep + s->off;
	}
	SEAM(s->kind == NBE_SEG_DATA || s->kind == NBE_SEG_ZERO);
	SEAM(!o->done && s->off + s->len <= o->r.length);
	return o->buf + s->off;
}

void
rig_collect(struct rig *g, unsigned conn, const struct nbe_seg *seg, unsigned n,
    uint64_t limit)
{
	for (unsigned i = 0; i < n && limit != 0; i++) {
		uint64_t len = seg[i].len < limit ? seg[i].len : limit;

		SEAM(seg[i].len != 0);
		SEAM(seg[i].kind != NBE_SEG_SKIP && seg[i].kind != NBE_SEG_ZERO);
		bytes_add(&g->sent[conn], memory_of(g, &seg[i]), len);
		limit -= len;
	}
}

uint64_t
rig_send_some(struct rig *g, unsigned conn, unsigned nseg, uint64_t limit)
{
	struct nbe_seg *seg = calloc(nseg, sizeof *seg);
	size_t before = g->sent[conn].len;
	unsigned n;

	SEAM(seg != NULL);
	n = nbe_tx_begin(g->dev, conn, seg, nseg, g->now);
	SEAM(n <= nseg && nbe_dev_valid(g->dev));
	rig_collect(g, conn, seg, n, limit);
	if (n != 0) {
		g->now += g->send_time;
		nbe_tx_end(g->dev, conn, g->sent[conn].len - before, NBE_WHY_NONE,
		    g->now);
		if (g->send_time != 0)
			nbe_send_took(g->dev, g->send_time);
	}
	free(seg);
	rig_work(g);
	return g->sent[conn].len - before;
}

void
rig_send(struct rig *g, unsigned conn)
{
	while (rig_send_some(g, conn, RIG_SEGS, UINT64_MAX) != 0)
		continue;
}

/* The command at p; its length on the wire, 0 when it is not there in full. */
static size_t
parse(const struct rig *g, const uint8_t *p, size_t left, struct command *c)
{
	bool ext = g->exp.framing == NBE_EXTENDED;
	size_t head = ext ? LEN_EXT_REQUEST : LEN_REQUEST;

	if (left < head)
		return 0;
	*c = (struct command){
		.magic = get32(p), .flags = get16(p + 4), .type = get16(p + 6),
		.cookie = get64(p + 8), .off = get64(p + 16),
		.len = ext ? get64(p + 24) : get32(p + 24), .payload = p + head,
	};
	if (c->type == CMD_WRITE)
		head += c->len;
	return head <= left ? head : 0;
}

unsigned
rig_count(const struct rig *g, unsigned conn)
{
	const struct bytes *b = &g->sent[conn];
	size_t at = g->taken[conn], len;
	struct command c;
	unsigned n;

	if (b->len == 0)
		return 0;
	for (n = 0; (len = parse(g, b->at + at, b->len - at, &c)) != 0; n++)
		at += len;
	return n;
}

struct command
rig_take(struct rig *g, unsigned conn)
{
	const struct bytes *b = &g->sent[conn];
	size_t at = g->taken[conn], len;
	struct command c;

	len = parse(g, b->at + at, b->len - at, &c);
	SEAM(len != 0);
	g->taken[conn] += len;
	return c;
}

struct command
rig_command(struct rig *g, unsigned conn)
{
	rig_send(g, conn);
	return rig_take(g, conn);
}

/* ---- the server's bytes ------------------------------------------------------ */

void
reply_simple(struct bytes *b, const struct command *c, uint32_t error)
{
	add32(b, MAGIC_SIMPLE_REPLY);
	add32(b, error);
	add64(b, c->cookie);
}

void
reply_chunk(struct bytes *b, const struct rig *g, const struct command *c,
    uint16_t flags, uint16_t type, uint64_t len)
{
	bool ext = g->exp.framing == NBE_EXTENDED;

	add32(b, ext ? MAGIC_EXT_REPLY : MAGIC_STRUCTURED_REPLY);
	add16(b, flags);
	add16(b, type);
	add64(b, c->cookie);
	if (ext) {
		add64(b, c->off);
		add64(b, len);
	} else {
		add32(b, (uint32_t)len);
	}
}

void
reply_none(struct bytes *b, const struct rig *g, const struct command *c)
{
	reply_chunk(b, g, c, REPLY_FLAG_DONE, REPLY_TYPE_NONE, 0);
}

void
reply_data(struct bytes *b, const struct rig *g, const struct command *c,
    uint16_t flags, uint64_t off, uint64_t len)
{
	reply_chunk(b, g, c, flags, REPLY_TYPE_OFFSET_DATA, 8 + len);
	add64(b, off);
	add_data(b, off, len);
}

void
reply_hole(struct bytes *b, const struct rig *g, const struct command *c,
    uint16_t flags, uint64_t off, uint32_t len)
{
	reply_chunk(b, g, c, flags, REPLY_TYPE_OFFSET_HOLE, 12);
	add64(b, off);
	add32(b, len);
}

void
reply_error(struct bytes *b, const struct rig *g, const struct command *c,
    uint16_t flags, uint32_t error, const char *message)
{
	size_t len = strlen(message);

	reply_chunk(b, g, c, flags, REPLY_TYPE_ERROR, 6 + len);
	add32(b, error);
	add16(b, (uint16_t)len);
	bytes_add(b, message, len);
}

static void
reply_status(struct bytes *b, const struct rig *g, const struct command *c)
{
	bool ext = g->exp.framing == NBE_EXTENDED;

	reply_chunk(b, g, c, REPLY_FLAG_DONE, ext ? REPLY_TYPE_BLOCK_STATUS_EXT :
	    REPLY_TYPE_BLOCK_STATUS, ext ? 24 : 12);
	add32(b, g->exp.alloc_context);
	add32(b, ext ? 1 : (uint32_t)c->len);
	if (ext) {
		add64(b, c->len);
		add32(b, 0);
	}
	add32(b, 0);
}

void
reply_ok(struct bytes *b, const struct rig *g, const struct command *c)
{
	if (c->type == CMD_BLOCK_STATUS)
		reply_status(b, g, c);
	else if (g->exp.framing == NBE_SIMPLE)
		reply_simple(b, c, 0);
	else if (c->type == CMD_READ)
		reply_data(b, g, c, REPLY_FLAG_DONE, c->off, c->len);
	else
		reply_none(b, g, c);
	if (g->exp.framing == NBE_SIMPLE && c->type == CMD_READ)
		add_data(b, c->off, c->len);
}

void
reply_fail(struct bytes *b, const struct rig *g, const struct command *c,
    uint32_t error)
{
	if (g->exp.framing == NBE_SIMPLE)
		reply_simple(b, c, error);
	else
		reply_error(b, g, c, REPLY_FLAG_DONE, error, "");
}

/* ---- receiving ---------------------------------------------------------------- */

static uint64_t
scatter(struct rig *g, const struct nbe_seg *seg, unsigned n, const uint8_t *p,
    size_t len)
{
	uint64_t got = 0;

	for (unsigned i = 0; i < n && got < len; i++) {
		uint64_t take = seg[i].len < len - got ? seg[i].len : len - got;

		SEAM(seg[i].kind != NBE_SEG_ZERO && seg[i].kind != NBE_SEG_KEPT);
		if (seg[i].kind != NBE_SEG_SKIP)
			memcpy(memory_of(g, &seg[i]), p + got, take);
		got += take;
	}
	return got;
}

static bool
same_work(const struct nbe_work *a, const struct nbe_work *b)
{
	return a->tx == b->tx && a->open == b->open && a->close == b->close &&
	    a->probe == b->probe && a->fence == b->fence &&
	    a->compare == b->compare && !b->resized && a->stopped == b->stopped;
}

/* The end of a receive.  When it was a piece of a reply and no more, there is nothing
 * new to do, and nothing sooner. */
static void
receive_end(struct rig *g, unsigned conn, uint64_t got, const struct nbe_work *before)
{
	nbe_time wake = nbe_wake(g->dev, g->now);
	unsigned done = g->done;
	bool ended = nbe_rx_end(g->dev, conn, got, NBE_WHY_NONE, g->now);

	rig_work(g);
	SEAM(ended || (g->done == done && same_work(before, &g->work) &&
	    nbe_wake(g->dev, g->now) >= wake));
}

/* One direct receive; SIZE_MAX: the engine does not want any more. */
static size_t
receive_direct(struct rig *g, unsigned conn, const uint8_t *p, size_t len)
{
	struct nbe_work before;
	struct nbe_seg seg[2];
	uint64_t need, got = 0;
	unsigned n;

	rig_work(g);
	before = g->work;
	n = nbe_rx_begin(g->dev, conn, seg, 2, &need);
	if (n == 0)
		return SIZE_MAX;
	SEAM(n <= 2 && nbe_dev_valid(g->dev));
	if (need != 0)
		got = scatter(g, seg, n, p, len);
	else if (seg[0].kind == NBE_SEG_ZERO)
		memset(memory_of(g, &seg[0]), 0, seg[0].len);
	receive_end(g, conn, got, &before);
	return need == 0 || got != 0 ? got : SIZE_MAX;
}

/* One read-ahead; SIZE_MAX likewise. */
static size_t
receive_ahead(struct rig *g, unsigned conn, const uint8_t *p, size_t len,
    unsigned segs)
{
	struct nbe_work before;
	struct nbe_seg seg[RIG_SEGS];
	size_t used;
	unsigned n;

	rig_work(g);
	if (rig_closing(g, conn))
		return SIZE_MAX;
	before = g->work;
	n = nbe_rx_ahead(g->dev, conn, p, len, seg, segs, &used);
	SEAM(n <= segs && used <= len && (used == len || n == segs));
	for (unsigned i = 0; i < n; i++)
		if (seg[i].kind == NBE_SEG_ZERO) {
			memset(memory_of(g, &seg[i]), 0, seg[i].len);
		} else {
			SEAM(seg[i].kind == NBE_SEG_DATA && seg[i].base >= p &&
			    seg[i].base + seg[i].len <= p + used);
			memcpy(memory_of(g, &seg[i]), seg[i].base, seg[i].len);
		}
	receive_end(g, conn, 0, &before);
	return used == 0 && n < segs ? SIZE_MAX : used;
}

void
rig_receive(struct rig *g, unsigned conn, const uint8_t *p, size_t len,
    struct way way)
{
	size_t at = 0, used = 0, steps = 0;

	for (;;) {
		size_t piece = len - at < way.piece ? len - at : way.piece;

		if (rig_closing(g, conn) || !nbe_conn_is_up(g->dev, conn))
			return;
		used = way.segs == 0 ? receive_direct(g, conn, p + at, piece) :
		    receive_ahead(g, conn, p + at, piece, way.segs);
		if (used == SIZE_MAX)
			return;
		at += used;
		SEAM(steps++ <= 4 * len + 16);
	}
}

void
rig_reply(struct rig *g, unsigned conn, const struct bytes *b)
{
	rig_receive(g, conn, b->at, b->len, (struct way){ SIZE_MAX, RIG_SEGS });
}

void
rig_answer(struct rig *g, unsigned conn, const struct command *c, uint32_t error)
{
	struct bytes b = { 0 };

	if (error == 0)
		reply_ok(&b, g, c);
	else
		reply_fail(&b, g, c, error);
	rig_reply(g, conn, &b);
	bytes_free(&b);
}

void
rig_serve(struct rig *g, unsigned conn)
{
	struct command c;

	for (rig_send(g, conn); rig_count(g, conn) != 0; rig_send(g, conn)) {
		c = rig_take(g, conn);
		if (c.type == CMD_DISC)
			return;
		rig_answer(g, conn, &c, 0);
	}
}
