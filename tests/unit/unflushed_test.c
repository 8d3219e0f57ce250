/*
 * unflushed_test.c - acknowledged, not flushed, and the server restarts.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * "point" in a name is the number in the protocol checklist of docs/protocol.md.
 */
#include "harness.h"
#include "test.h"

/* Not started: the caller may change more. */
static struct rig *
prepare(enum nbe_unflushed policy)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.unflushed = policy;
	g->cfg.keep_size = 65536;
	g->cfg.keep_records = 32;
	return g;
}

static struct rig *
start(enum nbe_unflushed policy)
{
	struct rig *g = prepare(policy);

	rig_start(g);
	return g;
}

/* With writes in parts of 4096 bytes. */
static struct rig *
start_in_parts(enum nbe_unflushed policy)
{
	struct rig *g = prepare(policy);

	g->exp.payload_max = 4096;
	rig_start(g);
	return g;
}

static struct io *
write_acked(struct rig *g, uint64_t off, uint64_t len)
{
	struct io *o = rig_submit(g, NBE_WRITE, off, len, 0);

	rig_serve(g, 0);
	return o;
}

/* A write of two parts, of which the first is answered. */
static struct io *
write_half(struct rig *g)
{
	struct io *o = rig_submit(g, NBE_WRITE, 0, 8192, 0);
	struct command c = rig_command(g, 0);

	rig_answer(g, 0, &c, 0);
	return o;
}

/* With what is in flight, and soon there again: fences stand. */
static void
lose(struct rig *g)
{
	rig_down(g, 0);
	rig_wait(g, NBE_SECOND);
	if (!rig_opens(g, 0))
		rig_wait(g, NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
}

/* Away for so long that no fence is left. */
static void
restart(struct rig *g)
{
	rig_down(g, 0);
	rig_wait(g, 12 * NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
}

static struct io *
flush(struct rig *g)
{
	struct io *o = rig_submit(g, NBE_FLUSH, 0, 0, 0);

	rig_serve(g, 0);
	return o;
}

/* ---- FAIL ---------------------------------------------------------------- */

static void
test_fail_says_so_once(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);
	struct nbe_stats st;

	write_acked(g, 0, 512);
	restart(g);
	CHECK(io_ended(flush(g), NBE_EIO));
	CHECK(io_ended(flush(g), NBE_OK));
	nbe_stats(g->dev, &st);
	CHECK(st.flushes_failed == 1 && st.restarts == 1 && !st.dirty);
	rig_end(g);
}

static void
test_point_55_fail_covers_every_change(void)
{
	static const enum nbe_op ops[] = { NBE_WRITE, NBE_TRIM, NBE_ZERO };

	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = start(NBE_UNFLUSHED_FAIL);

		rig_submit(g, ops[i], 0, 512, 0);
		rig_serve(g, 0);
		restart(g);
		CHECK(io_ended(flush(g), NBE_EIO));
		rig_end(g);
	}
}

static void
test_fail_not_when_flushed_or_durable(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);

	write_acked(g, 0, 512);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_submit(g, NBE_WRITE, 512, 512, NBE_FUA);
	rig_serve(g, 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	restart(g);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* Several things happen before the front looks: it does not know of the failure yet. */
static void
test_fail_what_comes_before_the_failure_is_handed_over(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);
	struct io *first, *second = calloc(1, sizeof *second);
	struct nbe_seg seg[2];
	struct bytes b = { 0 };
	struct command c;
	size_t used;

	write_acked(g, 0, 512);
	restart(g);
	first = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	c = rig_command(g, 0);
	reply_ok(&b, g, &c);
	nbe_rx_ahead(g->dev, 0, b.at, b.len, seg, 2, &used);
	nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	g->io[g->ios++] = second;
	second->r.op = NBE_FLUSH;
	nbe_submit(g->dev, &second->r, g->now);
	CHECK(!first->done);
	rig_work(g);
	rig_serve(g, 0);
	CHECK(io_ended(first, NBE_EIO) && io_ended(second, NBE_EIO));
	CHECK(io_ended(flush(g), NBE_OK));
	bytes_free(&b);
	rig_end(g);
}

/* Under way when the server went: each of them speaks for the lost write. */
static void
test_fail_all_flushes_under_way(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);
	struct io *a, *b;

	write_acked(g, 0, 512);
	a = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	b = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_send(g, 0);
	restart(g);
	rig_serve(g, 0);
	CHECK(io_ended(a, NBE_EIO) && io_ended(b, NBE_EIO));
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* The write after it was answered by the new server: it is not lost. */
static void
test_fail_not_for_what_came_later(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);

	restart(g);
	write_acked(g, 0, 512);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

static void
test_point_57_no_flush_no_promise(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FLUSH;
	rig_start(g);
	write_acked(g, 0, 512);
	nbe_stats(g->dev, &st);
	CHECK(!st.dirty);
	rig_end(g);
}

/* An unacknowledged write is not covered by the flush that was sent before. */
static void
test_point_54_flush_covers_what_was_acknowledged(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);
	struct command f, w;

	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	f = rig_command(g, 0);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	w = rig_command(g, 0);
	rig_answer(g, 0, &w, 0);
	rig_answer(g, 0, &f, 0);
	restart(g);
	CHECK(io_ended(flush(g), NBE_EIO));
	rig_end(g);
}

/* ---- IGNORE -------------------------------------------------------------- */

static void
test_ignore(void)
{
	struct rig *g = start(NBE_UNFLUSHED_IGNORE);

	write_acked(g, 0, 512);
	restart(g);
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* Nobody knows whether the server was a new one: what it may still have is made
 * durable at the end, whatever was said of it. */
static void
test_stop_flushes_after_a_loss(void)
{
	static const enum nbe_unflushed policies[] = {
		NBE_UNFLUSHED_FAIL, NBE_UNFLUSHED_IGNORE,
	};

	for (unsigned i = 0; i < 2; i++) {
		struct rig *g = start(policies[i]);
		struct command c;

		write_acked(g, 0, 512);
		restart(g);
		nbe_stop(g->dev, true, g->now);
		rig_work(g);
		c = rig_command(g, 0);
		CHECK(c.type == CMD_FLUSH);
		rig_answer(g, 0, &c, 0);
		CHECK(rig_command(g, 0).type == CMD_DISC);
		rig_close(g, 0);
		rig_end(g);
	}
}

/* Where there is no server to ask, only a loss that is known ends at once: the other
 * policies expect to find their data again. */
static void
test_stop_without_a_server(void)
{
	static const struct { enum nbe_unflushed policy; bool waits; } row[] = {
		{ NBE_UNFLUSHED_FAIL, false }, { NBE_UNFLUSHED_IGNORE, true },
		{ NBE_UNFLUSHED_REPLAY, true },
	};

	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = start(row[i].policy);
		struct nbe_stats st;

		write_acked(g, 0, 512);
		rig_down(g, 0);
		nbe_stop(g->dev, true, g->now);
		rig_work(g);
		CHECK(g->work.stopped != row[i].waits);
		nbe_stats(g->dev, &st);
		CHECK(st.dirty && st.lost != row[i].waits);
		rig_end(g);
	}
}

/* A flush that the server refuses tells of a loss, but has made nothing durable. */
static void
test_fail_again_when_the_flush_failed_too(void)
{
	struct rig *g = start(NBE_UNFLUSHED_FAIL);
	struct command c;
	struct io *o;

	write_acked(g, 0, 512);
	restart(g);
	o = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_EIO);
	CHECK(io_ended(o, NBE_EIO));
	restart(g);
	CHECK(io_ended(flush(g), NBE_EIO));
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* ---- REPLAY -------------------------------------------------------------- */

static void
test_replay_before_anything_else(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct nbe_stats st;
	struct command c;

	write_acked(g, 4096, 1024);
	rig_submit(g, NBE_READ, 0, 512, 0);
	restart(g);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_WRITE && c.off == 4096 && c.len == 1024);
	for (unsigned i = 0; i < 1024; i++)
		CHECK(c.payload[i] == rig_data(4096 + i));
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(rig_command(g, 0).type == CMD_READ);
	nbe_stats(g->dev, &st);
	CHECK(st.replayed == 1 && st.kept_bytes == 1024);
	CHECK(io_ended(flush(g), NBE_OK));
	nbe_stats(g->dev, &st);
	CHECK(st.kept_bytes == 0);
	rig_end(g);
}

/* The new server takes less at once than the old one did: the same, in pieces. */
static void
test_replay_in_smaller_pieces(void)
{
	static const struct { uint64_t off, len; uint32_t error; } step[] = {
		{ 0, 4 * 65536, WIRE_EOVERFLOW }, { 0, 2 * 65536, WIRE_EINVAL },
		{ 0, 65536, 0 }, { 65536, 65536, 0 }, { 2 * 65536, 65536, 0 },
		{ 3 * 65536, 65536, 0 },
	};
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command c;

	rig_submit(g, NBE_ZERO, 0, 4 * 65536, 0);
	rig_serve(g, 0);
	restart(g);
	for (unsigned i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		c = rig_command(g, 0);
		CHECK(c.type == CMD_WRITE_ZEROES && rig_count(g, 0) == 0);
		CHECK(c.off == step[i].off && c.len == step[i].len);
		rig_answer(g, 0, &c, step[i].error);
	}
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* Also trims and zeroes, in waves: what overlaps goes one after the other. */
static void
test_replay_keeps_the_order_of_overlaps(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command a, b;

	write_acked(g, 0, 1024);
	rig_submit(g, NBE_ZERO, 8192, 512, NBE_NO_HOLE);
	rig_submit(g, NBE_TRIM, 512, 512, 0);
	rig_serve(g, 0);
	restart(g);
	a = rig_command(g, 0);
	b = rig_take(g, 0);
	CHECK(a.type == CMD_WRITE && b.type == CMD_WRITE_ZEROES);
	CHECK(b.flags == CMD_FLAG_NO_HOLE && rig_count(g, 0) == 0);
	rig_answer(g, 0, &b, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &a, 0);
	a = rig_command(g, 0);
	CHECK(a.type == CMD_TRIM && a.off == 512);
	rig_answer(g, 0, &a, 0);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* The next command, which is to write at off; then the connection is lost, or it is
 * answered. */
static void
replayed(struct rig *g, uint64_t off, bool lost)
{
	struct command c = rig_command(g, 0);

	CHECK(c.type == CMD_WRITE && c.off == off && rig_count(g, 0) == 0);
	if (lost)
		lose(g);
	else
		rig_answer(g, 0, &c, 0);
}

/* A replay that was lost may land late: what is newer waits for its fence. */
static void
test_replay_waits_for_lost_older_ones(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);

	write_acked(g, 0, 1024);
	write_acked(g, 512, 1024);
	restart(g);
	replayed(g, 0, true);
	replayed(g, 0, false);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_wait(g, 10 * NBE_SECOND);
	replayed(g, 512, false);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* What is older does not: the lost one is written again behind it. */
static void
test_replay_does_not_wait_for_lost_newer_ones(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);

	write_acked(g, 0, 1024);
	write_acked(g, 512, 1024);
	restart(g);
	replayed(g, 0, false);
	replayed(g, 512, true);
	replayed(g, 0, false);
	replayed(g, 512, false);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* Fences beyond the room grow together, and the one of a replay still holds back
 * what is newer. */
static void
test_replay_fence_among_many(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct io *o;

	for (unsigned i = 0; i < 16; i++)
		rig_submit(g, NBE_WRITE, 65536 + 1024 * i, 512, 0);
	for (unsigned i = 0; i < 2; i++) {	/* 32 fences: half of the room */
		rig_send(g, 0);
		lose(g);
	}
	rig_serve(g, 0);
	CHECK(io_ended(flush(g), NBE_OK));
	write_acked(g, 0, 512);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	replayed(g, 0, true);			/* the write itself */
	replayed(g, 0, true);			/* the replay of the one before */
	replayed(g, 0, false);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0 && !o->done);
	rig_wait(g, 10 * NBE_SECOND);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

static void
test_replay_lost_is_sent_again(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command a, b;

	write_acked(g, 0, 512);
	write_acked(g, 512, 512);
	restart(g);
	a = rig_command(g, 0);
	b = rig_take(g, 0);
	rig_answer(g, 0, &b, 0);
	restart(g);
	CHECK(rig_command(g, 0).off == a.off);
	rig_end(g);
}

static void
test_replay_refused_fails_the_next_flush(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command c;

	write_acked(g, 0, 512);
	restart(g);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ENOSPC);
	CHECK(!rig_closing(g, 0));
	CHECK(io_ended(flush(g), NBE_EIO));
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

static void
test_replay_not_of_what_was_flushed(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);

	write_acked(g, 0, 512);
	CHECK(io_ended(flush(g), NBE_OK));
	restart(g);
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_end(g);
}

/* The server hangs up at a replay each time.  After the dead-timeout that is lost, and
 * told, and the rest goes on. */
static void
test_replay_that_always_breaks_ends(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct io *reader, *flush;
	struct command c;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	g->cfg.backoff_max = NBE_SECOND;
	rig_start(g);
	write_acked(g, 0, 512);
	write_acked(g, 4096, 512);
	rig_down(g, 0);
	reader = rig_submit(g, NBE_READ, 8192, 512, 0);
	for (unsigned i = 0; i < 40 && !reader->done; i++) {
		rig_wait(g, 2 * NBE_SECOND);
		CHECK(rig_opens(g, 0) && rig_up(g, 0) == NBE_WHY_NONE);
		c = rig_command(g, 0);
		if (c.type == CMD_WRITE && c.off == 0) {
			c = rig_take(g, 0);
			CHECK(c.off == 4096);
			rig_answer(g, 0, &c, 0);	/* it is alive otherwise */
			rig_down(g, 0);
			continue;
		}
		rig_answer(g, 0, &c, 0);
		rig_serve(g, 0);
	}
	CHECK(io_ended(reader, NBE_OK));
	CHECK(g->now < 60 * NBE_SECOND + reader->r.submitted_at);
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_EIO));
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_OK));
	rig_end(g);
}

/* Or it says for ever that it shuts down. */
static void
test_replay_that_is_always_refused_ends(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct io *reader;
	struct command c;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	g->cfg.backoff_max = NBE_SECOND;
	rig_start(g);
	write_acked(g, 0, 512);
	rig_down(g, 0);
	reader = rig_submit(g, NBE_READ, 8192, 512, 0);
	for (unsigned i = 0; i < 40 && !reader->done; i++) {
		rig_wait(g, 2 * NBE_SECOND);
		CHECK(rig_opens(g, 0) && rig_up(g, 0) == NBE_WHY_NONE);
		c = rig_command(g, 0);
		rig_answer(g, 0, &c, c.type == CMD_WRITE ? WIRE_ESHUTDOWN : 0);
		if (reader->done)
			break;
		rig_send(g, 0);			/* DISC */
		rig_close(g, 0);
	}
	CHECK(io_ended(reader, NBE_OK));
	rig_end(g);
}

/* Replays until there are none, and says which blocks of [0, 8) were written. */
static unsigned
blocks_replayed(struct rig *g)
{
	unsigned blocks = 0;

	for (rig_send(g, 0); rig_count(g, 0) != 0; rig_send(g, 0)) {
		struct command c = rig_take(g, 0);

		if (c.type == CMD_WRITE)
			for (uint64_t b = c.off / 512; b < (c.off + c.len) / 512; b++)
				blocks |= 1u << b;
		rig_answer(g, 0, &c, 0);
	}
	return blocks;
}

/* Of a replay that was given up the server may have the data by now.  The one before it
 * goes on, also over that: until a flush tells, nothing is promised of the place. */
static void
test_what_is_older_than_a_replay_given_up_goes_on(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct io *flush;
	struct command c;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	g->cfg.backoff_max = NBE_SECOND;
	rig_start(g);
	write_acked(g, 0, 1024);
	write_acked(g, 512, 512);
	for (unsigned i = 0; i < 20; i++) {
		rig_down(g, 0);		/* at the second, but for the first time */
		rig_wait(g, 2 * NBE_SECOND);
		CHECK(rig_opens(g, 0) && rig_up(g, 0) == NBE_WHY_NONE);
		c = rig_command(g, 0);
		CHECK(c.type == CMD_WRITE && c.off == 0 && c.len == 1024);
		rig_answer(g, 0, &c, 0);
		rig_send(g, 0);
	}
	CHECK(rig_count(g, 0) == 0);		/* it is given up */
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_EIO));
	restart(g);
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	CHECK(blocks_replayed(g) == 0 && io_ended(flush, NBE_OK));
	rig_end(g);
}

/* What is durable is not written over by what is older: nobody knows whether there will
 * be time to write it again. */
static void
test_replay_leaves_durable_writes_alone(void)
{
	static const struct {
		uint64_t off, len;	/* of two durable writes, in blocks */
		uint64_t off2, len2;
		unsigned replayed;	/* of an older write of [0, 8) */
	} over[] = {
		{ 0, 8, 0, 0, 0x00 }, { 0, 1, 0, 0, 0xfe }, { 7, 1, 0, 0, 0x7f },
		{ 3, 2, 0, 0, 0xe7 }, { 2, 2, 5, 1, 0xd3 }, { 5, 1, 2, 2, 0xd3 },
		{ 0, 4, 4, 4, 0x00 }, { 4, 4, 0, 4, 0x00 }, { 1, 4, 3, 4, 0x81 },
	};

	for (unsigned i = 0; i < sizeof over / sizeof over[0]; i++) {
		struct rig *g = start(NBE_UNFLUSHED_REPLAY);
		struct nbe_stats st;

		write_acked(g, 0, 8 * 512);
		rig_submit(g, NBE_WRITE, 512 * over[i].off, 512 * over[i].len, NBE_FUA);
		rig_serve(g, 0);
		rig_submit(g, NBE_WRITE, 512 * over[i].off2, 512 * over[i].len2,
		    NBE_FUA);
		rig_serve(g, 0);
		nbe_stats(g->dev, &st);
		CHECK(st.kept_bytes == 8 * 512);	/* none of theirs */
		restart(g);
		CHECK(blocks_replayed(g) == over[i].replayed);
		rig_serve(g, 0);
		rig_end(g);
	}
}

/* What is newer than the durable one is replayed over it. */
static void
test_replay_of_writes_after_a_durable_one(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);

	write_acked(g, 0, 512);
	rig_submit(g, NBE_WRITE, 0, 1024, NBE_FUA);
	rig_serve(g, 0);
	write_acked(g, 512, 1024);
	restart(g);
	CHECK(blocks_replayed(g) == 0x06);
	rig_end(g);
}

/* Where nothing older is kept, a durable write leaves no trace. */
static void
test_a_durable_write_alone_is_not_recorded(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct nbe_stats st;

	rig_submit(g, NBE_WRITE, 0, 512, NBE_FUA);
	rig_serve(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(!st.dirty && st.kept_bytes == 0);
	restart(g);
	CHECK(blocks_replayed(g) == 0);
	rig_end(g);
}

/* What does not fit at the end of the keep buffer goes to its beginning, and the gap is
 * full: else it would lie on what is kept behind the beginning. */
static void
test_the_gap_at_the_end_is_full(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct command flush;
	struct io *o;

	g->cfg.keep_size = 4096;
	rig_start(g);
	write_acked(g, 0, 1024);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	flush = rig_command(g, 0);
	rig_submit(g, NBE_WRITE, 8192, 2048, 0);
	rig_send(g, 0);
	while (rig_count(g, 0) != 0) {
		struct command c = rig_take(g, 0);

		if (c.type == CMD_WRITE)
			rig_answer(g, 0, &c, 0);
	}
	rig_answer(g, 0, &flush, 0);	/* kept now: 1024 to 3072 */
	o = rig_submit(g, NBE_WRITE, 16384, 1536, 0);
	rig_send(g, 0);
	while (rig_count(g, 0) != 0) {
		struct command c = rig_take(g, 0);

		if (c.type == CMD_WRITE)
			rig_answer(g, 0, &c, 0);
	}
	CHECK(!o->done);
	rig_end(g);
}

/* A flush of its own that waits in the queue ends with the device, and what waits for
 * it; then an orderly stop does, too. */
static void
test_own_flush_ends_when_dead(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct io *o;

	g->cfg.keep_size = 1024;
	g->cfg.dead_timeout = 5 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	o = rig_submit(g, NBE_WRITE, 4096, 1024, 0);	/* no room without a flush */
	rig_send(g, 0);
	while (rig_count(g, 0) != 0) {
		struct command c = rig_take(g, 0);

		if (c.type == CMD_WRITE)
			rig_answer(g, 0, &c, 0);
	}
	CHECK(!o->done);
	rig_down(g, 0);
	rig_wait(g, 6 * NBE_SECOND);
	CHECK(io_ended(o, NBE_ETIMEDOUT));
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	CHECK(g->work.stopped);
	rig_end(g);
}

static void
test_replay_of_a_long_write_in_parts(void)
{
	struct rig *g = start_in_parts(NBE_UNFLUSHED_REPLAY);
	struct command c;

	write_acked(g, 512, 10240);
	restart(g);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 3);
	for (uint64_t off = 512; rig_count(g, 0) != 0; off += 4096) {
		c = rig_take(g, 0);
		CHECK(c.off == off);
		for (uint64_t i = 0; i < c.len; i++)
			CHECK(c.payload[i] == rig_data(off + i));
	}
	rig_end(g);
}

/* Not for lost copies of its own: they carry the same data. */
static void
test_redo_does_not_wait_for_itself(void)
{
	struct rig *g = start_in_parts(NBE_UNFLUSHED_FAIL);
	struct io *o = write_half(g);
	struct command c;

	lose(g);				/* with the second part */
	c = rig_command(g, 0);
	CHECK(c.off == 4096);
	rig_answer(g, 0, &c, 0);
	CHECK(!o->done);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 2);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* A write of which the server forgot a part goes round again; what it would write
 * over is a replay that was lost and may still land. */
static void
test_redo_waits_for_lost_replays(void)
{
	struct rig *g = start_in_parts(NBE_UNFLUSHED_REPLAY);
	struct command c;
	struct io *o;

	write_acked(g, 0, 512);
	o = write_half(g);
	restart(g);
	replayed(g, 0, true);
	replayed(g, 0, false);
	c = rig_command(g, 0);
	CHECK(c.off == 4096 && c.len == 4096);
	rig_answer(g, 0, &c, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0 && !o->done);
	rig_wait(g, 10 * NBE_SECOND);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* Half full: the device flushes by itself, and forgets. */
static void
test_keep_buffer_half_full_flushes(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct nbe_stats st;
	struct command c;

	for (unsigned i = 0; i < 7; i++)
		write_acked(g, 4096 * i, 4096);
	CHECK(g->work.tx == 0);
	rig_submit(g, NBE_WRITE, 0, 4096, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(g->io[7], NBE_OK));
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.kept_bytes == 0 && !st.dirty);
	rig_end(g);
}

/* Full: what cannot be kept is not reported until a flush has made room. */
static struct rig *
start_full(struct io **waits, struct command *own_flush)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command c;

	for (unsigned i = 0; i < 5; i++)
		rig_submit(g, NBE_WRITE, 16384 * i, 16384, 0);
	rig_send(g, 0);
	for (unsigned i = 0; i < 5; i++) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
	}
	*waits = g->io[4];
	CHECK(g->io[3]->done && !g->io[4]->done);
	*own_flush = rig_command(g, 0);
	CHECK(own_flush->type == CMD_FLUSH);
	return g;
}

static void
test_keep_buffer_full_waits_for_a_flush(void)
{
	struct command f;
	struct io *o;
	struct rig *g = start_full(&o, &f);

	rig_answer(g, 0, &f, 0);
	CHECK(io_ended(o, NBE_OK) && o->r.keep != NBE_NO_KEEP);
	rig_serve(g, 0);
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

/* In the order of acknowledgement: a short one does not slip in before a long one. */
static void
test_keep_buffer_in_order(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct io *large, *small;
	struct command c, f;

	for (unsigned i = 0; i < 3; i++)
		rig_submit(g, NBE_WRITE, 16384 * i, 16384, 0);
	large = rig_submit(g, NBE_WRITE, 65536, 32768, 0);
	small = rig_submit(g, NBE_WRITE, 131072, 512, 0);
	rig_send(g, 0);
	for (unsigned i = 0; i < 5; i++) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
	}
	CHECK(g->io[2]->done && !large->done && !small->done);
	f = rig_command(g, 0);
	rig_answer(g, 0, &f, 0);
	CHECK(io_ended(large, NBE_OK) && io_ended(small, NBE_OK));
	CHECK(large->order < small->order);
	rig_end(g);
}

/* What waits for room is lost with the server, too: it is written once more. */
static void
test_restart_while_it_cannot_be_kept(void)
{
	struct command f, c;
	struct io *o;
	struct rig *g = start_full(&o, &f);
	bool again = false;

	restart(g);
	for (rig_send(g, 0); !o->done && rig_count(g, 0) != 0; rig_send(g, 0)) {
		c = rig_take(g, 0);
		again |= c.type == CMD_WRITE && c.off == o->r.offset;
		rig_answer(g, 0, &c, 0);
	}
	CHECK(io_ended(o, NBE_OK) && again);
	rig_end(g);
}

static void
test_own_flush_fails(void)
{
	struct command f;
	struct io *o;
	struct rig *g = start_full(&o, &f);

	rig_answer(g, 0, &f, WIRE_EIO);
	CHECK(io_ended(o, NBE_EIO));
	rig_end(g);
}

static void
test_abort_while_it_cannot_be_kept(void)
{
	struct command f;
	struct io *o;
	struct rig *g = start_full(&o, &f);

	nbe_abort(g->dev, &o->r, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_EABORTED));
	rig_answer(g, 0, &f, 0);
	CHECK(!rig_closing(g, 0));
	rig_end(g);
}

static void
test_stop_now_while_it_cannot_be_kept(void)
{
	struct command f;
	struct io *o;
	struct rig *g = start_full(&o, &f);

	nbe_stop(g->dev, false, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_ESHUTDOWN));
	rig_close(g, 0);
	CHECK(g->work.stopped);
	rig_end(g);
}

/* It could never be kept: it is made durable at once instead. */
static void
test_write_larger_than_the_keep_buffer(void)
{
	struct rig *g = start(NBE_UNFLUSHED_REPLAY);
	struct command c;
	struct io *o;

	o = rig_submit(g, NBE_WRITE, 0, 65536 + 512, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 2);
	for (unsigned i = 0; i < 2; i++) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
	}
	CHECK(!o->done);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(o, NBE_OK) && o->r.keep == NBE_NO_KEEP);
	restart(g);
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_end(g);
}

/* The records run out before the bytes do. */
static void
test_keep_records_run_out(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);
	struct nbe_stats st;

	g->cfg.keep_size = MEGABYTE;
	g->cfg.keep_records = 4;
	rig_start(g);
	for (unsigned i = 0; i < 40; i++)
		CHECK(io_ended(write_acked(g, 512 * i, 512), NBE_OK));
	nbe_stats(g->dev, &st);
	CHECK(st.kept_bytes <= 4 * 512);
	rig_end(g);
}

/* Places in the keep buffer that are in use are never given out twice. */
static void
test_keep_buffer_wraps(void)
{
	struct rig *g = prepare(NBE_UNFLUSHED_REPLAY);

	g->cfg.keep_size = 7 * 512;
	g->cfg.keep_records = 64;
	rig_start(g);
	for (unsigned i = 0; i < 60; i++) {
		uint64_t len = 512 * (1 + i % 3);
		struct command c;

		write_acked(g, 4096 * i, len);
		if (i % 5 != 4)
			continue;
		restart(g);
		for (rig_send(g, 0); rig_count(g, 0) != 0; rig_send(g, 0)) {
			c = rig_take(g, 0);
			for (uint64_t k = 0; c.type == CMD_WRITE && k < c.len; k++)
				CHECK(c.payload[k] == rig_data(c.off + k));
			rig_answer(g, 0, &c, 0);
		}
	}
	CHECK(io_ended(flush(g), NBE_OK));
	rig_end(g);
}

static const struct test tests[] = {
	TEST(fail_says_so_once),
	TEST(point_55_fail_covers_every_change),
	TEST(fail_not_when_flushed_or_durable),
	TEST(fail_all_flushes_under_way),
	TEST(fail_what_comes_before_the_failure_is_handed_over),
	TEST(fail_not_for_what_came_later),
	TEST(point_57_no_flush_no_promise),
	TEST(point_54_flush_covers_what_was_acknowledged),
	TEST(ignore),
	TEST(stop_flushes_after_a_loss),
	TEST(stop_without_a_server),
	TEST(fail_again_when_the_flush_failed_too),
	TEST(replay_before_anything_else),
	TEST(replay_in_smaller_pieces),
	TEST(replay_keeps_the_order_of_overlaps),
	TEST(replay_waits_for_lost_older_ones),
	TEST(replay_does_not_wait_for_lost_newer_ones),
	TEST(replay_fence_among_many),
	TEST(replay_lost_is_sent_again),
	TEST(replay_refused_fails_the_next_flush),
	TEST(replay_not_of_what_was_flushed),
	TEST(replay_of_a_long_write_in_parts),
	TEST(replay_that_always_breaks_ends),
	TEST(replay_that_is_always_refused_ends),
	TEST(what_is_older_than_a_replay_given_up_goes_on),
	TEST(replay_leaves_durable_writes_alone),
	TEST(replay_of_writes_after_a_durable_one),
	TEST(a_durable_write_alone_is_not_recorded),
	TEST(own_flush_ends_when_dead),
	TEST(the_gap_at_the_end_is_full),
	TEST(redo_does_not_wait_for_itself),
	TEST(redo_waits_for_lost_replays),
	TEST(keep_buffer_half_full_flushes),
	TEST(keep_buffer_full_waits_for_a_flush),
	TEST(keep_buffer_in_order),
	TEST(restart_while_it_cannot_be_kept),
	TEST(own_flush_fails),
	TEST(abort_while_it_cannot_be_kept),
	TEST(stop_now_while_it_cannot_be_kept),
	TEST(write_larger_than_the_keep_buffer),
	TEST(keep_records_run_out),
	TEST(keep_buffer_wraps),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
