/*
 * receive_eva.c - every piece of every reply at once, for frama-c's EVA.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The state between two steps is anything that "holds" allows: numbers that a server
 * had a hand in are any numbers.  From there one step is taken with any bytes of one
 * piece, all or some, direct or read ahead, or with any number of bytes of payload, and
 * "holds" must be true again; conn_rx_init is where it begins.  nbe_rx_ahead with more
 * bytes is the same loop, more often.
 *
 * What the parser calls is stubbed by its contract: slot_by_cookie finds the command
 * or none.
 */
#include "__fc_builtin.h"

#include RECEIVE	/* engine/receive.c itself: the steps are static there */

#define SLOTS	1u

static struct nbe_dev dev;
static struct conn conn;
static struct slot slot[SLOTS];
static struct nbe_req req;
static struct nbe_extent extent[2];
static uint8_t ahead[LEN_EXT_REPLY];

/* ---- the rest of the engine ---------------------------------------------- */

struct slot *
slot_by_cookie(struct nbe_dev *d, unsigned c, uint64_t cookie)
{
	(void)d;
	(void)c;
	(void)cookie;
	return Frama_C_interval(0, 1) ? &slot[0] : NULL;
}

void
list_remove(struct nbe_dev *d, struct list *l, struct slot *s)
{
	(void)d;
	(void)l;
	(void)s;
}

void
list_append(struct nbe_dev *d, struct list *l, struct slot *s)
{
	(void)d;
	(void)l;
	(void)s;
}

void
conn_close(struct conn *c, enum nbe_why why)
{
	c->closing = true;
	c->why = why;
}

void
conn_prove(struct nbe_dev *d, uint32_t ups)
{
	(void)d;
	(void)ups;
}

void
conn_drain(struct nbe_dev *d, struct conn *c, enum nbe_why why)
{
	(void)d;
	(void)c;
	(void)why;
}

void
part_answered(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	(void)d;
	(void)s;
	(void)now;
}

void
conn_orphan_aborted(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	(void)d;
	(void)c;
	(void)now;
}

/* ---- any state ----------------------------------------------------------- */

static uint64_t
any(void)
{
	return (uint64_t)Frama_C_unsigned_long_interval(0, UINT64_MAX);
}

/* A command that is in flight, of which any runs have come. */
static void
any_slot(struct slot *s)
{
	unsigned i;

	s->op = (uint8_t)Frama_C_unsigned_int_interval(0, NBE_OPS - 1);
	s->error = (uint8_t)Frama_C_unsigned_int_interval(0, NBE_ERRS - 1);
	s->off = any();
	s->len = any();
	s->pos = any();
	s->req = Frama_C_interval(0, 1) ? &req : NULL;
	s->scattered = Frama_C_interval(0, 1);
	s->got_status = Frama_C_interval(0, 1);
	s->runs = (uint8_t)Frama_C_unsigned_int_interval(0, RUNS_MAX);
	//@ loop unroll 8;
	for (i = 0; i < RUNS_MAX; i++)
		s->run[i] = (struct run){ (uint32_t)any(), (uint32_t)any() };
}

/* How many bytes a step is about; 0: payload. */
static uint32_t
needs(enum rx_step step, enum nbe_framing framing, bool long_head)
{
	bool ext = framing == NBE_EXTENDED;

	switch (step) {
	case RX_HEAD:
		return ext ? LEN_EXT_REPLY : long_head ? LEN_STRUCTURED_REPLY :
		    LEN_SIMPLE_REPLY;
	case RX_OFFSET:
	case RX_ERROR_OFFSET:
		return 8;
	case RX_HOLE:
		return 12;
	case RX_STATUS:
		return ext ? 8 : 4;
	case RX_ERROR:
		return 6;
	case RX_EXTENT:
		return ext ? 16 : 8;
	default:
		return 0;
	}
}

/* Of the piece that the step is about, len bytes or more are missing. */
static void
any_state(enum rx_step step, enum nbe_framing framing, uint32_t need, uint32_t len)
{
	struct rx *rx = &conn.rx;

	Frama_C_make_unknown((char *)rx->buf, sizeof(rx->buf));
	any_slot(&slot[0]);
	req.extents_count = Frama_C_unsigned_int_interval(0, 2);
	req.extents_max = Frama_C_unsigned_int_interval(1, 2);
	conn.up = true;
	conn.closing = conn.rx_open = conn.rx_direct = conn.aborted = false;
	conn.framing = framing;
	conn.alloc_context = (uint32_t)any();
	rx->step = step;
	rx->slot = step == RX_HEAD ? NO_SLOT : 0;
	rx->type = Frama_C_interval(0, 1) ? REPLY_TYPE_ERROR_OFFSET :
	    (uint16_t)Frama_C_unsigned_int_interval(0, REPLY_TYPE_ERROR_OFFSET - 1);
	rx->flags = (uint16_t)any();
	rx->pos = any();
	rx->left = any();
	rx->chunk_left = any();
	rx->need = need;
	rx->have = Frama_C_unsigned_int_interval(0, need - len);
}

/* What every step relies on. */
static void
holds(void)
{
	struct rx *rx = &conn.rx;

	//@ assert step: rx->step < RX_STEPS;
	//@ assert runs: slot[0].runs <= RUNS_MAX;
	//@ assert ended: conn.rx_open == 0 && conn.rx_direct == 0;
	//@ assert have: rx->have <= rx->need <= sizeof(rx->buf);
	//@ assert slot: rx->step == RX_HEAD || rx->slot == 0;
}

/* ---- one step ------------------------------------------------------------ */

static void
read_direct(uint64_t got)
{
	struct nbe_seg seg[2];
	uint64_t need;

	(void)nbe_rx_begin(&dev, 0, seg, 2, &need);
	Frama_C_make_unknown((char *)conn.rx.buf, sizeof(conn.rx.buf));
	nbe_rx_end(&dev, 0, got, NBE_WHY_NONE, 0);
}

static void
read_ahead(uint32_t len)
{
	struct nbe_seg seg[1];
	size_t used;

	Frama_C_make_unknown((char *)ahead, sizeof(ahead));
	nbe_rx_ahead(&dev, 0, ahead, len, seg, 1, &used);
	nbe_rx_end(&dev, 0, 0, NBE_WHY_NONE, 0);
}

/* len bytes of the piece come. */
static void
piece(enum rx_step step, enum nbe_framing framing, bool long_head)
{
	uint32_t need = needs(step, framing, long_head), len;

	//@ loop unroll 33;
	for (len = 0; len <= need; len++) {
		any_state(step, framing, need, len);
		if (Frama_C_interval(0, 1))
			read_direct(len);
		else
			read_ahead(len);
		holds();
	}
}

/*
 * Any number of bytes of payload.  Direct, as nbe_rx_begin asked: not all, or all and a
 * part of the header behind it; of "left" only that is looked at.
 */
static void
payload(enum rx_step step, enum nbe_framing framing)
{
	struct nbe_seg seg[1];
	unsigned n = 0;
	uint32_t more = Frama_C_unsigned_int_interval(0,
	    needs(RX_HEAD, framing, false));

	any_state(step, framing, 0, 0);
	if (Frama_C_interval(0, 1)) {
		(void)take_payload(&dev, &conn, ahead, (size_t)any(), seg, &n);
	} else if (step == RX_ZERO) {
		conn.rx.left = any();
		direct(&dev, &conn, 0);
	} else if (Frama_C_interval(0, 1)) {
		conn.rx.left = UINT64_MAX;
		direct(&dev, &conn, (uint64_t)Frama_C_unsigned_long_interval(0,
		    UINT64_MAX - 1));
	} else {
		conn.rx.left = 4096;
		direct(&dev, &conn, 4096 +
		    (conn.rx.type == REPLY_TYPE_ERROR_OFFSET ? 0 : more));
	}
	holds();
}

/* STEP, FRAMING and LONG_HEAD (of RX_HEAD) come from tools/prove: one run of EVA for
 * each keeps apart what it would mix. */
int
main(void)
{
	dev.cfg.conns_max = 1;
	dev.conn = &conn;
	dev.slot = slot;
	dev.slots = SLOTS;
	conn.answered.head = conn.answered.tail = NO_SLOT;
	req.extents = extent;
	if (needs(STEP, FRAMING, LONG_HEAD) == 0)
		payload(STEP, FRAMING);
	else
		piece(STEP, FRAMING, LONG_HEAD);
	return 0;
}
