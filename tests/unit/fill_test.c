/*
 * fill_test.c - more connections never cost, and a server that needs them gets them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Servers of each kind, on a clock of their own.  Which connections carry commands?
 */
#include "harness.h"
#include "test.h"

#define CONNS		4u
#define LOAD		32u
#define MICROSECOND	(NBE_SECOND / 1000000)

/* How long a command takes; alone on its connection (serial), or beside the others. */
struct server {
	nbe_time	takes;
	bool		serial;
};

static struct rig *
start(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->cfg.conns_max = g->cfg.conns = CONNS;
	g->cfg.depth = 128;
	rig_start(g);
	for (unsigned i = 1; i < CONNS; i++)
		(void)rig_up(g, i);
	rig_submit(g, NBE_READ, 0, 512, 0);
	rig_send(g, 0);
	rig_wait(g, MICROSECOND);
	rig_serve(g, 0);
	return g;
}

static void
send_all(struct rig *g)
{
	for (unsigned i = 0; i < CONNS; i++)
		rig_send(g, i);
}

/* Answers n commands of the connection, and asks for as many more. */
static void
answer(struct rig *g, unsigned conn, unsigned n)
{
	while (n-- > 0 && rig_count(g, conn) != 0) {
		struct command c = rig_take(g, conn);

		rig_answer(g, conn, &c, 0);
		rig_submit(g, NBE_READ, 0, 512, 0);
	}
}

/* One turn of the server: a serial one answers one command of each connection, another
 * one all that were there, which came at about the same time. */
static void
turn(struct rig *g, const struct server *s)
{
	unsigned had[CONNS];

	rig_wait(g, s->takes);
	for (unsigned i = 0; i < CONNS; i++)
		had[i] = rig_count(g, i);
	for (unsigned i = 0; i < CONNS; i++)
		answer(g, i, s->serial ? 1 : had[i]);
	send_all(g);
}

/* Connections that carry commands, after so many turns with 32 commands under way. */
static unsigned
used_after(struct rig *g, const struct server *s, unsigned turns)
{
	unsigned used = 0;

	for (unsigned i = 0; i < turns; i++)
		turn(g, s);
	for (unsigned i = 0; i < CONNS; i++)
		used += rig_count(g, i) != 0;
	return used;
}

static void
load(struct rig *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rig_submit(g, NBE_READ, 0, 512, 0);
	send_all(g);
}

static void
test_each_kind_of_server(void)
{
	static const struct {
		struct server server;
		unsigned used;
	} kinds[] = {
		{ { 30 * MICROSECOND, false }, 1 },	/* all at once, and soon */
		{ { 300 * MICROSECOND, false }, 1 },	/* all at once, not so soon */
		{ { 1000 * MICROSECOND, false }, CONNS },	/* and late */
		{ { 3 * MICROSECOND, true }, 1 },	/* one by one, but fast */
		{ { 10 * MICROSECOND, true }, 2 },	/* and not so fast */
		{ { 1000 * MICROSECOND, true }, CONNS },
		{ { 100 * MICROSECOND, true }, CONNS },
	};

	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		struct rig *g = start();

		load(g, LOAD);
		CHECK(used_after(g, &kinds[i].server, 60) == kinds[i].used);
		rig_end(g);
	}
}

/* A serial server that takes a millisecond gets as much of it as there are connections:
 * none is idle while another has two. */
static void
test_no_connection_is_idle_beside_a_queue(void)
{
	static const struct server slow = { 1000 * MICROSECOND, true };
	struct rig *g = start();

	load(g, LOAD);
	CHECK(used_after(g, &slow, 60) == CONNS);
	for (unsigned i = 0; i < CONNS; i++)
		CHECK(rig_count(g, i) == LOAD / CONNS);
	rig_end(g);
}

/* It changes its mind when the server does, both ways, and soon. */
static void
test_it_adapts(void)
{
	static const struct server slow = { 1000 * MICROSECOND, true };
	static const struct server fast = { 30 * MICROSECOND, false };
	struct rig *g = start();

	load(g, LOAD);
	CHECK(used_after(g, &fast, 40) == 1);
	CHECK(used_after(g, &slow, 60) == CONNS);
	CHECK(used_after(g, &fast, 60) == 1);
	rig_end(g);
}

/* A command that is alone waits for the way there and back, which is no pace. */
static void
test_one_at_a_time_tells_no_pace(void)
{
	static const struct server far = { 150 * MICROSECOND, false };
	static const struct server fast = { 30 * MICROSECOND, false };
	struct rig *g = start();

	rig_submit(g, NBE_READ, 0, 512, 0);
	send_all(g);
	CHECK(used_after(g, &far, 40) == 1);
	load(g, LOAD);
	CHECK(used_after(g, &fast, 1) == 1);
	rig_end(g);
}

/* The machine, or the server, stood still for once. */
static void
test_a_standstill_is_forgotten(void)
{
	static const struct server fast = { 30 * MICROSECOND, false };
	static const struct server still = { 100000 * MICROSECOND, false };
	struct rig *g = start();

	load(g, LOAD);
	CHECK(used_after(g, &fast, 40) == 1);
	CHECK(used_after(g, &still, 1) == 1);
	CHECK(used_after(g, &fast, 1) == 1);
	rig_end(g);
}

/* One slow answer among many fast ones changes nothing. */
static void
test_it_does_not_flap(void)
{
	static const struct server fast = { 30 * MICROSECOND, false };
	static const struct server hiccup = { 300 * MICROSECOND, false };
	struct rig *g = start();

	load(g, LOAD);
	CHECK(used_after(g, &fast, 40) == 1);
	for (unsigned i = 0; i < 20; i++) {
		CHECK(used_after(g, &hiccup, 1) == 1);
		CHECK(used_after(g, &fast, 10) == 1);
	}
	rig_end(g);
}

/* Where our own sends take long, answers come as slowly, and are fast all the same. */
static void
test_a_slow_machine_fills_as_a_fast_one(void)
{
	static const struct server fast = { 60 * MICROSECOND, true };
	static const struct server slow = { 1000 * MICROSECOND, true };
	struct rig *g = start();

	g->send_time = 40 * MICROSECOND;
	load(g, 8);
	CHECK(used_after(g, &fast, 60) == 1);
	CHECK(used_after(g, &slow, 60) == CONNS);
	for (unsigned i = 0; i < CONNS; i++)
		CHECK(rig_count(g, i) == 8 / CONNS);
	rig_end(g);
}

/* However slow it is, a connection is not filled for longer than 2 ms. */
static void
test_a_machine_is_not_slow_without_end(void)
{
	static const struct server server = { 500 * MICROSECOND, true };
	struct rig *g = start();

	g->send_time = 500 * MICROSECOND;
	load(g, 8);
	CHECK(used_after(g, &server, 60) == CONNS);
	rig_end(g);
}

static const struct test tests[] = {
	TEST(each_kind_of_server),
	TEST(no_connection_is_idle_beside_a_queue),
	TEST(it_adapts),
	TEST(one_at_a_time_tells_no_pace),
	TEST(a_standstill_is_forgotten),
	TEST(it_does_not_flap),
	TEST(a_slow_machine_fills_as_a_fast_one),
	TEST(a_machine_is_not_slow_without_end),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
