/*
 * device_test.c - life of a device: connections up and down, time, stop, counters.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * "point" in a name is the number in the protocol checklist of docs/protocol.md.
 */
#include "harness.h"
#include "test.h"

/* ---- who may join -------------------------------------------------------- */

struct change {
	enum nbe_why why;
	uint64_t size;
	uint16_t flags_off, flags_on;
	uint32_t block_min, payload_max;	/* 0: as it was */
	enum nbe_framing framing;
	bool no_alloc;
};

#define AS_IS	MEGABYTE, 0, 0, 0, 0, NBE_STRUCTURED, false

static const struct change changes[] = {
	{ NBE_WHY_NONE, AS_IS },
	{ NBE_WHY_SHRANK, MEGABYTE - 512, 0, 0, 0, 0, NBE_STRUCTURED, false },
	{ NBE_WHY_READ_ONLY, MEGABYTE, 0, NBE_FLAG_READ_ONLY, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_FLUSH, 0, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_FUA, 0, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_TRIM, 0, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_WRITE_ZEROES, 0, 0, 0,
	    NBE_STRUCTURED, false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_CACHE, 0, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, NBE_FLAG_SEND_FAST_ZERO, 0, 0, 0,
	    NBE_STRUCTURED, false },
	{ NBE_WHY_FLAGS_LOST, MEGABYTE, 0, 0, 0, 0, NBE_STRUCTURED, true },
	{ NBE_WHY_NONE, MEGABYTE, NBE_FLAG_SEND_DF, 0xe000, 0, 0, NBE_STRUCTURED,
	    false },
	{ NBE_WHY_BLOCK_SIZE_CHANGED, MEGABYTE, 0, 0, 1024, 0, NBE_STRUCTURED, false },
	{ NBE_WHY_NONE, MEGABYTE, 0, 0, 1, 0, NBE_STRUCTURED, false },
	{ NBE_WHY_PAYLOAD_SHRANK, MEGABYTE, 0, 0, 0, 65024, NBE_STRUCTURED, false },
	{ NBE_WHY_NONE, MEGABYTE, 0, 0, 0, MEGABYTE, NBE_STRUCTURED, false },
	{ NBE_WHY_FRAMING_LOST, MEGABYTE, 0, 0, 0, 0, NBE_SIMPLE, false },
	{ NBE_WHY_NONE, MEGABYTE, 0, 0, 0, 0, NBE_EXTENDED, false },
	{ NBE_WHY_NO_MULTI_CONN, MEGABYTE, NBE_FLAG_CAN_MULTI_CONN, 0, 0, 0,
	    NBE_STRUCTURED, false },
};

static struct nbe_export
changed(const struct nbe_export *was, const struct change *c)
{
	struct nbe_export e = *was;

	e.size = c->size;
	e.flags = (uint16_t)((e.flags & ~c->flags_off) | c->flags_on);
	e.block_min = c->block_min != 0 ? c->block_min : e.block_min;
	e.payload_max = c->payload_max != 0 ? c->payload_max : e.payload_max;
	e.framing = c->framing;
	e.has_alloc = e.has_alloc && !c->no_alloc;
	return e;
}

static void
check_change(const struct change *c)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_export e;
	struct nbe_stats st;
	bool taken = c->why == NBE_WHY_NONE;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	e = changed(&g->exp, c);
	CHECK(nbe_conn_up(g->dev, 1, &e, g->now) == c->why);
	rig_work(g);
	nbe_stats(g->dev, &st);
	CHECK(nbe_conn_is_up(g->dev, 1) == taken && st.conns_refused == !taken);
	CHECK(nbe_conn_why(g->dev, 1) == c->why);
	CHECK(!rig_opens(g, 1));
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(rig_opens(g, 1) == !taken);	/* it is asked for again */
	CHECK(nbe_conn_is_up(g->dev, 0) && !rig_closing(g, 0));
	rig_end(g);
}

static void
test_point_60_94_contradictions(void)
{
	for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++)
		check_change(&changes[i]);
}

/* Who attached it read-only has no use for more. */
static void
test_point_94_writable_again(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_export e = g->exp;

	g->exp.flags |= NBE_FLAG_READ_ONLY;
	rig_start(g);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(nbe_conn_up(g->dev, 0, &e, g->now) == NBE_WHY_NONE);
	CHECK(io_ended(rig_submit(g, NBE_WRITE, 0, 512, 0), NBE_EPERM));
	rig_end(g);
}

static void
test_point_58_one_connection_without_multi_conn(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.conns_max = g->cfg.conns = 2;
	g->exp.flags &= (uint16_t)~NBE_FLAG_CAN_MULTI_CONN;
	rig_start(g);
	CHECK(rig_up(g, 1) == NBE_WHY_NO_MULTI_CONN);
	rig_down(g, 0);
	rig_wait(g, 4 * NBE_SECOND);
	CHECK(rig_up(g, 1) == NBE_WHY_NONE);	/* it is the only one now */
	rig_end(g);
}

static void
test_point_70_growth(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	CHECK(io_ended(rig_submit(g, NBE_READ, MEGABYTE, 512, 0), NBE_EINVAL));
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	g->exp.size = 2 * MEGABYTE + 100;	/* the tail cannot be reached */
	CHECK(!g->resized && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(g->resized && nbe_dev_export(g->dev)->size == 2 * MEGABYTE);
	g->resized = false;
	rig_work(g);
	CHECK(!g->resized);
	rig_submit(g, NBE_READ, MEGABYTE, 512, 0);
	CHECK(rig_command(g, 0).off == MEGABYTE);
	rig_end(g);
}

/* ---- backoff ------------------------------------------------------------- */

static nbe_time
fail_to_open(struct rig *g)
{
	nbe_time wait;

	CHECK(rig_opens(g, 0));
	rig_down(g, 0);
	CHECK(!rig_opens(g, 0));
	wait = nbe_wake(g->dev, g->now) - g->now;
	rig_wait(g, wait - 1);
	CHECK(!rig_opens(g, 0));
	rig_wait(g, 1);
	return wait;
}

static void
test_backoff_grows_within_bounds(void)
{
	static const nbe_time least[] = { 1, 2, 4, 7, 7, 7 };

	for (uint64_t seed = 1; seed < 50; seed++) {
		struct rig *g = rig_new(NBE_STRUCTURED);

		g->cfg.seed = seed;
		g->cfg.backoff_max = 7 * NBE_SECOND;
		rig_start_down(g);
		for (unsigned i = 0; i < 6; i++) {
			nbe_time wait = fail_to_open(g);

			CHECK(wait >= least[i] * NBE_SECOND);
			CHECK(wait < least[i] * NBE_SECOND * 3 / 2);
		}
		rig_end(g);
	}
}

static void
test_backoff_is_of_the_seed(void)
{
	struct rig *a = rig_new(NBE_STRUCTURED), *b = rig_new(NBE_STRUCTURED);
	struct rig *c = rig_new(NBE_STRUCTURED);
	unsigned same = 0;

	a->cfg.seed = b->cfg.seed = 12345;
	c->cfg.seed = 54321;
	rig_start_down(a);
	rig_start_down(b);
	rig_start_down(c);
	for (unsigned i = 0; i < 10; i++) {
		nbe_time wait = fail_to_open(a);

		CHECK(wait == fail_to_open(b));
		same += wait == fail_to_open(c);
	}
	CHECK(same < 10);
	rig_end(a);
	rig_end(b);
	rig_end(c);
}

/* An answer, not a connection, shows that the server is well. */
static void
test_backoff_ends_with_an_answer(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start_down(g);
	for (unsigned i = 0; i < 3; i++)
		fail_to_open(g);
	rig_up(g, 0);
	rig_down(g, 0);
	CHECK(nbe_wake(g->dev, g->now) - g->now >= 8 * NBE_SECOND);
	rig_wait(g, 12 * NBE_SECOND);
	rig_up(g, 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	rig_down(g, 0);
	CHECK(nbe_wake(g->dev, g->now) - g->now < 2 * NBE_SECOND);
	nbe_reconnect(g->dev, g->now);
	rig_work(g);
	CHECK(rig_opens(g, 0));			/* at once, when asked to */
	rig_end(g);
}

/* ---- time-outs ----------------------------------------------------------- */

static void
test_point_99_101_command_time_out(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	g->cfg.timeout = 5 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	CHECK(nbe_wake(g->dev, g->now) == g->now + 5 * NBE_SECOND);
	rig_wait(g, 5 * NBE_SECOND - 1);
	CHECK(!rig_closing(g, 0));
	rig_wait(g, 1);
	CHECK(rig_closing(g, 0) && nbe_conn_why(g->dev, 0) == NBE_WHY_TIMEOUT);
	rig_close(g, 0);
	CHECK(!g->io[0]->done);
	nbe_stats(g->dev, &st);
	CHECK(st.timeouts == 1);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_serve(g, 0);
	CHECK(io_ended(g->io[0], NBE_OK));
	rig_end(g);
}

/* Younger commands do not put off the time-out of the oldest. */
static void
test_point_101_the_oldest_decides(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.timeout = 5 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_wait(g, 3 * NBE_SECOND);
	rig_submit(g, NBE_READ, 512, 512, 0);
	rig_send(g, 0);
	CHECK(nbe_wake(g->dev, g->now) == g->now + 2 * NBE_SECOND);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	rig_end(g);
}

/* The send side stalls: the command's time runs from when it was planned. */
static void
test_point_101_stalled_send(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[4];

	g->cfg.timeout = 5 * NBE_SECOND;
	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	CHECK(nbe_wake(g->dev, g->now) == NBE_NEVER);
	CHECK(nbe_tx_begin(g->dev, 0, seg, 4, g->now) == 2);
	CHECK(nbe_wake(g->dev, g->now) == g->now + 5 * NBE_SECOND);
	rig_wait(g, 5 * NBE_SECOND);
	CHECK(rig_closing(g, 0));
	nbe_tx_end(g->dev, 0, 100, NBE_WHY_CLOSED, g->now);
	rig_close(g, 0);
	CHECK(!g->io[0]->done);
	rig_end(g);
}

static void
test_dead_timeout(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *sent, *queued;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	rig_start(g);
	sent = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	sent = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	queued = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_wait(g, 30 * NBE_SECOND - 1);
	CHECK(!sent->done && !queued->done && nbe_wake(g->dev, g->now) == g->now + 1);
	rig_wait(g, 1);
	CHECK(io_ended(sent, NBE_ETIMEDOUT) && io_ended(queued, NBE_ETIMEDOUT));
	CHECK(io_ended(rig_submit(g, NBE_READ, 0, 512, 0), NBE_ETIMEDOUT));
	CHECK(rig_opens(g, 0));			/* but it goes on trying */
	rig_up(g, 0);
	queued = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	CHECK(io_ended(queued, NBE_OK));
	rig_end(g);
}

/* The server answers others, but each time the connection is lost. */
static void
test_dead_timeout_ends_retries(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);
	struct io *o;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	for (unsigned n = 0; n < 7; n++) {
		struct io *other = rig_submit(g, NBE_READ, 4096, 512, 0);
		struct command c;

		CHECK(!o->done);
		rig_command(g, 0);
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
		CHECK(io_ended(other, NBE_OK));
		rig_down(g, 0);
		rig_wait(g, 5 * NBE_SECOND);
		rig_up(g, 0);
	}
	CHECK(io_ended(o, NBE_ETIMEDOUT));
	rig_end(g);
}

/* Connections that come up and never answer do not keep requests alive. */
static void
test_dead_timeout_in_spite_of_connections(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;
	nbe_time from;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	from = g->now;
	for (unsigned i = 0; i < 40 && !o->done; i++) {
		rig_send(g, 0);
		if (nbe_conn_is_up(g->dev, 0))
			rig_down(g, 0);
		rig_wait(g, 2 * NBE_SECOND);
		if (rig_opens(g, 0))
			rig_up(g, 0);
	}
	CHECK(io_ended(o, NBE_ETIMEDOUT));
	CHECK(g->now - from <= 34 * NBE_SECOND);
	rig_end(g);
}

/* A connection that is up and silent goes with the requests that it carries: they
 * cannot fail while a socket may still write into their buffers. */
static void
test_dead_timeout_closes_silent_connections(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->cfg.dead_timeout = 30 * NBE_SECOND;
	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 10 * NBE_SECOND);
	rig_up(g, 0);
	rig_send(g, 0);
	rig_wait(g, 20 * NBE_SECOND);
	CHECK(rig_closing(g, 0) && !o->done);
	rig_close(g, 0);
	CHECK(io_ended(o, NBE_ETIMEDOUT));
	rig_end(g);
}

/* nbe_dev_valid is what the other tests rely on. */
static void
test_valid_sees_a_broken_queue(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_req *r, *prev;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	r = &rig_submit(g, NBE_READ, 512, 512, 0)->r;
	prev = r->prev;
	r->prev = NULL;
	CHECK(!nbe_dev_valid(g->dev));
	r->prev = prev;
	CHECK(nbe_dev_valid(g->dev));
	rig_end(g);
}

/* ---- epochs -------------------------------------------------------------- */

static void
test_unproven_connection_carries_nothing(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command before, after;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	before = rig_command(g, 0);
	rig_up(g, 1);
	rig_submit(g, NBE_READ, 512, 512, 0);
	CHECK((g->work.tx & 2) == 0);
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);
	rig_answer(g, 0, &before, 0);		/* given before it came up */
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);
	after = rig_command(g, 0);
	rig_answer(g, 0, &after, 0);
	rig_submit(g, NBE_READ, 1024, 512, 0);
	CHECK((g->work.tx & 2) != 0 && rig_command(g, 1).off == 1024);
	rig_end(g);
}

static void
test_last_proven_lost_is_a_restart(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	rig_up(g, 1);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.restarts == 1 && st.conns_up == 1);
	CHECK(rig_command(g, 1).type == CMD_READ);
	rig_end(g);
}

static void
test_no_restart_while_one_proven_stays(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	rig_up(g, 1);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	rig_down(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.restarts == 0);
	rig_end(g);
}

/* ---- scale --------------------------------------------------------------- */

static void
test_point_63_scale_down_ends_with_disc(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	rig_up(g, 1);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_serve(g, 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 1);
	CHECK(!nbe_conn_is_leaving(g->dev, 1));
	nbe_scale(g->dev, 1, g->now);
	CHECK(nbe_conn_is_leaving(g->dev, 1) && !nbe_conn_is_leaving(g->dev, 0));
	rig_work(g);
	rig_submit(g, NBE_READ, 512, 512, 0);
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);		/* nothing new, and no DISC yet */
	rig_answer(g, 1, &c, 0);
	CHECK(io_ended(g->io[1], NBE_OK));
	c = rig_command(g, 1);
	CHECK(c.type == CMD_DISC && c.off == 0 && c.len == 0 && c.flags == 0);
	CHECK(rig_closing(g, 1) && nbe_conn_why(g->dev, 1) == NBE_WHY_SCALED);
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);
	rig_close(g, 1);
	CHECK(!nbe_conn_is_leaving(g->dev, 1));
	rig_wait(g, 100 * NBE_SECOND);
	CHECK(!rig_opens(g, 1));
	rig_serve(g, 0);
	CHECK(io_ended(g->io[2], NBE_OK));
	nbe_rx_begin(g->dev, 0, (struct nbe_seg[2]){ { 0 } }, 2, &(uint64_t){ 0 });
	nbe_rx_end(g->dev, 0, 0, NBE_WHY_CLOSED, g->now);
	CHECK(nbe_conn_is_leaving(g->dev, 0));
	rig_end(g);
}

static void
test_scale_up_asks_for_connections(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	g->cfg.conns_max = 3;
	rig_start(g);
	CHECK(g->work.open == 0);
	nbe_scale(g->dev, 3, g->now);
	rig_work(g);
	CHECK(g->work.open == 6);
	rig_up(g, 1);
	CHECK(g->work.open == 4);
	nbe_scale(g->dev, 1, g->now);
	rig_work(g);
	CHECK(g->work.open == 0 && rig_up(g, 2) == NBE_WHY_SCALED);
	nbe_stats(g->dev, &st);
	CHECK(st.conns_wanted == 1 && st.conns_refused == 1);
	rig_end(g);
}

/* ---- stop ---------------------------------------------------------------- */

static void
test_point_63_64_stop_drains_flushes_and_says_disc(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command w, c;

	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	w = rig_command(g, 0);
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	CHECK(io_ended(rig_submit(g, NBE_READ, 0, 512, 0), NBE_ESHUTDOWN));
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &w, 0);
	CHECK(io_ended(g->io[0], NBE_OK));
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH && rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(rig_command(g, 0).type == CMD_DISC && !g->work.stopped);
	CHECK(rig_closing(g, 0) && nbe_conn_why(g->dev, 0) == NBE_WHY_STOPPED);
	rig_close(g, 0);
	CHECK(g->work.stopped && g->work.open == 0);
	rig_end(g);
}

static void
test_stop_of_a_clean_device_needs_no_flush(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	CHECK(rig_command(g, 0).type == CMD_DISC);
	rig_close(g, 0);
	CHECK(g->work.stopped);
	rig_end(g);
}

static void
test_stop_without_requests_needs_no_server(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	rig_down(g, 0);
	nbe_stop(g->dev, true, g->now);
	rig_wait(g, 10 * NBE_SECOND);
	CHECK(g->work.stopped && g->work.open == 0);
	CHECK(rig_up(g, 0) == NBE_WHY_STOPPED);
	rig_end(g);
}

/* Also when a drain has begun. */
static void
test_stop_now(void)
{
	for (unsigned drain = 0; drain < 2; drain++) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct io *sent, *queued;

		g->cfg.depth = 1;
		rig_start(g);
		sent = rig_submit(g, NBE_WRITE, 0, 512, 0);
		queued = rig_submit(g, NBE_WRITE, 0, 512, 0);
		rig_send(g, 0);
		if (drain != 0)
			nbe_stop(g->dev, true, g->now);
		nbe_stop(g->dev, false, g->now);
		rig_work(g);
		CHECK(io_ended(queued, NBE_ESHUTDOWN) && !sent->done);
		CHECK(!g->work.stopped && rig_closing(g, 0));
		rig_close(g, 0);
		CHECK(io_ended(sent, NBE_ESHUTDOWN) && g->work.stopped);
		rig_end(g);
	}
}

/* All of a send is answered before the send call returns, and in between the device is
 * stopped. */
static void
check_stop_in_a_send(struct rig *g, unsigned flags, enum nbe_err end)
{
	struct nbe_seg seg[4];
	struct command c;
	struct io *o;
	unsigned n;

	g->cfg.keep_records = 2;
	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 4096, flags);
	n = nbe_tx_begin(g->dev, 0, seg, 4, g->now);
	rig_collect(g, 0, seg, n, UINT64_MAX);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	nbe_stop(g->dev, false, g->now);
	rig_work(g);
	CHECK(!o->done && rig_closing(g, 0));
	nbe_tx_end(g->dev, 0, g->sent[0].len, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(io_ended(o, end));
	rig_close(g, 0);
	CHECK(g->work.stopped);
	rig_end(g);
}

static void
test_stop_in_a_send(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	check_stop_in_a_send(g, NBE_FUA, NBE_OK);
	g = rig_new(NBE_STRUCTURED);		/* it would have to be flushed */
	g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FUA;
	check_stop_in_a_send(g, NBE_FUA, NBE_ESHUTDOWN);
	g = rig_new(NBE_STRUCTURED);
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 8192;
	check_stop_in_a_send(g, 0, NBE_OK);
	g = rig_new(NBE_STRUCTURED);		/* it cannot be kept */
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 1024;
	check_stop_in_a_send(g, 0, NBE_ESHUTDOWN);
}

static void
test_stop_waits_for_a_server(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_down(g, 0);
	nbe_stop(g->dev, true, g->now);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(rig_opens(g, 0) && !g->work.stopped);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK) && rig_closing(g, 0));
	rig_close(g, 0);
	CHECK(g->work.stopped);
	rig_end(g);
}

static void
test_point_63_disc_of_a_refused_connection(void)
{
	static const uint8_t want[28] = { 0x25, 0x60, 0x95, 0x13, 0, 0, 0, 2 };
	static const uint8_t want_ext[32] = { 0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 2 };
	uint8_t buf[32];

	CHECK(nbe_disc(buf, NBE_SIMPLE) == 28 && memcmp(buf, want, 28) == 0);
	CHECK(nbe_disc(buf, NBE_STRUCTURED) == 28 && memcmp(buf, want, 28) == 0);
	CHECK(nbe_disc(buf, NBE_EXTENDED) == 32 && memcmp(buf, want_ext, 32) == 0);
}

/* ---- after a device's death ---------------------------------------------------- */

#define COOKIE	UINT64_C(0x1122334455667788)
#define C	0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88

static const struct {
	enum nbe_heard heard;
	uint8_t bytes[16];
} last_answers[] = {
	{ NBE_HEARD_FLUSHED, { 0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0, C } },
	{ NBE_HEARD_REFUSED, { 0x67, 0x44, 0x66, 0x98, 0, 0, 0, 5, C } },
	{ NBE_HEARD_FLUSHED, { 0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 0, C } },
	{ NBE_HEARD_REFUSED, { 0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 1, C } },
	{ NBE_HEARD_REFUSED, { 0x66, 0x8e, 0x33, 0xef, 0, 0, 0, 0, C } },
	{ NBE_HEARD_FLUSHED, { 0x6e, 0x8a, 0x27, 0x8c, 0, 1, 0, 0, C } },
	{ NBE_HEARD_REFUSED, { 0x6e, 0x8a, 0x27, 0x8c, 0, 1, 0x80, 1, C } },
	{ NBE_HEARD_NOTHING, { 0x67, 0x44, 0x66, 0x99, 0, 0, 0, 0, C } },
	{ NBE_HEARD_NOTHING, { 0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0,
	    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x89 } },
};

static void
test_last_flush(void)
{
	static const uint8_t want[28] = { 0x25, 0x60, 0x95, 0x13, 0, 0, 0, 3, C };
	static const uint8_t want_ext[32] = { 0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 3, C };
	struct nbe_last_flush f;
	uint8_t buf[32];

	CHECK(nbe_last_flush(&f, COOKIE, NBE_SIMPLE, buf) == 28);
	CHECK(memcmp(buf, want, sizeof(want)) == 0);
	CHECK(nbe_last_flush(&f, COOKIE, NBE_EXTENDED, buf) == 32);
	CHECK(memcmp(buf, want_ext, sizeof(want_ext)) == 0);
}

/* Behind the rest of a message, in two pieces, cut anywhere. */
static void
test_last_flush_is_heard(void)
{
	static const uint8_t rest[] = {
		1, 2, 3, 0x67, 0x44, 0x66, 0x98, 0, 0, 0x11, 0x22,
	};
	uint8_t all[sizeof(rest) + 16], buf[32];

	memcpy(all, rest, sizeof(rest));
	for (size_t i = 0; i < sizeof(last_answers) / sizeof(last_answers[0]); i++) {
		memcpy(all + sizeof(rest), last_answers[i].bytes, 16);
		for (size_t cut = 0; cut < sizeof(all); cut++) {
			struct nbe_last_flush f;

			nbe_last_flush(&f, COOKIE, NBE_STRUCTURED, buf);
			CHECK(nbe_last_flush_hear(&f, all, cut) == NBE_HEARD_NOTHING);
			CHECK(nbe_last_flush_hear(&f, all + cut, sizeof(all) - cut) ==
			    last_answers[i].heard);
		}
	}
}

static void
test_between_commands(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_seg seg[4];

	rig_start(g);
	CHECK(nbe_can_flush_last(g->dev, 0));
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	CHECK(nbe_can_flush_last(g->dev, 0));
	CHECK(nbe_tx_begin(g->dev, 0, seg, 4, g->now) == 2);
	CHECK(!nbe_can_flush_last(g->dev, 0));
	nbe_tx_end(g->dev, 0, 28 + 100, NBE_WHY_NONE, g->now);
	CHECK(!nbe_can_flush_last(g->dev, 0));
	CHECK(nbe_tx_begin(g->dev, 0, seg, 4, g->now) == 1);
	nbe_tx_end(g->dev, 0, 412, NBE_WHY_NONE, g->now);
	CHECK(nbe_can_flush_last(g->dev, 0));
	rig_down(g, 0);
	CHECK(!nbe_can_flush_last(g->dev, 0));
	rig_end(g);
}

static void
test_nothing_after_goodbye(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	rig_start(g);
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	CHECK(nbe_can_flush_last(g->dev, 0));
	rig_send(g, 0);
	CHECK(g->sent[0].len == LEN_REQUEST && !nbe_can_flush_last(g->dev, 0));
	rig_end(g);
}

/* Of two connections the second one may reach a server that was restarted. */
static void
test_epoch(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	uint32_t epoch;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	epoch = nbe_epoch(g->dev);
	CHECK(nbe_can_flush_last(g->dev, 0));
	CHECK(rig_up(g, 1) == NBE_WHY_NONE && !nbe_can_flush_last(g->dev, 1));
	CHECK(nbe_epoch(g->dev) == epoch);
	rig_down(g, 0);
	CHECK(nbe_epoch(g->dev) != epoch && nbe_can_flush_last(g->dev, 1));
	rig_end(g);
}

/* ---- counters ------------------------------------------------------------ */

static void
test_counters(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;
	struct command c;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 1024, 0);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_READ, 1, 1, 0);		/* refused */
	nbe_stats(g->dev, &st);
	CHECK(st.conns_wanted == 1);
	CHECK(st.received == 3 && st.started == 0 && st.queued == 2);
	CHECK(st.op[NBE_READ].reqs == 1 && st.op[NBE_READ].errors == 1);
	c = rig_command(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.started == 2 && st.active == 2 && st.in_flight == 2 && st.queued == 0);
	CHECK(st.parts == 2 && st.replied == 0);
	rig_answer(g, 0, &c, 0);
	c = rig_take(g, 0);
	rig_answer(g, 0, &c, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.replied == 2 && st.active == 0 && st.in_flight == 0 && st.dirty);
	CHECK(st.started == 2);
	CHECK(st.op[NBE_READ].bytes == 1024 && st.op[NBE_WRITE].bytes == 512);
	CHECK(st.conns_up == 1 && st.conns_made == 1 && st.last_replied == g->now);
	rig_end(g);
}

/* The flush at the end is the engine's own: nobody has submitted it. */
static void
test_counters_without_the_own_flush(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;
	struct command c;

	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	c = rig_command(g, 0);
	nbe_stats(g->dev, &st);
	CHECK(c.type == CMD_FLUSH && st.received == 1 && st.started == 1);
	CHECK(st.active == 0 && st.in_flight == 1);
	rig_answer(g, 0, &c, 0);
	nbe_stats(g->dev, &st);
	CHECK(st.started == 1 && st.active == 0);
	rig_end(g);
}

static void
test_counters_of_aborted_requests(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	nbe_abort(g->dev, &g->io[0]->r, g->now);
	nbe_abort(g->dev, &g->io[1]->r, g->now);
	rig_work(g);
	nbe_stats(g->dev, &st);
	CHECK(st.aborted_started == 1 && st.aborted_queued == 1);
	CHECK(st.aborted_done == 2 && st.replied == 0 && st.active == 0);
	rig_end(g);
}

static void
read_that_takes(struct rig *g, nbe_time ns)
{
	struct command c;

	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	g->now += ns;
	rig_answer(g, 0, &c, 0);
}

/* A bucket's lower bound is at most a fifth below what fell into it. */
static void
test_latency_percentiles(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct nbe_stats st;
	uint64_t p50, p99, p100;

	rig_start(g);
	nbe_stats(g->dev, &st);
	CHECK(nbe_latency_ns(&st, NBE_READ, 500) == 0);
	for (unsigned i = 0; i < 98; i++)
		read_that_takes(g, 100000);
	read_that_takes(g, 5000000);
	read_that_takes(g, 70 * NBE_SECOND);
	nbe_stats(g->dev, &st);
	p50 = nbe_latency_ns(&st, NBE_READ, 500);
	p99 = nbe_latency_ns(&st, NBE_READ, 990);
	p100 = nbe_latency_ns(&st, NBE_READ, 1000);
	CHECK(p50 <= 100000 && p50 >= 80000);
	CHECK(p99 <= 5000000 && p99 >= 4000000);
	CHECK(p100 <= 70 * NBE_SECOND && p100 >= 56 * NBE_SECOND);
	CHECK(st.op[NBE_READ].latency_sum_ns == 98 * 100000 + 5000000 +
	    70 * NBE_SECOND);
	rig_end(g);
}

/* ---- memory -------------------------------------------------------------- */

static void
test_size_is_aligned_and_grows(void)
{
	struct nbe_dev_config cfg = { .conns_max = 1, .conns = 1, .depth = 1 };
	size_t last = 0;

	for (uint16_t conns = 1; conns <= NBE_MAX_CONNS; conns++)
		for (uint16_t depth = 1; depth < 8; depth++) {
			cfg.conns_max = conns;
			cfg.depth = depth;
			CHECK(nbe_dev_size(&cfg) % 16 == 0);
		}
	for (uint32_t records = 2; records < 100; records++) {
		cfg.unflushed = NBE_UNFLUSHED_REPLAY;
		cfg.keep_records = records;
		CHECK(nbe_dev_size(&cfg) % 16 == 0 && nbe_dev_size(&cfg) >= last);
		last = nbe_dev_size(&cfg);
	}
}

/* The block is used to its ends, and no further (sanitizers look on). */
static void
test_every_shape_works(void)
{
	static const uint16_t shapes[][2] = { { 1, 1 }, { 1, 1024 }, { 2, 3 },
		{ 3, 7 }, { 32, 1 } };

	for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct rig *g = rig_new(NBE_EXTENDED);

		g->cfg.conns_max = shapes[i][0];
		g->cfg.depth = shapes[i][1];
		rig_start(g);
		for (unsigned k = 0; k < 1500; k++)
			rig_submit(g, k % 2 ? NBE_READ : NBE_TRIM, 512 * k, 512, 0);
		rig_serve(g, 0);
		CHECK(g->done == 1500);
		rig_end(g);
	}
}

static const struct test tests[] = {
	TEST(point_60_94_contradictions),
	TEST(point_94_writable_again),
	TEST(point_58_one_connection_without_multi_conn),
	TEST(point_70_growth),
	TEST(backoff_grows_within_bounds),
	TEST(backoff_is_of_the_seed),
	TEST(backoff_ends_with_an_answer),
	TEST(point_99_101_command_time_out),
	TEST(point_101_the_oldest_decides),
	TEST(point_101_stalled_send),
	TEST(dead_timeout),
	TEST(dead_timeout_ends_retries),
	TEST(dead_timeout_in_spite_of_connections),
	TEST(dead_timeout_closes_silent_connections),
	TEST(valid_sees_a_broken_queue),
	TEST(unproven_connection_carries_nothing),
	TEST(last_proven_lost_is_a_restart),
	TEST(no_restart_while_one_proven_stays),
	TEST(point_63_scale_down_ends_with_disc),
	TEST(scale_up_asks_for_connections),
	TEST(point_63_64_stop_drains_flushes_and_says_disc),
	TEST(stop_of_a_clean_device_needs_no_flush),
	TEST(stop_without_requests_needs_no_server),
	TEST(stop_now),
	TEST(stop_in_a_send),
	TEST(stop_waits_for_a_server),
	TEST(point_63_disc_of_a_refused_connection),
	TEST(last_flush),
	TEST(last_flush_is_heard),
	TEST(between_commands),
	TEST(nothing_after_goodbye),
	TEST(epoch),
	TEST(counters),
	TEST(counters_without_the_own_flush),
	TEST(counters_of_aborted_requests),
	TEST(latency_percentiles),
	TEST(size_is_aligned_and_grows),
	TEST(every_shape_works),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
