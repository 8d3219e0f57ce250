/*
 * transmit.c - commands into bytes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One send carries a batch: as many commands as the connection may have, with
 * their headers back to back, so that commands without payload make one segment.
 * A batch goes out to its last byte before the next is planned.
 */
#include "device.h"

static uint32_t
header_len(const struct conn *c)
{
	return c->framing == NBE_EXTENDED ? LEN_EXT_REQUEST : LEN_REQUEST;
}

static uint8_t *
header_at(const struct conn *c, uint32_t i)
{
	return c->headers + (size_t)i * header_len(c);
}

/* proto.md, "Request message" and "Extended request". */
void
command_encode(uint8_t *p, enum nbe_framing framing, uint16_t flags, uint16_t command,
    uint64_t cookie, uint64_t off, uint64_t len)
{
	bool ext = framing == NBE_EXTENDED;

	if (ext && command == CMD_WRITE)
		flags |= CMD_FLAG_PAYLOAD_LEN;
	p = put32(p, ext ? MAGIC_EXT_REQUEST : MAGIC_REQUEST);
	p = put16(p, flags);
	p = put16(p, command);
	p = put64(p, cookie);
	p = put64(p, off);
	if (ext)
		put64(p, len);
	else
		put32(p, (uint32_t)len);
}

unsigned
nbe_disc(uint8_t buf[32], enum nbe_framing framing)
{
	command_encode(buf, framing, 0, CMD_DISC, 0, 0, 0);
	return framing == NBE_EXTENDED ? LEN_EXT_REQUEST : LEN_REQUEST;
}

/* Give the command to the connection. */
static void
assign(struct nbe_dev *d, struct conn *c, struct slot *s, nbe_time now)
{
	s->conn = (uint8_t)(c - d->conn);
	s->gen++;
	s->moment = d->moment;
	s->in_tx = true;
	s->sent = s->answered = s->received = false;
	s->scattered = s->got_status = false;
	s->error = NBE_OK;
	s->runs = 0;
	s->sent_at = now;
	list_append(d, &c->sent, s);
	if (c->in_flight++ == 0)
		c->moved_at = c->answered_at = now;
	d->in_flight++;
	if (has_payload(s->op))
		c->owed += s->len;
	if (s->op == NBE_READ) {
		c->reads++;
		c->read_bytes += s->len;
	}
	command_encode(header_at(c, c->batch_count), c->framing, s->flags,
	    nbe_op_info[s->op].command, (uint64_t)s->gen << 32 | slot_index(d, s),
	    s->off, s->len);
	c->batch[c->batch_count++] = slot_index(d, s);
	d->st.parts++;
}

static void
plan(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	uint32_t share = schedule_share(d);
	uint64_t bytes = 0;
	struct slot *s;

	c->batch_count = c->batch_at = 0;
	c->batch_pos = 0;
	while (may_take(d, c, share) && bytes < BATCH_BYTES &&
	    (s = schedule_next(d, now)) != NULL) {
		assign(d, c, s, now);
		if (s->op == NBE_WRITE)
			bytes += s->len;
	}
	if (wants_disc(c)) {
		nbe_disc(header_at(c, 0), c->framing);
		c->batch[c->batch_count++] = NO_SLOT;
		c->disc_planned = true;
	}
}

static struct slot *
batch_slot(const struct nbe_dev *d, const struct conn *c, uint32_t i)
{
	return c->batch[i] == NO_SLOT ? NULL : &d->slot[c->batch[i]];
}

static uint64_t
payload_len(const struct slot *s)
{
	return s != NULL && s->op == NBE_WRITE ? s->len : 0;
}

/* Header bytes from pos on; joins the segment before it where it can. */
static unsigned
add_header(uint8_t *base, uint32_t len, struct nbe_seg *seg, unsigned n)
{
	struct nbe_seg *last = &seg[n - 1];

	if (n != 0 && last->kind == NBE_SEG_CORE && last->base + last->len == base) {
		last->len += len;
		return n;
	}
	seg[n] = (struct nbe_seg){ .kind = NBE_SEG_CORE, .len = len, .base = base };
	return n + 1;
}

static void
add_payload(const struct nbe_dev *d, const struct slot *s, uint64_t pos,
    struct nbe_seg *seg)
{
	bool kept = s->req == &d->replay;

	*seg = (struct nbe_seg){
		.kind = kept ? NBE_SEG_KEPT : NBE_SEG_DATA,
		.len = (uint32_t)(s->len - pos),
		.req = kept ? NULL : s->req,
		.off = s->pos + pos,
	};
}

static unsigned
name_batch(struct nbe_dev *d, struct conn *c, struct nbe_seg *seg, unsigned nseg)
{
	uint32_t hlen = header_len(c), i;
	uint64_t pos = c->batch_pos;
	unsigned n = 0;

	for (i = c->batch_at; i < c->batch_count && n + 2 <= nseg; i++, pos = 0) {
		struct slot *s = batch_slot(d, c, i);

		if (pos < hlen) {
			n = add_header(header_at(c, i) + pos,
			    (uint32_t)(hlen - pos), seg, n);
			pos = hlen;
		}
		if (pos - hlen < payload_len(s))
			add_payload(d, s, pos - hlen, &seg[n++]);
		if (s != NULL)
			s->sent = true;
	}
	return n;
}

unsigned
nbe_tx_begin(struct nbe_dev *d, unsigned conn, struct nbe_seg *seg, unsigned nseg,
    nbe_time now)
{
	struct conn *c = &d->conn[conn];
	unsigned n;

	NBE_ASSERT(conn < d->cfg.conns_max && nseg >= 2);
	if (!c->up || c->closing || c->tx_open)
		return 0;
	if (c->batch_at == c->batch_count)
		plan(d, c, now);
	n = name_batch(d, c, seg, nseg);
	c->tx_open = n != 0;
	return n;
}

/* The last byte of a command is out. */
static void
command_out(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	struct slot *s = batch_slot(d, c, c->batch_at);

	c->batch_at++;
	c->batch_pos = 0;
	if (s == NULL) {			/* nothing may follow DISC */
		conn_close(c, c->why);
		return;
	}
	s->in_tx = false;
	if (s->received) {		/* the reply overtook the send call */
		list_remove(d, &c->answered, s);
		conn_forget(d, c, s);
		part_answered(d, s, now);
	}
}

void
nbe_tx_end(struct nbe_dev *d, unsigned conn, uint64_t sent, enum nbe_why why,
    nbe_time now)
{
	struct conn *c = &d->conn[conn];

	NBE_ASSERT(c->tx_open);
	c->tx_open = false;
	while (sent != 0) {
		struct slot *s = batch_slot(d, c, c->batch_at);
		uint64_t left = header_len(c) + payload_len(s) - c->batch_pos;

		NBE_ASSERT(c->batch_at < c->batch_count);
		if (sent < left) {
			c->batch_pos += sent;
			break;
		}
		sent -= left;
		command_out(d, c, now);
	}
	if (why != NBE_WHY_NONE)
		conn_close(c, why);
	if (c->aborted)
		conn_orphan_aborted(d, c, now);
}
