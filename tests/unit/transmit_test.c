/*
 * transmit_test.c - requests into commands: what is sent, and what never is.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * "point" in a name is the number in the protocol checklist of docs/protocol.md.
 */
#include "harness.h"
#include "test.h"

#define FRAMINGS	3
#define GIGABYTE	(UINT64_C(1) << 30)

/* ---- exact bytes ------------------------------------------------------------- */

/* Of the first command: generation 1, slot 0. */
static const uint8_t simple_write[] = {
	0x25, 0x60, 0x95, 0x13,  0x00, 0x01,  0x00, 0x01,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00,
	0x00, 0x00, 0x04, 0x00,
};
static const uint8_t extended_write[] = {
	0x21, 0xe4, 0x1c, 0x71,  0x00, 0x21,  0x00, 0x01,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
};

static void
check_write_bytes(enum nbe_framing framing, const uint8_t *want, size_t len)
{
	struct rig *g = rig_new(framing);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0x10200, 0x400, NBE_FUA);
	rig_send(g, 0);
	CHECK(g->sent[0].len == len + 0x400);
	CHECK(memcmp(g->sent[0].at, want, len) == 0);
	CHECK(memcmp(g->sent[0].at + len, o->buf, 0x400) == 0);
	rig_end(g);
}

static void
test_point_77_91_exact_bytes(void)
{
	check_write_bytes(NBE_SIMPLE, simple_write, sizeof simple_write);
	check_write_bytes(NBE_STRUCTURED, simple_write, sizeof simple_write);
	check_write_bytes(NBE_EXTENDED, extended_write, sizeof extended_write);
}

static const struct {
	enum nbe_op op;
	uint8_t flags;
	uint16_t type, wire_flags;
} forms[] = {
	{ NBE_READ, 0, CMD_READ, 0 },
	{ NBE_READ, NBE_FUA | NBE_NO_HOLE | NBE_FAST_ZERO | NBE_BARRIER, CMD_READ, 0 },
	{ NBE_WRITE, 0, CMD_WRITE, 0 },
	{ NBE_WRITE, NBE_FUA, CMD_WRITE, CMD_FLAG_FUA },
	{ NBE_WRITE, NBE_NO_HOLE | NBE_FAST_ZERO | NBE_BARRIER, CMD_WRITE, 0 },
	{ NBE_TRIM, 0, CMD_TRIM, 0 },
	{ NBE_TRIM, NBE_FUA, CMD_TRIM, CMD_FLAG_FUA },
	{ NBE_TRIM, NBE_NO_HOLE | NBE_FAST_ZERO, CMD_TRIM, 0 },
	{ NBE_ZERO, 0, CMD_WRITE_ZEROES, 0 },
	{ NBE_ZERO, NBE_FUA, CMD_WRITE_ZEROES, CMD_FLAG_FUA },
	{ NBE_ZERO, NBE_NO_HOLE, CMD_WRITE_ZEROES, CMD_FLAG_NO_HOLE },
	{ NBE_ZERO, NBE_FAST_ZERO, CMD_WRITE_ZEROES, CMD_FLAG_FAST_ZERO },
	{ NBE_ZERO, NBE_FUA | NBE_NO_HOLE | NBE_FAST_ZERO, CMD_WRITE_ZEROES,
	    CMD_FLAG_FUA | CMD_FLAG_NO_HOLE | CMD_FLAG_FAST_ZERO },
	{ NBE_CACHE, 0, CMD_CACHE, 0 },
	{ NBE_CACHE, NBE_FUA, CMD_CACHE, 0 },
	{ NBE_EXTENTS, 0, CMD_BLOCK_STATUS, 0 },
};

static void
check_form(enum nbe_framing framing, unsigned i)
{
	struct rig *g = rig_new(framing);
	bool ext = framing == NBE_EXTENDED;
	uint16_t flags = forms[i].wire_flags;
	struct command c;

	if (ext && forms[i].op == NBE_WRITE)
		flags |= CMD_FLAG_PAYLOAD_LEN;
	g->exp.has_alloc = true;
	rig_start(g);
	rig_submit(g, forms[i].op, 8192, 4096, forms[i].flags);
	c = rig_command(g, 0);
	CHECK(c.magic == (ext ? MAGIC_EXT_REQUEST : MAGIC_REQUEST));
	CHECK(c.type == forms[i].type && c.flags == flags);
	CHECK(c.off == 8192 && c.len == 4096);
	CHECK(rig_count(g, 0) == 0);
	rig_end(g);
}

/* No bit that the command does not have; DF (point 83) never. */
static void
test_point_49_83_91_every_op_and_flag(void)
{
	for (unsigned f = 0; f < FRAMINGS; f++)
		for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++)
			check_form((enum nbe_framing)f, i);
}

static void
test_point_54_flush_has_no_range(void)
{
	for (unsigned f = 0; f < FRAMINGS; f++) {
		struct rig *g = rig_new((enum nbe_framing)f);
		struct command c;
		struct io *o;

		rig_start(g);
		o = rig_submit(g, NBE_FLUSH, 4096, 512, NBE_FUA);
		c = rig_command(g, 0);
		CHECK(c.type == CMD_FLUSH && c.flags == 0);
		CHECK(c.off == 0 && c.len == 0);
		rig_answer(g, 0, &c, 0);
		CHECK(io_ended(o, NBE_OK));
		rig_end(g);
	}
}

/* ---- what is refused here, and never sent -------------------------------------- */

static const struct {
	enum nbe_op op;
	uint64_t off, len;
	enum nbe_err error;
} ranges[] = {
	{ NBE_READ, 1, 512, NBE_EINVAL },
	{ NBE_READ, 0, 511, NBE_EINVAL },
	{ NBE_WRITE, 256, 512, NBE_EINVAL },
	{ NBE_TRIM, 512, 256, NBE_EINVAL },
	{ NBE_READ, MEGABYTE, 512, NBE_EINVAL },
	{ NBE_READ, MEGABYTE - 512, 1024, NBE_EINVAL },
	{ NBE_WRITE, MEGABYTE, 512, NBE_ENOSPC },
	{ NBE_WRITE, MEGABYTE - 512, 1024, NBE_ENOSPC },
	{ NBE_ZERO, MEGABYTE - 512, 1024, NBE_EINVAL },
	{ NBE_TRIM, UINT64_MAX - 511, 512, NBE_EINVAL },
	{ NBE_TRIM, 512, UINT64_MAX - 511, NBE_EINVAL },
	{ NBE_CACHE, MEGABYTE, 512, NBE_EINVAL },
	{ NBE_EXTENTS, MEGABYTE, 512, NBE_EINVAL },
};

static void
test_point_41_ranges(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		struct io *o = rig_submit(g, ranges[i].op, ranges[i].off,
		    ranges[i].len, 0);

		CHECK(io_ended(o, ranges[i].error));
	}
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_submit(g, NBE_READ, MEGABYTE - 512, 512, 0);
	CHECK(rig_command(g, 0).off == MEGABYTE - 512);
	rig_end(g);
}

static void
test_point_47_zero_length_is_never_sent(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	for (unsigned op = 0; op < NBE_OPS; op++)
		if (op != NBE_FLUSH)
			CHECK(io_ended(rig_submit(g, (enum nbe_op)op, 512, 0, 0),
			    NBE_OK));
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_end(g);
}

static const struct {
	enum nbe_op op;
	uint16_t flag;
} needs[] = {
	{ NBE_FLUSH, NBE_FLAG_SEND_FLUSH }, { NBE_TRIM, NBE_FLAG_SEND_TRIM },
	{ NBE_ZERO, NBE_FLAG_SEND_WRITE_ZEROES }, { NBE_CACHE, NBE_FLAG_SEND_CACHE },
	{ NBE_EXTENTS, 0 },
};

static void
test_point_49_57_not_advertised(void)
{
	for (unsigned i = 0; i < sizeof needs / sizeof needs[0]; i++) {
		struct rig *g = rig_new(NBE_STRUCTURED);

		g->exp.flags &= (uint16_t)~needs[i].flag;
		g->exp.has_alloc = false;
		rig_start(g);
		CHECK(io_ended(rig_submit(g, needs[i].op, 0, 512, 0), NBE_ENOTSUP));
		rig_send(g, 0);
		CHECK(g->sent[0].len == 0);
		rig_end(g);
	}
}

/* No FUA: a flush follows.  No fast zero: an ordinary one. */
static void
test_point_49_flags_not_advertised(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->exp.flags &= (uint16_t)~(NBE_FLAG_SEND_FUA | NBE_FLAG_SEND_FAST_ZERO);
	rig_start(g);
	rig_submit(g, NBE_ZERO, 0, 512, NBE_FUA | NBE_FAST_ZERO | NBE_NO_HOLE);
	CHECK(rig_command(g, 0).flags == CMD_FLAG_NO_HOLE);
	rig_submit(g, NBE_WRITE, 0, 512, NBE_FUA);
	CHECK(rig_command(g, 0).flags == 0);
	rig_end(g);
}

static void
test_point_50_unknown_flags_change_nothing(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	g->exp.flags |= 0xe000 | NBE_FLAG_SEND_RESIZE | NBE_FLAG_BLOCK_STATUS_PAYLOAD;
	rig_start(g);
	o = rig_submit(g, NBE_EXTENTS, 0, 512, 0);
	c = rig_command(g, 0);
	CHECK(c.flags == 0 && c.type == CMD_BLOCK_STATUS);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

static void
test_point_51_read_only(void)
{
	static const enum nbe_op changes[] = { NBE_WRITE, NBE_TRIM, NBE_ZERO };
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->exp.flags |= NBE_FLAG_READ_ONLY;
	rig_start(g);
	for (unsigned i = 0; i < 3; i++)
		CHECK(io_ended(rig_submit(g, changes[i], 0, 512, 0), NBE_EPERM));
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	CHECK(rig_command(g, 0).type == CMD_READ);
	rig_end(g);
}

/* ---- lengths --------------------------------------------------------------------- */

/* Take the parts of one request: in order, none above max, no gap. */
static unsigned
check_parts(struct rig *g, uint64_t off, uint64_t len, uint64_t max)
{
	unsigned n = 0;

	rig_send(g, 0);
	for (; rig_count(g, 0) != 0; n++) {
		struct command c = rig_take(g, 0);

		CHECK(c.off == off && c.len != 0 && c.len <= max && c.len <= len);
		CHECK(c.len % g->exp.block_min == 0);
		for (uint64_t i = 0; c.type == CMD_WRITE && i < c.len; i++)
			CHECK(c.payload[i] == rig_data(off + i));
		off += c.len;
		len -= c.len;
		rig_answer(g, 0, &c, 0);
	}
	CHECK(len == 0);
	return n;
}

static void
check_payload_split(enum nbe_framing framing, enum nbe_op op)
{
	struct rig *g = rig_new(framing);
	struct io *o;

	g->exp.payload_max = 8192;
	rig_start(g);
	o = rig_submit(g, op, 512, 20480, 0);
	CHECK(check_parts(g, 512, 20480, 8192) == 3);
	CHECK(io_ended(o, NBE_OK) && rig_has_data(o));
	rig_end(g);
}

static void
test_point_42_split_by_payload_maximum(void)
{
	for (unsigned f = 0; f < FRAMINGS; f++) {
		check_payload_split((enum nbe_framing)f, NBE_READ);
		check_payload_split((enum nbe_framing)f, NBE_WRITE);
	}
}

static void
test_point_39_42_part_max_and_default(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->exp.size = 128 * MEGABYTE;
	g->exp.payload_max = UINT32_MAX - 511;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 65 * MEGABYTE, 0);
	CHECK(rig_command(g, 0).len == NBE_PAYLOAD_DEFAULT);
	rig_end(g);
	g = rig_new(NBE_SIMPLE);
	g->cfg.part_max = 5000;		/* down to whole blocks */
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 16384, 0);
	CHECK(check_parts(g, 0, 16384, 4608) == 4);
	rig_end(g);
}

static void
test_point_44_effects_exceed_the_payload_maximum(void)
{
	static const enum nbe_op ops[] = { NBE_TRIM, NBE_ZERO, NBE_CACHE, NBE_EXTENTS };

	for (unsigned i = 0; i < 4; i++) {
		struct rig *g = rig_new(NBE_STRUCTURED);

		rig_start(g);
		rig_submit(g, ops[i], 0, MEGABYTE, 0);
		CHECK(rig_command(g, 0).len == MEGABYTE);
		CHECK(rig_count(g, 0) == 0);
		rig_end(g);
	}
}

/* A server that takes at most limit bytes; it says so with the given error. */
static unsigned
serve_limited(struct rig *g, uint64_t limit, uint32_t error)
{
	unsigned refused = 0;

	for (rig_send(g, 0); rig_count(g, 0) != 0; rig_send(g, 0)) {
		struct command c = rig_take(g, 0);

		refused += c.len > limit;
		rig_answer(g, 0, &c, c.len > limit ? error : 0);
	}
	return refused;
}

static void
test_point_44_too_long_goes_in_smaller_ones(void)
{
	static const uint32_t errors[] = { WIRE_EINVAL, WIRE_EOVERFLOW };

	for (unsigned i = 0; i < 2; i++) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct io *o, *next;

		rig_start(g);
		o = rig_submit(g, NBE_TRIM, 0, MEGABYTE, 0);
		CHECK(serve_limited(g, 200000, errors[i]) >= 3);
		CHECK(io_ended(o, NBE_OK));
		next = rig_submit(g, NBE_ZERO, 0, MEGABYTE, 0);
		CHECK(serve_limited(g, 200000, errors[i]) == 0);	/* it learnt */
		CHECK(io_ended(next, NBE_OK));
		rig_end(g);
	}
}

/* Not beyond the payload maximum, where the server would be wrong. */
static void
test_point_44_refused_for_good(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_TRIM, 0, MEGABYTE, 0);
	CHECK(serve_limited(g, 0, WIRE_EIO) == 1 && io_ended(o, NBE_EIO));
	o = rig_submit(g, NBE_TRIM, 0, MEGABYTE, 0);
	serve_limited(g, 0, WIRE_EINVAL);
	CHECK(io_ended(o, NBE_EINVAL));
	rig_end(g);
}

/* Each trim is answered at once, so the next may be twice as long. */
static void
trust_in_effects(struct rig *g)
{
	for (uint64_t len = 64 * MEGABYTE; len < g->exp.size; len *= 2) {
		rig_submit(g, NBE_TRIM, 0, len, 0);
		CHECK(check_parts(g, 0, len, len) <= 3);
	}
}

static void
test_effects_begin_small(void)
{
	struct rig *g = rig_new(NBE_EXTENDED);

	g->exp.size = 16 * GIGABYTE;
	rig_start(g);
	rig_submit(g, NBE_ZERO, 0, GIGABYTE, 0);
	CHECK(check_parts(g, 0, GIGABYTE, 64 * MEGABYTE) == 16);
	rig_submit(g, NBE_ZERO, 0, GIGABYTE, 0);
	CHECK(check_parts(g, 0, GIGABYTE, 128 * MEGABYTE) == 8);
	rig_end(g);
}

/* An answer that takes more than half of the time-out: half as much next time. */
static void
test_effects_shrink_where_they_take_long(void)
{
	struct rig *g = rig_new(NBE_EXTENDED);
	struct command c;

	g->exp.size = 16 * GIGABYTE;
	g->cfg.timeout = 30 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_TRIM, 0, 64 * MEGABYTE, 0);
	c = rig_command(g, 0);
	rig_wait(g, 16 * NBE_SECOND);
	rig_answer(g, 0, &c, 0);
	rig_submit(g, NBE_TRIM, 0, 64 * MEGABYTE, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 2);
	c = rig_take(g, 0);
	rig_wait(g, 16 * NBE_SECOND);
	rig_answer(g, 0, &c, 0);
	c = rig_take(g, 0);	/* behind the first for 16 s, then 1 s of its own */
	rig_wait(g, NBE_SECOND);
	rig_answer(g, 0, &c, 0);
	rig_submit(g, NBE_TRIM, 0, 64 * MEGABYTE, 0);
	CHECK(check_parts(g, 0, 64 * MEGABYTE, 32 * MEGABYTE) == 2);
	rig_end(g);
}

/* All the server's bytes in one receive. */
static void
answer_at_once(struct rig *g)
{
	struct command c = rig_take(g, 0);
	struct bytes b = { 0 };
	struct nbe_seg seg;
	size_t used;

	reply_ok(&b, g, &c);
	CHECK(nbe_rx_ahead(g->dev, 0, b.at, b.len, &seg, 1, &used) == 0);
	CHECK(used == b.len && nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now));
	bytes_free(&b);
}

/* Its time ends with its answer, not when its send call returns. */
static void
test_effect_answered_before_its_send_returns(void)
{
	struct rig *g = rig_new(NBE_EXTENDED);
	struct nbe_seg seg[4];
	unsigned n;

	g->exp.size = 16 * GIGABYTE;
	g->cfg.timeout = 30 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_TRIM, 0, 64 * MEGABYTE, 0);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	n = nbe_tx_begin(g->dev, 0, seg, 4, g->now);
	rig_collect(g, 0, seg, n, UINT64_MAX);
	answer_at_once(g);
	g->now += 16 * NBE_SECOND;
	answer_at_once(g);
	nbe_tx_end(g->dev, 0, g->sent[0].len, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(g->io[0], NBE_OK) && io_ended(g->io[1], NBE_OK));
	rig_submit(g, NBE_TRIM, 0, 64 * MEGABYTE, 0);
	CHECK(check_parts(g, 0, 64 * MEGABYTE, 64 * MEGABYTE) == 1);
	rig_end(g);
}

/* A long one that timed out goes again in smaller pieces. */
static void
test_effect_that_timed_out_goes_in_pieces(void)
{
	static const enum nbe_op ops[] = { NBE_TRIM, NBE_ZERO, NBE_CACHE };

	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = rig_new(NBE_SIMPLE);
		struct io *o;

		g->exp.size = 16 * GIGABYTE;
		g->cfg.timeout = 30 * NBE_SECOND;
		rig_start(g);
		o = rig_submit(g, ops[i], 0, 64 * MEGABYTE, 0);
		rig_send(g, 0);
		rig_wait(g, 30 * NBE_SECOND);
		CHECK(rig_closing(g, 0));
		rig_close(g, 0);
		rig_wait(g, 2 * NBE_SECOND);
		rig_up(g, 0);
		CHECK(check_parts(g, 0, 64 * MEGABYTE, 32 * MEGABYTE) == 2);
		CHECK(io_ended(o, NBE_OK));
		rig_end(g);
	}
}

static void
test_point_45_more_than_32_bits(void)
{
	static const enum nbe_op ops[] = { NBE_TRIM, NBE_ZERO, NBE_CACHE };

	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = rig_new(NBE_SIMPLE);
		struct io *o;

		g->exp.size = 16 * GIGABYTE;
		rig_start(g);
		trust_in_effects(g);
		o = rig_submit(g, ops[i], 4096, 9 * GIGABYTE, 0);
		CHECK(check_parts(g, 4096, 9 * GIGABYTE, UINT32_MAX - 4095) == 3);
		CHECK(io_ended(o, NBE_OK));
		rig_end(g);
	}
}

static void
test_point_92_64_bit_lengths(void)
{
	static const enum nbe_op ops[] = { NBE_TRIM, NBE_ZERO, NBE_CACHE, NBE_EXTENTS };

	for (unsigned i = 0; i < 4; i++) {
		struct rig *g = rig_new(NBE_EXTENDED);
		struct command c;
		struct io *o;

		g->exp.size = UINT64_C(1) << 50;
		rig_start(g);
		trust_in_effects(g);
		o = rig_submit(g, ops[i], 0, g->exp.size, 0);
		c = rig_command(g, 0);
		CHECK(c.off == 0 && c.len == g->exp.size);
		rig_answer(g, 0, &c, 0);
		CHECK(io_ended(o, NBE_OK));
		rig_end(g);
	}
}

/* The caller asks again from where the answer ends, so one command is enough. */
static void
test_point_92_extents_are_asked_for_once(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	g->exp.size = UINT64_C(1) << 34;
	rig_start(g);
	rig_submit(g, NBE_EXTENTS, 0, g->exp.size, 0);
	c = rig_command(g, 0);
	CHECK(c.off == 0 && c.len < UINT64_C(1) << 32 && rig_count(g, 0) == 0);
	rig_end(g);
}

static void
test_point_46_payload_maximum_above_the_size(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->exp.size = 4096;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 4096, 0);
	CHECK(rig_command(g, 0).len == 4096);
	rig_end(g);
}

/* ---- FUA, fast zero ------------------------------------------------------ */

static void
test_point_56_fua_by_flush(void)
{
	static const enum nbe_op ops[] = { NBE_WRITE, NBE_TRIM, NBE_ZERO };

	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct command c;
		struct io *o;

		g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FUA;
		g->exp.payload_max = 4096;
		rig_start(g);
		o = rig_submit(g, ops[i], 0, 8192, NBE_FUA);
		rig_send(g, 0);
		while (rig_count(g, 0) != 0) {
			c = rig_take(g, 0);
			CHECK(c.type != CMD_FLUSH);
			rig_answer(g, 0, &c, 0);
			CHECK(!o->done);
		}
		c = rig_command(g, 0);
		CHECK(c.type == CMD_FLUSH && !o->done);
		rig_answer(g, 0, &c, i == 2 ? WIRE_EIO : 0);
		CHECK(io_ended(o, i == 2 ? NBE_EIO : NBE_OK));
		rig_end(g);
	}
}

/* Nothing can be promised, and nothing is sent that was not offered. */
static void
test_point_57_fua_without_flush(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	g->exp.flags &= (uint16_t)~(NBE_FLAG_SEND_FUA | NBE_FLAG_SEND_FLUSH);
	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, NBE_FUA);
	c = rig_command(g, 0);
	CHECK(c.flags == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

static void
test_point_66_fast_zero_falls_back(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_ZERO, 0, 4096, NBE_FAST_ZERO | NBE_NO_HOLE);
	c = rig_command(g, 0);
	CHECK(c.flags == (CMD_FLAG_FAST_ZERO | CMD_FLAG_NO_HOLE));
	rig_answer(g, 0, &c, WIRE_ENOTSUP);
	CHECK(!o->done);
	c = rig_command(g, 0);
	CHECK(c.flags == CMD_FLAG_NO_HOLE && c.type == CMD_WRITE_ZEROES);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(o, NBE_OK));
	o = rig_submit(g, NBE_ZERO, 0, 4096, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ENOTSUP);	/* nothing to fall back to */
	CHECK(io_ended(o, NBE_ENOTSUP));
	rig_end(g);
}

static void
test_point_66_fast_zero_only(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_ZERO, 0, 4096, NBE_FAST_ZERO | NBE_FAST_ONLY);
	c = rig_command(g, 0);
	CHECK(c.flags == CMD_FLAG_FAST_ZERO);
	rig_answer(g, 0, &c, WIRE_ENOTSUP);
	CHECK(io_ended(o, NBE_ENOTSUP));
	rig_end(g);
	g = rig_new(NBE_STRUCTURED);
	g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FAST_ZERO;
	rig_start(g);
	o = rig_submit(g, NBE_ZERO, 0, 4096, NBE_FAST_ZERO | NBE_FAST_ONLY);
	CHECK(io_ended(o, NBE_ENOTSUP));
	rig_end(g);
}

/* ---- batches ------------------------------------------------------------- */

static void
test_point_52_cookies_are_unique(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	uint64_t seen[200];
	unsigned n = 0;

	rig_start(g);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 10; i++)
			rig_submit(g, NBE_READ, 512 * i, 512, 0);
		for (unsigned i = 0; i < 10; i++) {
			struct command c = rig_command(g, 0);

			for (unsigned k = 0; k < n; k++)
				CHECK(c.cookie != seen[k]);
			seen[n++] = c.cookie;
			rig_answer(g, 0, &c, 0);
		}
	}
	rig_end(g);
}

static void
test_headers_without_payload_join(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[RIG_SEGS];

	rig_start(g);
	for (unsigned i = 0; i < 5; i++)
		rig_submit(g, NBE_READ, 512 * i, 512, 0);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	for (unsigned i = 0; i < 3; i++)
		rig_submit(g, NBE_READ, 512 * i, 512, 0);
	CHECK(nbe_tx_begin(g->dev, 0, seg, RIG_SEGS, g->now) == 3);
	CHECK(seg[0].kind == NBE_SEG_CORE && seg[0].len == 6 * LEN_REQUEST);
	CHECK(seg[1].kind == NBE_SEG_DATA && seg[1].len == 512);
	CHECK(seg[2].kind == NBE_SEG_CORE && seg[2].len == 3 * LEN_REQUEST);
	CHECK(nbe_tx_begin(g->dev, 0, seg, RIG_SEGS, g->now) == 0);	/* one only */
	nbe_tx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 9);
	rig_end(g);
}

static void
submit_mixture(struct rig *g)
{
	rig_submit(g, NBE_READ, 0, 1024, 0);
	rig_submit(g, NBE_WRITE, 1024, 512, 0);
	rig_submit(g, NBE_WRITE, 4096, 1024, NBE_FUA);
	rig_submit(g, NBE_TRIM, 8192, 4096, 0);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
}

/* However a send ends, the stream is the same. */
static void
test_partial_sends_at_every_byte(void)
{
	for (unsigned f = 0; f < FRAMINGS; f++) {
		struct rig *whole = rig_new((enum nbe_framing)f);

		rig_start(whole);
		submit_mixture(whole);
		rig_send(whole, 0);
		CHECK(rig_count(whole, 0) == 5);
		for (uint64_t first = 0; first < whole->sent[0].len; first++) {
			struct rig *g = rig_new((enum nbe_framing)f);

			rig_start(g);
			submit_mixture(g);
			rig_send_some(g, 0, RIG_SEGS, first);
			rig_send(g, 0);
			CHECK(g->sent[0].len == whole->sent[0].len);
			CHECK(memcmp(g->sent[0].at, whole->sent[0].at,
			    g->sent[0].len) == 0);
			rig_end(g);
		}
		rig_end(whole);
	}
}

static void
test_sends_of_every_size(void)
{
	for (uint64_t piece = 1; piece < 600; piece += 1 + piece / 16)
		for (unsigned nseg = 2; nseg < 6; nseg++) {
			struct rig *g = rig_new(NBE_EXTENDED);

			rig_start(g);
			submit_mixture(g);
			while (rig_send_some(g, 0, nseg, piece) != 0)
				continue;
			CHECK(rig_count(g, 0) == 5);
			for (unsigned i = 0; i < 5; i++) {
				struct command c = rig_take(g, 0);

				rig_answer(g, 0, &c, 0);
				CHECK(io_ended(g->io[i], NBE_OK));
			}
			rig_end(g);
		}
}

static void
test_batch_ends_at_a_megabyte(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[RIG_SEGS];
	uint64_t bytes = 0;
	unsigned n;

	g->cfg.depth = 64;
	rig_start(g);
	for (unsigned i = 0; i < 80; i++)	/* the connection may owe more then */
		rig_submit(g, NBE_WRITE, 0, 65536, 0);
	rig_serve(g, 0);
	for (unsigned i = 0; i < 40; i++)
		rig_submit(g, NBE_WRITE, 0, 65536, 0);
	n = nbe_tx_begin(g->dev, 0, seg, RIG_SEGS, g->now);
	for (unsigned i = 0; i < n; i++)
		bytes += seg[i].len;
	CHECK(bytes >= MEGABYTE && bytes < 2 * MEGABYTE);
	nbe_tx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	rig_end(g);
}

static void
test_depth_is_the_limit(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	g->cfg.depth = 4;
	rig_start(g);
	for (unsigned i = 0; i < 9; i++)
		rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 4 && g->work.tx == 0);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	CHECK(g->work.tx == 1);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 4);
	rig_end(g);
}

/* ---- buffers in use ------------------------------------------------------ */

static void
test_reply_before_the_send_returns(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[4];
	struct command c;
	struct io *o;
	unsigned n;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	n = nbe_tx_begin(g->dev, 0, seg, 4, g->now);
	rig_collect(g, 0, seg, n, UINT64_MAX);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	CHECK(!o->done && !rig_closing(g, 0));
	nbe_tx_end(g->dev, 0, g->sent[0].len, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* An error may well come before the payload is all out (proto.md allows it). */
static void
test_reply_before_all_is_sent(void)
{
	for (uint64_t first = LEN_REQUEST; first < LEN_REQUEST + 512; first += 37) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct command c = { .type = CMD_WRITE };
		struct io *o;

		rig_start(g);
		o = rig_submit(g, NBE_WRITE, 0, 512, 0);
		rig_send_some(g, 0, 4, first);
		c.cookie = get64(g->sent[0].at + 8);
		rig_answer(g, 0, &c, WIRE_ENOSPC);
		CHECK(!o->done && !rig_closing(g, 0));
		rig_send(g, 0);
		CHECK(io_ended(o, NBE_ENOSPC));
		CHECK(g->sent[0].len == LEN_REQUEST + 512);
		rig_end(g);
	}
}

static const struct test tests[] = {
	TEST(point_77_91_exact_bytes),
	TEST(point_49_83_91_every_op_and_flag),
	TEST(point_54_flush_has_no_range),
	TEST(point_41_ranges),
	TEST(point_47_zero_length_is_never_sent),
	TEST(point_49_57_not_advertised),
	TEST(point_49_flags_not_advertised),
	TEST(point_50_unknown_flags_change_nothing),
	TEST(point_51_read_only),
	TEST(point_42_split_by_payload_maximum),
	TEST(point_39_42_part_max_and_default),
	TEST(point_44_effects_exceed_the_payload_maximum),
	TEST(point_44_too_long_goes_in_smaller_ones),
	TEST(point_44_refused_for_good),
	TEST(effects_begin_small),
	TEST(effects_shrink_where_they_take_long),
	TEST(effect_answered_before_its_send_returns),
	TEST(effect_that_timed_out_goes_in_pieces),
	TEST(point_45_more_than_32_bits),
	TEST(point_92_64_bit_lengths),
	TEST(point_92_extents_are_asked_for_once),
	TEST(point_46_payload_maximum_above_the_size),
	TEST(point_56_fua_by_flush),
	TEST(point_57_fua_without_flush),
	TEST(point_66_fast_zero_falls_back),
	TEST(point_66_fast_zero_only),
	TEST(point_52_cookies_are_unique),
	TEST(headers_without_payload_join),
	TEST(partial_sends_at_every_byte),
	TEST(sends_of_every_size),
	TEST(batch_ends_at_a_megabyte),
	TEST(depth_is_the_limit),
	TEST(reply_before_the_send_returns),
	TEST(reply_before_all_is_sent),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
