/*
 * renew_test.c - connections that are kept, made anew, or see that the disk has grown.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "harness.h"
#include "test.h"

static struct rig *
start(uint16_t conns)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.conns_max = g->cfg.conns = conns;
	g->cfg.unflushed = NBE_UNFLUSHED_FAIL;
	rig_start(g);
	for (unsigned i = 1; i < conns; i++)
		(void)rig_up(g, i);
	rig_submit(g, NBE_READ, 0, 512, 0);	/* proves the others */
	rig_serve(g, 0);
	return g;
}

static uint64_t
restarts(const struct rig *g)
{
	struct nbe_stats st;

	nbe_stats(g->dev, &st);
	return st.restarts;
}

/* The connection says DISC; the front closes it and makes it anew. */
static void
disc(struct rig *g, unsigned conn)
{
	struct command c = rig_command(g, conn);

	CHECK(c.type == CMD_DISC);
	CHECK(nbe_conn_in_order(g->dev, conn));
	CHECK(rig_closing(g, conn) && nbe_conn_why(g->dev, conn) == NBE_WHY_RENEWED);
	rig_close(g, conn);
}

/* At once: nobody failed. */
static void
make_anew(struct rig *g, unsigned conn)
{
	CHECK(rig_opens(g, conn) && rig_up(g, conn) == NBE_WHY_NONE);
}

static void
flush_is_fine(struct rig *g, unsigned conn)
{
	struct io *o = rig_submit(g, NBE_FLUSH, 0, 0, 0);

	rig_serve(g, conn);
	CHECK(io_ended(o, NBE_OK) && restarts(g) == 0);
}

/* ---- scale --------------------------------------------------------------- */

/* Those that are up are kept, and of these the proven ones. */
static void
test_scale_down_keeps_what_is_up(void)
{
	struct rig *g = start(3);
	struct io *o;

	rig_down(g, 0);
	o = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 1);
	CHECK(io_ended(o, NBE_OK));
	rig_wait(g, 2 * NBE_SECOND);
	(void)rig_up(g, 0);			/* not proven */
	nbe_scale(g->dev, 1, g->now);
	rig_work(g);
	CHECK(rig_command(g, 2).type == CMD_DISC);
	CHECK(rig_command(g, 0).type == CMD_DISC);
	rig_close(g, 0);
	rig_close(g, 2);
	rig_wait(g, 100 * NBE_SECOND);
	CHECK(g->work.open == 0);
	flush_is_fine(g, 1);
	nbe_scale(g->dev, 3, g->now);
	rig_work(g);
	CHECK(g->work.open == 5);
	rig_end(g);
}

/* ---- renewal ------------------------------------------------------------- */

/* The last connection: what is under way is finished, what is acknowledged flushed, and
 * what comes meanwhile waits. */
static void
test_the_last_one_is_renewed_when_all_is_flushed(void)
{
	struct rig *g = start(1);
	struct io *busy, *acked, *later;
	struct command c;

	acked = rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	busy = rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	nbe_renew(g->dev, 0);
	rig_work(g);
	later = rig_submit(g, NBE_WRITE, 512, 512, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(busy, NBE_OK) && io_ended(acked, NBE_OK));
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	disc(g, 0);
	CHECK(!later->done);
	make_anew(g, 0);
	rig_serve(g, 0);
	CHECK(io_ended(later, NBE_OK));
	flush_is_fine(g, 0);
	rig_end(g);
}

static void
test_nothing_to_flush(void)
{
	struct rig *g = start(1);

	nbe_renew(g->dev, 0);
	rig_work(g);
	disc(g, 0);
	make_anew(g, 0);
	flush_is_fine(g, 0);
	rig_end(g);
}

/* Where the flush fails, it is as with any loss: the next flush tells. */
static void
test_the_last_one_after_a_flush_that_failed(void)
{
	struct rig *g = start(1);
	struct command c;
	struct io *o;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	nbe_renew(g->dev, 0);
	rig_work(g);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, WIRE_EIO);
	disc(g, 0);
	make_anew(g, 0);
	o = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_EIO) && restarts(g) == 1);
	rig_end(g);
}

/* While there are others, they go on, and nothing is flushed. */
static void
test_one_of_several_while_others_go_on(void)
{
	struct rig *g = start(2);
	struct command c;
	struct io *o;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 1);
	nbe_renew(g->dev, 1);
	rig_work(g);
	rig_work(g);
	o = rig_submit(g, NBE_WRITE, 512, 512, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));		/* while the other finishes */
	rig_answer(g, 1, &c, 0);
	disc(g, 1);
	make_anew(g, 1);
	flush_is_fine(g, 0);
	rig_end(g);
}

/* One after the other, the last of them after a flush. */
static void
test_reconnect_renews_all(void)
{
	struct rig *g = start(3);
	struct command c;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	CHECK(!nbe_renewing(g->dev));
	nbe_reconnect(g->dev, g->now);
	rig_work(g);
	rig_work(g);
	rig_send(g, 1);
	CHECK(rig_count(g, 1) == 0);	/* one after the other */
	disc(g, 0);
	disc(g, 1);			/* the server lets nobody in for now */
	c = rig_command(g, 2);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 2, &c, 0);
	CHECK(nbe_renewing(g->dev));
	disc(g, 2);
	CHECK(!nbe_renewing(g->dev));
	for (unsigned i = 0; i < 3; i++)
		make_anew(g, i);
	flush_is_fine(g, 0);
	rig_wait(g, NBE_SECOND);
	CHECK(g->work.tx == 0 && g->work.close == 0);
	rig_end(g);
}

/* It is lost on the way: nothing hangs. */
static void
test_loss_during_a_renewal(void)
{
	struct rig *g = start(1);
	struct io *o;

	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_serve(g, 0);
	nbe_renew(g->dev, 0);
	rig_work(g);
	rig_send(g, 0);			/* the flush */
	CHECK(!nbe_conn_in_order(g->dev, 0));
	o = rig_submit(g, NBE_READ, 0, 512, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	make_anew(g, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
	rig_end(g);
}

/* ---- growth -------------------------------------------------------------- */

/* It is told when all have it; those that do not are renewed. */
static void
test_growth_is_told_when_all_have_it(void)
{
	struct rig *g = start(3);
	struct io *o;

	rig_down(g, 1);
	rig_wait(g, 2 * NBE_SECOND);
	g->exp.size = 2 * MEGABYTE;
	CHECK(rig_up(g, 1) == NBE_WHY_NONE);
	CHECK(!g->resized && nbe_dev_export(g->dev)->size == MEGABYTE);
	CHECK(io_ended(rig_submit(g, NBE_READ, MEGABYTE, 512, 0), NBE_EINVAL));
	disc(g, 0);
	make_anew(g, 0);
	CHECK(!g->resized);
	disc(g, 2);
	CHECK(g->resized && nbe_dev_export(g->dev)->size == 2 * MEGABYTE);
	make_anew(g, 2);
	for (unsigned i = 0; i < 3; i++) {
		o = rig_submit(g, NBE_READ, 2 * MEGABYTE - 512, 512, 0);
		rig_serve(g, i);
		rig_serve(g, 0);
		CHECK(io_ended(o, NBE_OK));
	}
	rig_end(g);
}

/* Two servers of different sizes behind one address: who comes back small is left
 * alone, and nothing is promised. */
static void
test_no_growth_where_servers_differ(void)
{
	struct rig *g = start(3);

	rig_down(g, 1);
	rig_wait(g, 2 * NBE_SECOND);
	g->exp.size = 2 * MEGABYTE;
	CHECK(rig_up(g, 1) == NBE_WHY_NONE);
	g->exp.size = MEGABYTE;
	disc(g, 0);
	make_anew(g, 0);
	disc(g, 2);
	make_anew(g, 2);
	rig_wait(g, 60 * NBE_SECOND);
	for (unsigned i = 0; i < 3; i++) {
		rig_send(g, i);
		CHECK(rig_count(g, i) == 0);
	}
	CHECK(!g->resized && g->work.close == 0);
	rig_end(g);
}

static void
test_growth_by_reconnect(void)
{
	struct rig *g = start(1);

	g->exp.size = 2 * MEGABYTE;
	nbe_reconnect(g->dev, g->now);
	rig_work(g);
	disc(g, 0);
	make_anew(g, 0);
	CHECK(g->resized && nbe_dev_export(g->dev)->size == 2 * MEGABYTE);
	flush_is_fine(g, 0);
	rig_end(g);
}

static const struct test tests[] = {
	TEST(scale_down_keeps_what_is_up),
	TEST(the_last_one_is_renewed_when_all_is_flushed),
	TEST(nothing_to_flush),
	TEST(the_last_one_after_a_flush_that_failed),
	TEST(one_of_several_while_others_go_on),
	TEST(reconnect_renews_all),
	TEST(loss_during_a_renewal),
	TEST(growth_is_told_when_all_have_it),
	TEST(no_growth_where_servers_differ),
	TEST(growth_by_reconnect),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
