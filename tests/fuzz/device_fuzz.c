/*
 * device_fuzz.c - libFuzzer: servers that send anything, at any time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The input is a script (device_script.h): what is asked of the device, how the
 * sockets behave, and the server's bytes.  The harness stops at the first byte
 * that goes into a finished request or beyond one, at a receive that does not
 * end, and at a broken invariant.  At last all requests must come to an end.
 */
#include "device_script.h"

#define IOS_MAX	128u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct input {
	const uint8_t *at, *end;
};

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

static bool sending[RIG_CONNS];		/* a begin is open, all of it is taken */
static uint64_t sending_bytes[RIG_CONNS];

static void
end_send(struct rig *g, unsigned conn)
{
	if (!sending[conn])
		return;
	sending[conn] = false;
	nbe_tx_end(g->dev, conn, sending_bytes[conn], NBE_WHY_NONE, g->now);
	rig_work(g);
}

static void
open_send(struct rig *g, unsigned conn)
{
	size_t before = g->sent[conn].len;
	struct nbe_seg seg[8];
	unsigned n;

	if (sending[conn] || (n = nbe_tx_begin(g->dev, conn, seg, 8, g->now)) == 0)
		return;
	rig_collect(g, conn, seg, n, UINT64_MAX);
	sending_bytes[conn] = g->sent[conn].len - before;
	sending[conn] = true;
}

static void
send_up_to(struct rig *g, unsigned conn, uint16_t limit)
{
	end_send(g, conn);
	if (limit != 0)
		rig_send_some(g, conn, 4, limit);
	else
		rig_send(g, conn);
}

static void
take_bytes(struct rig *g, unsigned conn, struct input *in)
{
	static const struct way ways[] = { { SIZE_MAX, 0 }, { SIZE_MAX, RIG_SEGS },
		{ 5, 0 }, { 7, 1 } };
	const struct way *way = &ways[next8(in) % 4];
	size_t len = next16(in), left = (size_t)(in->end - in->at);

	if (len > left)
		len = left;
	rig_receive(g, conn, in->at, len, *way);
	in->at += len;
}

/* The right cookie, which random bytes would hardly have. */
static void
take_chunk(struct rig *g, unsigned conn, struct input *in)
{
	uint16_t flags = next8(in), type = next16(in), len = next16(in);
	struct bytes b = { 0 };
	struct command c;

	if (type & 0x100)
		type |= 0x8000;
	if (rig_count(g, conn) == 0)
		return;
	c = rig_take(g, conn);
	reply_chunk(&b, g, &c, flags, type & 0x80ff, len);
	rig_reply(g, conn, &b);
	if ((flags & REPLY_FLAG_DONE) == 0)	/* more of it may come */
		g->taken[conn] -= (size_t)(g->sent[conn].at + g->taken[conn] -
		    c.payload) + (g->exp.framing == NBE_EXTENDED ?
		    LEN_EXT_REQUEST : LEN_REQUEST);
	bytes_free(&b);
}

static void
answer(struct rig *g, unsigned conn, uint8_t error)
{
	struct command c;

	if (rig_count(g, conn) == 0)
		return;
	c = rig_take(g, conn);
	if (c.type != CMD_DISC)
		rig_answer(g, conn, &c, error);
}

static void
go_down(struct rig *g, unsigned conn)
{
	end_send(g, conn);
	if (nbe_conn_is_up(g->dev, conn) || rig_opens(g, conn))
		rig_down(g, conn);
}

static struct io *
some_io(struct rig *g, uint8_t which)
{
	struct io *o = g->ios == 0 ? NULL : g->io[which % g->ios];

	return o == NULL || o->done ? NULL : o;
}

static void
hold(struct io *o)
{
	if (o != NULL && o->lent++ < 200)
		nbe_hold(&o->r);
}

static void
release(struct rig *g, struct io *o)
{
	if (o == NULL || o->lent == 0)
		return;
	o->lent--;
	nbe_release(g->dev, &o->r, g->now);
	rig_work(g);
}

static void
submit(struct rig *g, struct input *in)
{
	uint8_t op = next8(in), flags = next8(in), block = next8(in);
	uint8_t blocks = next8(in);

	if (g->ios < IOS_MAX)
		script_submit(g, op, flags, block, blocks);
}

static void
on_request(struct rig *g, enum step step, struct io *o)
{
	if (o == NULL)
		return;
	if (step == STEP_ABORT)
		nbe_abort(g->dev, &o->r, g->now);
	else if (step == STEP_HOLD)
		hold(o);
	else
		release(g, o);
}

static void
on_device(struct rig *g, enum step step, uint8_t arg)
{
	if (step == STEP_WAIT)
		rig_wait(g, arg * NBE_SECOND / 2);
	else if (step == STEP_SCALE)
		nbe_scale(g->dev, 1 + arg % g->cfg.conns_max, g->now);
	else
		nbe_stop(g->dev, arg & 1, g->now);
}

static void
on_connection(struct rig *g, enum step step, struct input *in)
{
	unsigned conn = next8(in) % g->cfg.conns_max;

	if (step == STEP_SEND)
		send_up_to(g, conn, next16(in));
	else if (step == STEP_BYTES)
		take_bytes(g, conn, in);
	else if (step == STEP_CHUNK)
		take_chunk(g, conn, in);
	else if (step == STEP_ANSWER)
		answer(g, conn, next8(in));
	else if (step == STEP_OPEN_SEND)
		open_send(g, conn);
	else if (step == STEP_DOWN)
		go_down(g, conn);
	else if (rig_opens(g, conn))
		rig_up(g, conn);
}

static void
play(struct rig *g, struct input *in)
{
	while (in->at < in->end) {
		enum step step = (enum step)(next8(in) % STEPS);

		if (step == STEP_SUBMIT)
			submit(g, in);
		else if (step == STEP_ABORT || step == STEP_HOLD ||
		    step == STEP_RELEASE)
			on_request(g, step, some_io(g, next8(in)));
		else if (step == STEP_WAIT || step == STEP_SCALE || step == STEP_STOP)
			on_device(g, step, next8(in));
		else
			on_connection(g, step, in);
		rig_work(g);
	}
}

/* Nothing may be left over. */
static void
finish(struct rig *g)
{
	nbe_stop(g->dev, false, g->now);
	rig_work(g);
	for (unsigned i = 0; i < g->cfg.conns_max; i++)
		go_down(g, i);
	for (unsigned i = 0; i < g->ios; i++)
		while (!g->io[i]->done && g->io[i]->lent != 0)
			release(g, g->io[i]);
	for (unsigned i = 0; i < g->ios; i++)
		if (!g->io[i]->done)
			abort();
	if (!g->work.stopped)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data + CONFIG_LEN, data + size };
	struct rig *g;

	if (size < CONFIG_LEN)
		return 0;
	memset(sending, 0, sizeof sending);
	g = script_rig(data);
	rig_start(g);
	play(g, &in);
	finish(g);
	rig_end(g);
	return 0;
}
