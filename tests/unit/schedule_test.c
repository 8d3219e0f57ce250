/*
 * schedule_test.c - which command goes when and where; fences; aborted requests.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * "point" in a name is the number in the protocol checklist of docs/protocol.md.
 */
#include "harness.h"
#include "test.h"

static struct rig *
start_conns(unsigned conns)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.conns_max = g->cfg.conns = (uint16_t)conns;
	rig_start(g);
	for (unsigned i = 1; i < conns; i++)
		rig_up(g, i);
	return g;
}

/* All connections answer a command that was given after the last came up. */
static struct rig *
start_proven(unsigned conns)
{
	struct rig *g = start_conns(conns);

	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	return g;
}

#define SLOW_READS	6u	/* of each connection */

/* Two connections that answer one by one, and slowly: both are used. */
static struct rig *
start_slow(void)
{
	struct rig *g = start_proven(2);

	for (unsigned i = 0; i < 2 * SLOW_READS; i++) {
		unsigned conn = i / SLOW_READS;
		struct command c;

		while (rig_count(g, conn) == 0) {
			for (unsigned n = 0; n < SLOW_READS; n++)
				rig_submit(g, NBE_READ, 0, 512, 0);
			rig_send(g, conn);
		}
		c = rig_take(g, conn);
		rig_wait(g, NBE_SECOND / 1000);
		rig_answer(g, conn, &c, 0);
	}
	return g;
}

/* ---- barriers and flushes ------------------------------------------------ */

static void
test_barrier_waits_and_is_waited_for(void)
{
	struct rig *g = start_proven(2);
	struct command a, b, c;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_WRITE, 512, 512, NBE_BARRIER);
	rig_submit(g, NBE_WRITE, 1024, 512, 0);
	a = rig_command(g, 0);
	rig_send(g, 1);
	CHECK(a.off == 0 && rig_count(g, 0) == 0 && rig_count(g, 1) == 0);
	rig_answer(g, 0, &a, 0);
	b = rig_command(g, 1);
	rig_send(g, 0);
	CHECK(b.off == 512 && rig_count(g, 0) == 0 && rig_count(g, 1) == 0);
	rig_answer(g, 1, &b, 0);
	c = rig_command(g, 0);
	CHECK(c.off == 1024);
	rig_end(g);
}

/* One that is cut into parts, and one that needs a flush, are alone to the end. */
static void
test_barrier_with_fua_by_flush(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	g->exp.payload_max = 4096;
	g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FUA;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 8192, NBE_BARRIER | NBE_FUA);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 2);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 1);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH && rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(g->io[0], NBE_OK) && rig_command(g, 0).type == CMD_READ);
	rig_end(g);
}

/* A flush speaks for what was replied to before it: it waits for nothing else. */
static void
test_point_53_54_flush_overtakes_unanswered_writes(void)
{
	struct rig *g = start_proven(1);
	struct command w, f;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	w = rig_command(g, 0);
	f = rig_take(g, 0);
	CHECK(f.type == CMD_FLUSH);
	rig_answer(g, 0, &f, 0);
	CHECK(io_ended(g->io[2], NBE_OK) && !g->io[1]->done);
	rig_answer(g, 0, &w, 0);
	CHECK(io_ended(g->io[1], NBE_OK));
	rig_end(g);
}

static void
test_point_59_flush_on_any_connection(void)
{
	struct rig *g = start_proven(2);
	struct nbe_stats st;
	struct command c;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.dirty);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	c = rig_command(g, 1);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 1, &c, 0);
	nbe_stats(g->dev, &st);
	CHECK(!st.dirty);
	rig_end(g);
}

/* ---- several connections ------------------------------------------------- */

static void
test_connections_share_the_work(void)
{
	struct rig *g = start_slow();

	for (unsigned i = 0; i < 8; i++)
		rig_submit(g, NBE_READ, 512 * i, 512, 0);
	rig_send(g, 0);
	rig_send(g, 1);
	CHECK(rig_count(g, 0) == 4 && rig_count(g, 1) == 4);
	rig_end(g);
}

/* What a lost connection had goes first, and the oldest of it before the rest. */
static void
test_point_61_retry_elsewhere_oldest_first(void)
{
	struct rig *g = start_slow();

	for (unsigned i = 0; i < 6; i++) {
		rig_submit(g, NBE_WRITE, 4096 * i, 512, 0);
		g->now++;
	}
	rig_send(g, 0);
	rig_send(g, 1);
	CHECK(rig_count(g, 0) == 3 && rig_count(g, 1) == 3);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_down(g, 0);
	rig_send(g, 1);
	for (unsigned i = 0; i < 3; i++)
		rig_take(g, 1);
	for (unsigned i = 0; i < 3; i++)
		CHECK(rig_take(g, 1).off == 4096 * i);
	CHECK(rig_take(g, 1).type == CMD_READ);
	rig_end(g);
}

/* Of two connections that are lost one after the other, too. */
static void
test_point_61_retry_of_two_connections_by_age(void)
{
	static const uint64_t order[] = { 2, 5, 0, 1, 3, 4 };
	struct rig *g = start_proven(3);

	for (unsigned i = 0; i < 6; i++) {
		rig_submit(g, NBE_READ, 4096 * i, 512, 0);
		rig_send(g, i % 3);
		g->now++;
	}
	rig_down(g, 0);
	rig_down(g, 1);
	rig_send(g, 2);
	for (unsigned i = 0; i < 6; i++)
		CHECK(rig_take(g, 2).off == 4096 * order[i]);
	rig_end(g);
}

static void
test_point_61_nothing_is_lost_nor_done_twice(void)
{
	struct rig *g = start_slow();
	struct command c;
	struct nbe_stats st;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_READ, 4096, 512, 0);
	rig_send(g, 0);
	rig_send(g, 1);
	c = rig_take(g, 0);
	rig_down(g, 0);
	rig_serve(g, 1);
	CHECK(io_ended(g->io[2 * SLOW_READS + 1], NBE_OK) &&
	    io_ended(g->io[2 * SLOW_READS + 2], NBE_OK));
	nbe_stats(g->dev, &st);
	CHECK(c.type == CMD_WRITE && st.retries == 1 && st.conns_lost == 1);
	rig_end(g);
}

/* A flush that was lost is sent again, and covers what is acknowledged by then. */
static void
test_point_61_lost_flush(void)
{
	struct rig *g = start_proven(2);
	struct command c;

	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	CHECK(rig_command(g, 0).type == CMD_FLUSH);
	rig_down(g, 0);
	c = rig_command(g, 1);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 1, &c, 0);
	CHECK(io_ended(g->io[1], NBE_OK));
	rig_end(g);
}

/* Partly answered: only the lost part goes again. */
static void
test_point_61_only_the_lost_part(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command a, b;

	g->exp.payload_max = 4096;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 8192, 0);
	a = rig_command(g, 0);
	b = rig_take(g, 0);
	rig_answer(g, 0, &b, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	b = rig_command(g, 0);
	CHECK(a.off == 0 && b.off == 0 && b.len == 4096 && rig_count(g, 0) == 0);
	rig_answer(g, 0, &b, 0);
	CHECK(io_ended(g->io[0], NBE_OK) && rig_has_data(g->io[0]));
	rig_end(g);
}

/* The server that took the first part may be gone, with it: all of it again. */
static void
test_write_across_a_restart_is_written_anew(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command a, b;

	g->exp.payload_max = 4096;
	g->cfg.fence = 0;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 8192, 0);
	a = rig_command(g, 0);
	rig_answer(g, 0, &a, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	b = rig_command(g, 0);
	CHECK(b.off == 4096);
	rig_answer(g, 0, &b, 0);
	CHECK(!g->io[0]->done);
	a = rig_command(g, 0);
	CHECK(a.off == 0 && rig_count(g, 0) == 1);
	rig_serve(g, 0);
	rig_answer(g, 0, &a, 0);
	CHECK(io_ended(g->io[0], NBE_OK));
	rig_end(g);
}

static void
test_point_75_shutdown_leaves_and_goes_elsewhere(void)
{
	struct rig *g = start_proven(2);
	struct command c;

	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	CHECK(!g->io[1]->done);
	CHECK(rig_command(g, 0).type == CMD_DISC);	/* a soft disconnect */
	CHECK(rig_closing(g, 0));
	CHECK(nbe_conn_why(g->dev, 0) == NBE_WHY_SERVER_SHUTDOWN);
	rig_close(g, 0);
	rig_serve(g, 1);
	CHECK(io_ended(g->io[1], NBE_OK));
	rig_end(g);
}

/* ---- fences -------------------------------------------------------------- */

/* A write of [4096, 8192) is lost; the device goes on with one connection. */
static struct rig *
start_fenced(void)
{
	struct rig *g = start_proven(2);

	rig_submit(g, NBE_WRITE, 4096, 4096, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	rig_serve(g, 1);
	return g;
}

static const struct {
	enum nbe_op op;
	uint64_t off, len;
	bool waits;
} newer[] = {
	{ NBE_WRITE, 4096, 4096, true }, { NBE_WRITE, 0, 4608, true },
	{ NBE_WRITE, 7680, 512, true }, { NBE_TRIM, 0, MEGABYTE, true },
	{ NBE_ZERO, 4608, 512, true }, { NBE_WRITE, 0, 4096, false },
	{ NBE_WRITE, 8192, 512, false }, { NBE_READ, 4096, 4096, false },
	{ NBE_CACHE, 4096, 4096, false }, { NBE_FLUSH, 0, 0, false },
};

static void
test_point_62_newer_change_waits_for_the_fence(void)
{
	for (unsigned i = 0; i < sizeof newer / sizeof newer[0]; i++) {
		struct rig *g = start_fenced();
		struct io *o;

		CHECK(io_ended(g->io[1], NBE_OK));	/* the retry does not */
		o = rig_submit(g, newer[i].op, newer[i].off, newer[i].len, 0);
		rig_serve(g, 1);
		CHECK(o->done == !newer[i].waits);
		rig_wait(g, 10 * NBE_SECOND - 1);
		rig_serve(g, 1);
		CHECK(o->done == !newer[i].waits);
		CHECK(!newer[i].waits || nbe_wake(g->dev, g->now) == g->now + 1);
		rig_wait(g, 1);
		rig_serve(g, 1);
		CHECK(io_ended(o, NBE_OK));
		rig_end(g);
	}
}

/* Later requests pass one that is fenced; a barrier does not. */
static void
test_point_62_barrier_waits_for_the_fenced(void)
{
	struct rig *g = start_fenced();
	struct io *fenced, *free, *barrier;

	fenced = rig_submit(g, NBE_WRITE, 4096, 512, 0);
	free = rig_submit(g, NBE_WRITE, 0, 512, 0);
	barrier = rig_submit(g, NBE_READ, 0, 512, NBE_BARRIER);
	rig_serve(g, 1);
	CHECK(!fenced->done && free->done && !barrier->done);
	rig_wait(g, 10 * NBE_SECOND);
	rig_serve(g, 1);
	CHECK(fenced->done && barrier->done && fenced->order < barrier->order);
	rig_end(g);
}

/* Planned, but none of its bytes were ever named to a socket. */
static void
test_point_62_no_fence_when_not_sent(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *sent, *planned;

	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_WRITE, 4096, 512, 0);
	rig_send_some(g, 0, 2, LEN_REQUEST);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	sent = rig_submit(g, NBE_WRITE, 0, 512, 0);
	planned = rig_submit(g, NBE_WRITE, 4096, 512, 0);
	rig_serve(g, 0);
	CHECK(!sent->done && io_ended(planned, NBE_OK));
	rig_end(g);
}

/* When there is no room for another fence, one covers more; none is forgotten. */
static void
more_losses_than_room(const unsigned place[8])
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;
	unsigned n;

	g->cfg.depth = 2;
	g->cfg.backoff_max = NBE_SECOND / 100;
	g->cfg.backoff_min = NBE_SECOND / 100;
	rig_start(g);
	for (n = 0; n < 8; n++) {
		rig_submit(g, NBE_WRITE, 8192 * place[n], 512, 0);
		rig_send(g, 0);
		rig_down(g, 0);
		rig_wait(g, NBE_SECOND);
		rig_up(g, 0);
		rig_serve(g, 0);
		CHECK(io_ended(g->io[n], NBE_OK));
	}
	for (n = 0; n < 8; n++)
		rig_submit(g, NBE_WRITE, 8192 * place[n], 512, 0);
	rig_serve(g, 0);
	CHECK(g->done == 8);
	rig_wait(g, 10 * NBE_SECOND - 1);
	rig_serve(g, 0);
	CHECK(!g->io[15]->done);
	rig_wait(g, 1);
	rig_serve(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(g->done == 16 && st.fenced == 8);
	rig_end(g);
}

static void
test_point_62_more_losses_than_room(void)
{
	static const unsigned up[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	static const unsigned down[8] = { 7, 6, 5, 4, 3, 2, 1, 0 };

	more_losses_than_room(up);
	more_losses_than_room(down);
}

static void
test_fence_of_zero_is_none(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->cfg.fence = 0;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* ---- abort --------------------------------------------------------------- */

static void
abort_it(struct rig *g, struct io *o)
{
	nbe_abort(g->dev, &o->r, g->now);
	rig_work(g);
}

static void
test_abort_while_queued(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	abort_it(g, o);
	CHECK(io_ended(o, NBE_EABORTED));
	abort_it(g, o);				/* too late is harmless */
	rig_send(g, 0);
	CHECK(g->sent[0].len == 0);
	rig_end(g);
}

/* The stream must go on to the end of the command. */
static void
test_abort_half_sent(void)
{
	for (uint64_t first = 1; first < LEN_REQUEST + 512; first += 30) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct command c;
		struct io *o;

		rig_start(g);
		o = rig_submit(g, NBE_WRITE, 0, 512, 0);
		rig_send_some(g, 0, 4, first);
		abort_it(g, o);
		CHECK(!o->done);
		rig_send(g, 0);
		CHECK(io_ended(o, NBE_EABORTED));
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
		CHECK(!rig_closing(g, 0));
		rig_end(g);
	}
}

static void
test_abort_during_the_send_call(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[4];
	struct io *o;
	unsigned n;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	n = nbe_tx_begin(g->dev, 0, seg, 4, g->now);
	abort_it(g, o);
	CHECK(!o->done);
	rig_collect(g, 0, seg, n, UINT64_MAX);
	nbe_tx_end(g->dev, 0, g->sent[0].len, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_EABORTED));
	rig_end(g);
}

static void
test_abort_in_flight(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o, *next;

	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	abort_it(g, o);
	CHECK(io_ended(o, NBE_EABORTED));
	memset(o->buf, UNTOUCHED, 512);		/* it is the front's again */
	next = rig_submit(g, NBE_READ, 512, 512, 0);
	rig_answer(g, 0, &c, 0);
	CHECK(o->buf[0] == UNTOUCHED && o->buf[511] == UNTOUCHED);
	rig_serve(g, 0);
	CHECK(io_ended(next, NBE_OK) && rig_has_data(next) && !rig_closing(g, 0));
	rig_end(g);
}

/* Received directly: while the read is open the buffer is not free. */
static void
test_abort_amid_the_payload(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct bytes b = { 0 };
	struct nbe_seg seg[2];
	struct command c;
	uint64_t need;
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	reply_ok(&b, g, &c);
	rig_receive(g, 0, b.at, 28 + 100, (struct way){ SIZE_MAX, 0 });
	CHECK(nbe_rx_begin(g->dev, 0, seg, 2, &need) == 2 && need == 412);
	abort_it(g, o);
	CHECK(!o->done);
	nbe_rx_end(g->dev, 0, 12, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_EABORTED));
	rig_receive(g, 0, b.at + 140, 400, (struct way){ SIZE_MAX, 0 });
	rig_submit(g, NBE_READ, 512, 512, 0);
	rig_serve(g, 0);
	CHECK(io_ended(g->io[1], NBE_OK) && rig_has_data(g->io[1]));
	bytes_free(&b);
	rig_end(g);
}

/* The copies that nbe_rx_ahead names are made until nbe_rx_end, of any reply. */
static void
test_abort_amid_the_copies(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct bytes b = { 0 };
	struct nbe_seg seg[4];
	struct command first, second;
	struct io *o;
	size_t used;

	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_submit(g, NBE_READ, 512, 512, 0);
	rig_send(g, 0);
	first = rig_take(g, 0);
	second = rig_take(g, 0);
	reply_data(&b, g, &first, 0, 0, 256);
	reply_data(&b, g, &second, 0, 512, 256);
	CHECK(nbe_rx_ahead(g->dev, 0, b.at, b.len - 100, seg, 4, &used) == 2);
	CHECK(seg[0].req == &o->r && seg[1].req != &o->r);
	abort_it(g, o);
	CHECK(!o->done);
	nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_EABORTED));
	bytes_free(&b);
	rig_end(g);
}

static void
test_abort_while_parked_for_retry(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	CHECK(!o->done);
	abort_it(g, o);
	CHECK(io_ended(o, NBE_EABORTED));
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 1 && rig_take(g, 0).type == CMD_READ);	/* probe */
	rig_end(g);
}

static void
test_abort_while_fenced(void)
{
	struct rig *g = start_fenced();
	struct io *o = rig_submit(g, NBE_WRITE, 4096, 512, 0);

	rig_serve(g, 1);
	abort_it(g, o);
	CHECK(io_ended(o, NBE_EABORTED));
	rig_wait(g, 11 * NBE_SECOND);
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);
	rig_end(g);
}

/* What was aborted may still be executed: until it is answered, nothing newer goes
 * to its place. */
static void
test_point_62_aborted_write_is_fenced(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	c = rig_command(g, 0);
	abort_it(g, o);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_wait(g, 3600 * NBE_SECOND);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

static void
test_point_62_aborted_write_is_fenced_when_lost(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	abort_it(g, o);
	rig_down(g, 0);
	rig_wait(g, 5 * NBE_SECOND);
	rig_up(g, 0);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	CHECK(!o->done);
	rig_wait(g, 10 * NBE_SECOND);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* A write is lost while the server sleeps; nobody else asks it anything. */
static struct rig *
start_asleep(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	abort_it(g, o);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	return g;
}

/* The fence counts from the first answer to what was sent after the loss: the server
 * may have slept since, with the old write in its queue. */
static void
test_fence_counts_from_an_answer(void)
{
	struct rig *g = start_asleep();
	struct io *o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	struct command c;

	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 1);
	c = rig_take(g, 0);
	CHECK(c.type == CMD_READ && c.len == 512);
	rig_wait(g, 3600 * NBE_SECOND);
	rig_send(g, 0);
	CHECK(!o->done && rig_count(g, 0) == 0);	/* one question is enough */
	rig_answer(g, 0, &c, 0);
	rig_wait(g, 10 * NBE_SECOND - 1);
	rig_serve(g, 0);
	CHECK(!o->done);
	rig_wait(g, 1);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* An answer to what was sent before the loss may have been on its way since. */
static void
test_fence_counts_from_no_old_answer(void)
{
	struct rig *g = start_proven(2);
	struct command old, fresh;
	struct io *o;

	rig_submit(g, NBE_READ, 0, 512, 0);
	old = rig_command(g, 1);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	abort_it(g, o);
	rig_down(g, 0);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_answer(g, 1, &old, 0);
	rig_wait(g, 60 * NBE_SECOND);
	CHECK(!o->done);
	fresh = rig_command(g, 1);
	CHECK(fresh.type == CMD_READ);
	rig_answer(g, 1, &fresh, 0);
	rig_serve(g, 1);
	CHECK(!o->done);
	rig_wait(g, 10 * NBE_SECOND);
	rig_serve(g, 1);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* The server is at what it was sent: its time begins anew, from the first answer on. */
static void
test_fence_counts_from_what_came_last(void)
{
	struct rig *g = start_asleep();
	struct io *o = rig_submit(g, NBE_WRITE, 0, 512, 0);

	nbe_stirred(g->dev, 0, g->now);		/* proves nothing */
	rig_wait(g, 60 * NBE_SECOND);
	CHECK(!o->done && nbe_old_writes(g->dev, 0) && !nbe_old_writes(g->dev, 1));
	rig_serve(g, 0);
	for (unsigned i = 0; i < 5; i++) {
		rig_wait(g, 9 * NBE_SECOND);
		nbe_stirred(g->dev, 0, g->now);
	}
	rig_wait(g, 10 * NBE_SECOND - 1);
	nbe_stirred(g->dev, 1, g->now);		/* of another one */
	rig_serve(g, 0);
	CHECK(!o->done);
	rig_wait(g, 1);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK) && !nbe_old_writes(g->dev, 0));
	rig_end(g);
}

/* Nobody waits for the fence yet, and it is asked all the same: so the fence is over
 * when somebody comes. */
static void
test_the_probe_is_announced(void)
{
	struct rig *g = start_asleep();

	CHECK((g->work.tx & 1) != 0);
	CHECK(rig_command(g, 0).type == CMD_READ);
	CHECK((g->work.tx & 1) == 0);
	rig_end(g);
}

/* Fences whose time runs, and then there is no room for the next one: it is joined
 * with one of them, which waits again, for an answer to what was sent after that. */
static void
test_a_joined_fence_waits_again(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command old;
	struct io *o;

	g->cfg.depth = 1;
	g->cfg.conns_max = g->cfg.conns = 2;
	g->cfg.backoff_max = g->cfg.backoff_min = NBE_SECOND / 100;
	rig_start(g);
	for (unsigned i = 0; i < 3; i++) {
		rig_submit(g, NBE_WRITE, 8192 * i, 512, 0);
		rig_send(g, 0);
		rig_down(g, 0);
		rig_wait(g, NBE_SECOND / 10);
		(void)rig_up(g, 0);
		if (i == 0)
			(void)rig_up(g, 1);
		rig_serve(g, 1);
		rig_serve(g, 0);
		CHECK(io_ended(g->io[i], NBE_OK));
	}
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 1);		/* proves connection 0 */
	rig_submit(g, NBE_READ, 0, 512, 0);
	old = rig_command(g, 1);
	o = rig_submit(g, NBE_WRITE, 32768, 512, 0);
	rig_send(g, 0);
	abort_it(g, o);
	rig_down(g, 0);
	rig_answer(g, 1, &old, 0);
	rig_wait(g, 60 * NBE_SECOND);
	o = rig_submit(g, NBE_WRITE, 32768, 512, 0);
	rig_work(g);
	old = rig_command(g, 1);
	CHECK(old.type == CMD_READ && !o->done);	/* the probe */
	rig_answer(g, 1, &old, 0);
	rig_wait(g, 10 * NBE_SECOND - 1);
	rig_serve(g, 1);
	CHECK(!o->done);
	rig_wait(g, 1);
	rig_serve(g, 1);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* Where nothing was lost, or all of it is old, nobody is asked. */
static void
test_no_probe_without_a_loss(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_serve(g, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_end(g);
}

/* Beyond all times is never, not at once. */
static void
test_fence_without_end(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->cfg.fence = NBE_NEVER - NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_serve(g, 0);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_wait(g, UINT64_C(1) << 62);
	rig_serve(g, 0);
	CHECK(!o->done);
	rig_end(g);
}

/* Some parts answered, some at the server, some not cut yet. */
static void
test_abort_of_many_parts(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	g->cfg.depth = 4;
	g->exp.payload_max = 4096;
	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 40960, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);
	abort_it(g, o);
	CHECK(io_ended(o, NBE_EABORTED));
	while (rig_count(g, 0) != 0) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
	}
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0 && !rig_closing(g, 0));
	rig_end(g);
}

static const struct test tests[] = {
	TEST(barrier_waits_and_is_waited_for),
	TEST(barrier_with_fua_by_flush),
	TEST(point_53_54_flush_overtakes_unanswered_writes),
	TEST(point_59_flush_on_any_connection),
	TEST(connections_share_the_work),
	TEST(point_61_retry_elsewhere_oldest_first),
	TEST(point_61_retry_of_two_connections_by_age),
	TEST(point_61_nothing_is_lost_nor_done_twice),
	TEST(point_61_lost_flush),
	TEST(point_61_only_the_lost_part),
	TEST(write_across_a_restart_is_written_anew),
	TEST(point_75_shutdown_leaves_and_goes_elsewhere),
	TEST(point_62_newer_change_waits_for_the_fence),
	TEST(point_62_barrier_waits_for_the_fenced),
	TEST(point_62_no_fence_when_not_sent),
	TEST(point_62_more_losses_than_room),
	TEST(fence_of_zero_is_none),
	TEST(abort_while_queued),
	TEST(abort_half_sent),
	TEST(abort_during_the_send_call),
	TEST(abort_in_flight),
	TEST(abort_amid_the_payload),
	TEST(abort_amid_the_copies),
	TEST(abort_while_parked_for_retry),
	TEST(abort_while_fenced),
	TEST(point_62_aborted_write_is_fenced),
	TEST(point_62_aborted_write_is_fenced_when_lost),
	TEST(fence_counts_from_an_answer),
	TEST(fence_counts_from_no_old_answer),
	TEST(fence_counts_from_what_came_last),
	TEST(the_probe_is_announced),
	TEST(a_joined_fence_waits_again),
	TEST(no_probe_without_a_loss),
	TEST(fence_without_end),
	TEST(abort_of_many_parts),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
