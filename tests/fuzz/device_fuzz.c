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
static uint64_t first_size, largest_size;	/* of what connections came with */

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

/* The command that rig_take took will be answered further. */
static void
put_back(struct rig *g, unsigned conn, const struct command *c)
{
	size_t head = g->exp.framing == NBE_EXTENDED ? LEN_EXT_REQUEST : LEN_REQUEST;

	g->taken[conn] -= (size_t)(g->sent[conn].at + g->taken[conn] - c->payload) +
	    head;
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
	if ((flags & REPLY_FLAG_DONE) == 0)
		put_back(g, conn, &c);
	bytes_free(&b);
}

/* Some blocks of what the command asks for, in any order: data, or a hole. */
static void
take_part(struct rig *g, unsigned conn, struct input *in)
{
	uint8_t flags = next8(in), first = next8(in), blocks = next8(in);
	struct bytes b = { 0 };
	struct command c;

	if (rig_count(g, conn) == 0)
		return;
	c = rig_take(g, conn);
	if (flags & 2)
		reply_hole(&b, g, &c, flags & REPLY_FLAG_DONE, c.off + 512u * first,
		    512u * blocks);
	else
		reply_data(&b, g, &c, flags & REPLY_FLAG_DONE, c.off + 512u * first,
		    512u * (blocks % 16));
	rig_reply(g, conn, &b);
	if ((flags & REPLY_FLAG_DONE) == 0)
		put_back(g, conn, &c);
	bytes_free(&b);
}

/* The server was started again with another disk, or another configuration. */
static void
up_as(struct rig *g, unsigned conn, uint8_t how)
{
	struct nbe_export e = g->exp;

	if (how % 8 == 0)
		e.size += 512u * how;
	else if (how % 8 == 1)
		e.size -= 512;
	else if (how % 8 == 2)
		e.flags |= NBE_FLAG_READ_ONLY;
	else if (how % 8 == 3)
		e.flags &= (uint16_t)~NBE_FLAG_SEND_FLUSH;
	else if (how % 8 == 4)
		e.block_min = 1024;
	else if (how % 8 == 5)
		e.payload_max /= 2;
	else if (how % 8 == 6)
		e.framing = NBE_SIMPLE;
	else
		e.flags &= (uint16_t)~NBE_FLAG_CAN_MULTI_CONN;
	if (nbe_conn_up(g->dev, conn, &e, g->now) == NBE_WHY_NONE) {
		g->exp.size = e.size;
		if (e.size > largest_size)
			largest_size = e.size;
	}
	g->sent[conn].len = g->taken[conn] = 0;
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
	if (nbe_conn_is_up(g->dev, conn) || rig_opens(g, conn) || rig_closing(g, conn))
		rig_down(g, conn);
}

static void
abort_some(struct rig *g, uint8_t which)
{
	struct io *o = g->ios == 0 ? NULL : g->io[which % g->ios];

	if (o != NULL && !o->done)
		nbe_abort(g->dev, &o->r, g->now);
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
on_device(struct rig *g, enum step step, uint8_t arg)
{
	if (step == STEP_WAIT)
		rig_wait(g, arg * NBE_SECOND / 2);
	else if (step == STEP_RECONNECT)
		nbe_reconnect(g->dev, g->now);
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
	else if (step == STEP_PART)
		take_part(g, conn, in);
	else if (!rig_opens(g, conn) &&
	    (!rig_closing(g, conn) || nbe_conn_is_up(g->dev, conn)))
		return;
	else if (step == STEP_UP_AS)
		up_as(g, conn, next8(in));
	else
		rig_up(g, conn);
}

static void
on_path(struct rig *g, enum path_step step, uint8_t arg, uint8_t value)
{
	unsigned path = g->cfg.paths < 2 ? 0 : arg % g->cfg.paths;

	if (step == STEP_MOVE)
		nbe_move(g->dev, path, g->now);
	else if (step == STEP_PROBED)
		nbe_probed(g->dev, path, (enum nbe_why)(value % NBE_WHYS), g->now);
	else if (step == STEP_FENCED)
		nbe_fenced(g->dev, path, value & 1, g->now);
	else if (step == STEP_COMPARED)
		nbe_compared(g->dev, g->work.compare, value & 1);
	else if (step == STEP_COMPARE && g->ios < IOS_MAX)
		rig_submit(g, NBE_READ, 512u * arg, 512, NBE_COMPARE);
}

static void
play(struct rig *g, struct input *in)
{
	while (in->at < in->end) {
		uint8_t byte = next8(in);
		enum step step = (enum step)(byte % STEPS);

		if (byte >= STEP_PATHS && byte < STEP_PATHS_END) {
			uint8_t arg = next8(in);

			on_path(g, (enum path_step)byte, arg, next8(in));
		} else if (step == STEP_SUBMIT)
			submit(g, in);
		else if (step == STEP_ABORT)
			abort_some(g, next8(in));
		else if (step == STEP_WAIT || step == STEP_SCALE ||
		    step == STEP_STOP || step == STEP_RECONNECT)
			on_device(g, step, next8(in));
		else
			on_connection(g, step, in);
		rig_work(g);
	}
}

/* What is told to people adds up. */
static void
check_report(struct rig *g)
{
	struct nbe_stats st;

	nbe_stats(g->dev, &st);
	if (st.started > st.received || st.replied > st.started ||
	    st.active > st.started || st.kept_bytes > g->cfg.keep_size)
		abort();
	for (unsigned op = 0; op < NBE_OPS; op++)
		if (nbe_op_name((enum nbe_op)op)[0] == '\0' ||
		    nbe_latency_ns(&st, (enum nbe_op)op, 500) >
		    nbe_latency_ns(&st, (enum nbe_op)op, 999))
			abort();
	for (unsigned i = 0; i < g->cfg.paths; i++) {
		struct nbe_path p;

		nbe_path(g->dev, i, &p);
		if (nbe_why_text(p.why) == NULL || p.since > g->now)
			abort();
	}
	for (unsigned i = 0; i < g->cfg.conns_max; i++)
		if (nbe_why_text(nbe_conn_why(g->dev, i)) == NULL ||
		    nbe_rx_left(g->dev, i) > UINT32_MAX ||
		    nbe_rx_payload(g->dev, i) > g->exp.payload_max)
			abort();
	if (nbe_dev_export(g->dev)->size < first_size ||
	    nbe_dev_export(g->dev)->size > largest_size)
		abort();
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
	first_size = largest_size = g->exp.size;
	rig_start(g);
	play(g, &in);
	check_report(g);
	finish(g);
	rig_end(g);
	return 0;
}
