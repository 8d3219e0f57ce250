/*
 * receive.c - bytes into replies: a table of steps.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each step reads one fixed piece of a message and ends with what is wanted
 * next: another piece, payload, or the end of the connection.  The pieces come
 * from the front's read-ahead buffer, parsed in place, or through rx.buf; payload
 * is only ever named.  Nothing the server says is used before its range check.
 *
 * proto.md, "Simple reply message", "Structured reply message", "Extended reply".
 */
#include "device.h"

#define MESSAGE_MAX	65535u			/* a 16 bit length */
#define EXTENTS_LEN_MAX	(16u * 1048576u)	/* bytes of descriptors in a reply */

static void
want(struct conn *c, enum rx_step step, uint32_t need)
{
	c->rx.step = step;
	c->rx.need = need;
	c->rx.have = 0;
}

static uint32_t
head_len(const struct conn *c)
{
	return c->framing == NBE_EXTENDED ? LEN_EXT_REPLY : LEN_SIMPLE_REPLY;
}

static void
want_head(struct conn *c)
{
	c->rx.slot = NO_SLOT;
	want(c, RX_HEAD, head_len(c));
}

static void
want_payload(struct conn *c, enum rx_step step, uint64_t len)
{
	c->rx.step = step;
	c->rx.left = len;
}

void
conn_rx_init(struct conn *c)
{
	memset(&c->rx, 0, sizeof(c->rx));
	want_head(c);
}

/* An error that the protocol does not know is EINVAL (proto.md, "Error values"). */
static enum nbe_err
error_of(uint32_t wire)
{
	static const struct {
		uint32_t wire;
		enum nbe_err err;
	} map[] = {
		{ 0, NBE_OK }, { WIRE_EPERM, NBE_EPERM }, { WIRE_EIO, NBE_EIO },
		{ WIRE_ENOMEM, NBE_ENOMEM }, { WIRE_EINVAL, NBE_EINVAL },
		{ WIRE_ENOSPC, NBE_ENOSPC }, { WIRE_EOVERFLOW, NBE_EOVERFLOW },
		{ WIRE_ENOTSUP, NBE_ENOTSUP }, { WIRE_ESHUTDOWN, NBE_ESHUTDOWN },
	};

	for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].wire == wire)
			return map[i].err;
	return NBE_EINVAL;
}

static void
answered(struct nbe_dev *d, struct conn *c, struct slot *s)
{
	s->answered = true;
	c->babbles = false;
	list_remove(d, &c->sent, s);
	list_append(d, &c->answered, s);
	want_head(c);
}

/* ---- chunks --------------------------------------------------------------------- */

/*
 * Note that [start, end) of a read came.  False: it came before.  Honest servers
 * send few runs at a time; with more than RUNS_MAX the part is read again, in
 * halves.
 */
static bool
add_run(struct slot *s, uint32_t start, uint32_t end)
{
	struct run *r = s->run;
	unsigned i = 0;

	while (i < s->runs && r[i].end < start)
		i++;
	if (i == s->runs || end < r[i].start) {
		if (s->runs == RUNS_MAX) {
			s->scattered = true;
			return true;
		}
		for (unsigned k = s->runs++; k > i; k--)
			r[k] = r[k - 1];
		r[i] = (struct run){ start, end };
		return true;
	}
	if (end == r[i].start) {
		r[i].start = start;
		return true;
	}
	if (start != r[i].end || (i + 1 < s->runs && end > r[i + 1].start))
		return false;
	r[i].end = end;
	if (i + 1 < s->runs && end == r[i + 1].start) {
		r[i].end = r[i + 1].end;
		s->runs--;
		for (unsigned k = i + 1; k < s->runs; k++)
			r[k] = r[k + 1];
	}
	return true;
}

static bool
complete(const struct slot *s)
{
	if (s->error != NBE_OK || s->scattered)
		return true;
	if (s->op == NBE_READ)
		return s->runs == 1 && s->run[0].start == 0 && s->run[0].end == s->len;
	return s->op != NBE_EXTENTS || s->got_status;
}

static void
chunk_end(struct nbe_dev *d, struct conn *c)
{
	struct slot *s = slot_at(d, c->rx.slot);

	/* Of all chunks only errors may come without end. */
	if ((c->rx.flags & REPLY_FLAG_DONE) == 0) {
		c->babbles |= REPLY_TYPE_IS_ERROR(c->rx.type);
		want_head(c);
	} else if (complete(s))
		answered(d, c, s);
	else
		conn_close(c, NBE_WHY_INCOMPLETE);
}

/* All bytes of DATA, ZERO or SKIP are through. */
static void
payload_end(struct nbe_dev *d, struct conn *c)
{
	if (c->rx.type == REPLY_TYPE_ERROR_OFFSET)
		want(c, RX_ERROR_OFFSET, 8);
	else
		chunk_end(d, c);
}

static bool
is_payload(const struct conn *c)
{
	return c->rx.step == RX_DATA || c->rx.step == RX_ZERO || c->rx.step == RX_SKIP;
}

/* len more bytes of payload are done. */
static void
advance(struct nbe_dev *d, struct conn *c, uint64_t len)
{
	c->rx.left -= len;
	c->rx.pos += len;
	if (c->rx.left == 0)
		payload_end(d, c);
}

/* len bytes at the disk's offset off are content of the present reply. */
static void
content(struct nbe_dev *d, struct conn *c, enum rx_step step, uint64_t off,
    uint64_t len)
{
	struct slot *s = slot_at(d, c->rx.slot);

	if (off < s->off || len == 0 || len > s->len || off - s->off > s->len - len ||
	    (!s->scattered && !add_run(s, (uint32_t)(off - s->off),
	    (uint32_t)(off - s->off + len)))) {
		conn_close(c, NBE_WHY_BAD_RANGE);
		return;
	}
	c->rx.pos = s->pos + (off - s->off);
	c->babbles = false;
	want_payload(c, step, len);
}

static void
step_offset(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	content(d, c, RX_DATA, get64(p), c->rx.chunk_left - 8);
}

static void
step_hole(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	content(d, c, RX_ZERO, get64(p), get32(p + 8));
}

static void
step_error(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	struct slot *s = slot_at(d, c->rx.slot);
	uint64_t tail = c->rx.type == REPLY_TYPE_ERROR_OFFSET ? 8 : 0;
	uint64_t rest = c->rx.chunk_left - 6;	/* checked: at least tail */

	if (get32(p) == 0 || get16(p + 4) > rest - tail) {
		conn_close(c, NBE_WHY_BAD_CHUNK);
		return;
	}
	if (s->error == NBE_OK)
		s->error = (uint8_t)error_of(get32(p));
	want_payload(c, RX_SKIP, rest - tail);
	if (rest == tail)
		payload_end(d, c);
}

static void
step_error_offset(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	struct slot *s = slot_at(d, c->rx.slot);
	uint64_t off = get64(p);

	if (off < s->off || off - s->off >= s->len)
		conn_close(c, NBE_WHY_BAD_RANGE);
	else
		chunk_end(d, c);
}

static void
want_extent(struct nbe_dev *d, struct conn *c)
{
	if (c->rx.chunk_left == 0)
		chunk_end(d, c);
	else
		want(c, RX_EXTENT, c->framing == NBE_EXTENDED ? 16 : 8);
}

/* One descriptor (proto.md, "NBD_REPLY_TYPE_BLOCK_STATUS"); the last may reach
 * beyond what was asked. */
static void
step_extent(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	struct slot *s = slot_at(d, c->rx.slot);
	bool ext = c->framing == NBE_EXTENDED;
	uint64_t len = ext ? get64(p) : get32(p);
	uint32_t flags = get32(ext ? p + 12 : p + 4);
	uint64_t left = s->len - c->rx.pos;

	if (len == 0 || left == 0) {
		conn_close(c, len == 0 ? NBE_WHY_BAD_CHUNK : NBE_WHY_BAD_RANGE);
		return;
	}
	if (len > left)
		len = left;
	if (s->req != NULL && s->req->extents_count < s->req->extents_max)
		s->req->extents[s->req->extents_count++] =
		    (struct nbe_extent){ len, flags };
	c->rx.pos += len;
	c->rx.chunk_left -= ext ? 16 : 8;
	want_extent(d, c);
}

static void
step_status(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	struct slot *s = slot_at(d, c->rx.slot);
	bool ext = c->framing == NBE_EXTENDED;

	c->rx.chunk_left -= ext ? 8 : 4;
	if (get32(p) != c->alloc_context || s->got_status ||
	    (ext && (uint64_t)get32(p + 4) * 16 != c->rx.chunk_left)) {
		conn_close(c, NBE_WHY_BAD_CHUNK);
		return;
	}
	s->got_status = true;
	if (s->req != NULL)
		s->req->extents_count = 0;
	c->rx.pos = 0;
	want_extent(d, c);
}

/*
 * What each type of chunk may look like: who may get it, its length, and the
 * piece to read first.
 */
static const struct chunk_form {
	uint16_t type;
	uint8_t op;		/* NBE_OPS: any */
	uint8_t framing;	/* at least */
	uint32_t len_min, len_max;	/* 0: the length of the part is added */
	uint32_t unit, unit_base;	/* length is unit_base + n * unit */
	enum rx_step step;
	uint32_t need;
} chunk_forms[] = {
	{ REPLY_TYPE_OFFSET_DATA, NBE_READ, NBE_STRUCTURED, 9, 0, 1, 0, RX_OFFSET, 8 },
	{ REPLY_TYPE_OFFSET_HOLE, NBE_READ, NBE_STRUCTURED, 12, 12, 1, 0, RX_HOLE, 12 },
	{ REPLY_TYPE_BLOCK_STATUS, NBE_EXTENTS, NBE_STRUCTURED, 12, EXTENTS_LEN_MAX + 4,
	    8, 4, RX_STATUS, 4 },
	{ REPLY_TYPE_BLOCK_STATUS_EXT, NBE_EXTENTS, NBE_EXTENDED, 24,
	    EXTENTS_LEN_MAX + 8, 16, 8, RX_STATUS, 8 },
	{ REPLY_TYPE_ERROR_OFFSET, NBE_OPS, NBE_STRUCTURED, 14, 14 + MESSAGE_MAX, 1, 0,
	    RX_ERROR, 6 },
	/* any other error type begins like this one, and counts as one */
	{ REPLY_TYPE_ERROR, NBE_OPS, NBE_STRUCTURED, 6, 14 + MESSAGE_MAX, 1, 0,
	    RX_ERROR, 6 },
};

static const struct chunk_form *
form_of(uint16_t type)
{
	const struct chunk_form *f = chunk_forms;
	unsigned i, n = sizeof(chunk_forms) / sizeof(chunk_forms[0]);

	for (i = 0; i < n; i++)
		if (f[i].type == type)
			return &f[i];
	return REPLY_TYPE_IS_ERROR(type) ? &f[n - 1] : NULL;
}

static bool
fits(const struct chunk_form *f, const struct conn *c, const struct slot *s,
    uint64_t len)
{
	uint64_t max = f->len_max != 0 ? f->len_max : 8 + s->len;

	return (f->op == NBE_OPS || f->op == s->op) && c->framing >= f->framing &&
	    !(f->type == REPLY_TYPE_BLOCK_STATUS && c->framing == NBE_EXTENDED) &&
	    len >= f->len_min && len <= max && (len - f->unit_base) % f->unit == 0;
}

static void
chunk(struct nbe_dev *d, struct conn *c, uint16_t flags, uint16_t type,
    uint64_t cookie, uint64_t len)
{
	struct slot *s = slot_by_cookie(d, (unsigned)(c - d->conn), cookie);
	const struct chunk_form *f = form_of(type);

	if (s == NULL) {
		conn_close(c, NBE_WHY_BAD_COOKIE);
		return;
	}
	c->rx.slot = slot_index(d, s);
	c->rx.flags = flags;
	c->rx.type = type;
	c->rx.chunk_left = len;
	if (type == REPLY_TYPE_NONE && len == 0 && (flags & REPLY_FLAG_DONE) != 0)
		chunk_end(d, c);
	else if (f != NULL && fits(f, c, s, len))
		want(c, f->step, f->need);
	else
		conn_close(c, NBE_WHY_BAD_CHUNK);
}

/* ---- heads ----------------------------------------------------------------------- */

static void
simple(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	struct slot *s = slot_by_cookie(d, (unsigned)(c - d->conn), get64(p + 8));
	uint32_t error = get32(p + 4);

	if (s == NULL) {
		conn_close(c, NBE_WHY_BAD_COOKIE);
		return;
	}
	if ((c->framing == NBE_STRUCTURED && s->op == NBE_READ) ||
	    (s->op == NBE_EXTENTS && error == 0)) {
		conn_close(c, NBE_WHY_WRONG_FRAMING);
		return;
	}
	s->error = (uint8_t)error_of(error);
	if (s->op != NBE_READ || error != 0) {
		answered(d, c, s);
		return;
	}
	c->rx.slot = slot_index(d, s);
	c->rx.flags = REPLY_FLAG_DONE;
	c->rx.type = REPLY_TYPE_OFFSET_DATA;
	content(d, c, RX_DATA, s->off, s->len);
}

static void
extended(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	uint64_t cookie = get64(p + 8);
	struct slot *s = slot_by_cookie(d, (unsigned)(c - d->conn), cookie);

	if (s != NULL && get64(p + 16) != s->off)
		conn_close(c, NBE_WHY_BAD_RANGE);
	else
		chunk(d, c, get16(p + 4), get16(p + 6), cookie, get64(p + 24));
}

static void
step_head(struct nbe_dev *d, struct conn *c, const uint8_t *p)
{
	uint32_t magic = get32(p);

	if (magic == MAGIC_SIMPLE_REPLY && c->framing != NBE_EXTENDED) {
		simple(d, c, p);
	} else if (magic == MAGIC_EXT_REPLY && c->framing == NBE_EXTENDED) {
		extended(d, c, p);
	} else if (magic != MAGIC_STRUCTURED_REPLY || c->framing != NBE_STRUCTURED) {
		conn_close(c, NBE_WHY_BAD_MAGIC);
	} else if (c->rx.need == LEN_SIMPLE_REPLY) {	/* it is longer than that */
		if (p != c->rx.buf)
			memcpy(c->rx.buf, p, LEN_SIMPLE_REPLY);
		c->rx.have = LEN_SIMPLE_REPLY;
		c->rx.need = LEN_STRUCTURED_REPLY;
	} else {
		chunk(d, c, get16(p + 4), get16(p + 6), get64(p + 8), get32(p + 16));
	}
}

static void (*const run_step[RX_STEPS])(struct nbe_dev *, struct conn *,
    const uint8_t *) = {
	[RX_HEAD] = step_head,
	[RX_OFFSET] = step_offset,
	[RX_HOLE] = step_hole,
	[RX_STATUS] = step_status,
	[RX_ERROR] = step_error,
	[RX_ERROR_OFFSET] = step_error_offset,
	[RX_EXTENT] = step_extent,
};

/* ---- the two ways in ----------------------------------------------------- */

/* Payload that has no place to go: its request was aborted, or is read again. */
static bool
skips(const struct nbe_dev *d, const struct conn *c)
{
	const struct slot *s = &d->slot[c->rx.slot];

	return c->rx.step == RX_SKIP || s->req == NULL || s->scattered;
}

static struct nbe_seg
name_payload(const struct nbe_dev *d, const struct conn *c, uint64_t len)
{
	bool skip = skips(d, c);

	return (struct nbe_seg){
		.kind = skip ? NBE_SEG_SKIP :
		    c->rx.step == RX_ZERO ? NBE_SEG_ZERO : NBE_SEG_DATA,
		.len = (uint32_t)len,
		.req = skip ? NULL : d->slot[c->rx.slot].req,
		.off = c->rx.pos,
	};
}

unsigned
nbe_rx_begin(struct nbe_dev *d, unsigned conn, struct nbe_seg *seg, unsigned nseg,
    uint64_t *need)
{
	struct conn *c = &d->conn[conn];

	NBE_ASSERT(conn < d->cfg.conns_max && nseg >= 2);
	*need = 0;
	if (!c->up || c->closing || c->rx_open)
		return 0;
	c->rx_open = c->rx_direct = true;
	if (!is_payload(c)) {
		seg[0] = (struct nbe_seg){ .kind = NBE_SEG_CORE,
		    .len = c->rx.need - c->rx.have, .base = c->rx.buf + c->rx.have };
		*need = seg[0].len;
		return 1;
	}
	seg[0] = name_payload(d, c, c->rx.left);
	if (c->rx.step == RX_ZERO) {
		if (seg[0].kind == NBE_SEG_SKIP)
			seg[0].len = 0;		/* no bytes come */
		return 1;
	}
	*need = c->rx.left;
	if (c->rx.type == REPLY_TYPE_ERROR_OFFSET)
		return 1;
	seg[1] = (struct nbe_seg){ .kind = NBE_SEG_CORE, .len = head_len(c),
	    .base = c->rx.buf };
	return 2;
}

/* Bytes that nbe_rx_begin asked for have come. */
static void
direct(struct nbe_dev *d, struct conn *c, uint64_t got)
{
	if (c->rx.step == RX_ZERO) {
		advance(d, c, c->rx.left);
	} else if (is_payload(c)) {
		uint64_t n = got > c->rx.left ? c->rx.left : got;

		got -= n;
		advance(d, c, n);
	}
	if (c->closing || is_payload(c) || got == 0)
		return;
	NBE_ASSERT(got <= c->rx.need - c->rx.have);
	c->rx.have += (uint32_t)got;
	if (c->rx.have == c->rx.need)
		run_step[c->rx.step](d, c, c->rx.buf);
}

/* Bytes of a header, from the front's buffer.  Returns how many were used. */
static size_t
take_header(struct nbe_dev *d, struct conn *c, const uint8_t *p, size_t len)
{
	struct rx *rx = &c->rx;
	size_t n = rx->need - rx->have;

	if (rx->have == 0 && len >= n) {
		run_step[rx->step](d, c, p);
		return n;
	}
	if (n > len)
		n = len;
	memcpy(rx->buf + rx->have, p, n);
	rx->have += (uint32_t)n;
	if (rx->have == rx->need)
		run_step[rx->step](d, c, rx->buf);
	return n;
}

/* Bytes of payload likewise; at most one segment. */
static size_t
take_payload(struct nbe_dev *d, struct conn *c, const uint8_t *p, size_t len,
    struct nbe_seg *seg, unsigned *n)
{
	bool zero = c->rx.step == RX_ZERO;
	uint64_t take = zero || c->rx.left < len ? c->rx.left : len;

	if (!skips(d, c)) {
		seg[*n] = name_payload(d, c, take);
		seg[(*n)++].base = zero ? NULL : (uint8_t *)(uintptr_t)p;
	}
	advance(d, c, take);
	return zero ? 0 : (size_t)take;
}

unsigned
nbe_rx_ahead(struct nbe_dev *d, unsigned conn, const uint8_t *buf, size_t len,
    struct nbe_seg *seg, unsigned nseg, size_t *used)
{
	struct conn *c = &d->conn[conn];
	unsigned n = 0;
	size_t at = 0;

	NBE_ASSERT(conn < d->cfg.conns_max && c->up && !c->rx_direct && nseg >= 1);
	c->rx_open = true;
	while (!c->closing && n < nseg && (at < len || c->rx.step == RX_ZERO)) {
		if (is_payload(c))
			at += take_payload(d, c, buf + at, len - at, seg, &n);
		else
			at += take_header(d, c, buf + at, len - at);
	}
	*used = c->closing ? len : at;
	return n;
}

static void
finish_answered(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	uint16_t i, next;

	for (i = c->answered.head; i != NO_SLOT; i = next) {
		struct slot *s = slot_at(d, i);

		next = s->next;
		if (s->received)	/* before, and it waits for its send call */
			continue;
		conn_answered(d, c, s, now);
		c->answers++;
		if (d->fence_waits != 0)
			fence_proven(d, s->moment, now);
		s->received = true;
		if (s->in_tx)		/* the send call has not returned yet */
			continue;
		list_remove(d, &c->answered, s);
		conn_forget(d, c, s);
		part_answered(d, s, now);
	}
}

bool
nbe_rx_end(struct nbe_dev *d, unsigned conn, uint64_t got, enum nbe_why why,
    nbe_time now)
{
	struct conn *c = &d->conn[conn];
	bool moved = !c->rx_direct || got != 0, ended;

	NBE_ASSERT(c->rx_open);
	if (c->rx_direct)
		direct(d, c, got);
	c->rx_open = c->rx_direct = false;
	ended = !list_empty(&c->answered) || c->aborted;
	finish_answered(d, c, now);
	if (c->answers != 0 && now != c->answered_at) {
		conn_pace(c, now);
		ended = true;
	}
	if (moved && !c->babbles)
		c->moved_at = now;
	if (why != NBE_WHY_NONE)
		conn_close(c, why);
	if (c->aborted)
		conn_orphan_aborted(d, c, now);
	return ended || c->closing;
}

uint64_t
nbe_rx_payload(const struct nbe_dev *d, unsigned conn)
{
	const struct conn *c = &d->conn[conn];

	return c->reads == 0 ? 0 : c->read_bytes / c->reads;
}

uint64_t
nbe_rx_left(const struct nbe_dev *d, unsigned conn)
{
	const struct conn *c = &d->conn[conn];

	return c->rx.step == RX_DATA || c->rx.step == RX_SKIP ? c->rx.left : 0;
}

void
nbe_moved(struct nbe_dev *d, unsigned conn, nbe_time now)
{
	NBE_ASSERT(conn < d->cfg.conns_max);
	d->conn[conn].moved_at = now;
}
