/*
 * late_test.c - when a connection is given up, and how much it may owe.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Slow is not dead: time-outs count from the last byte that moved.
 */
#include "harness.h"
#include "test.h"

#define TIMEOUT		(5 * NBE_SECOND)

static struct rig *
start(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->cfg.timeout = TIMEOUT;
	rig_start(g);
	return g;
}

static struct command
sent_read(struct rig *g, uint64_t off, uint64_t len)
{
	rig_submit(g, NBE_READ, off, len, 0);
	return rig_command(g, 0);
}

/* A reply that trickles in, byte by byte, ahead or direct. */
static void
test_bytes_that_come_put_it_off(void)
{
	static const struct way ways[] = { { 1, 0 }, { 1, 4 } };

	for (unsigned i = 0; i < 2; i++) {
		struct rig *g = start();
		struct command c = sent_read(g, 0, 512);
		struct bytes b = { 0 };

		reply_simple(&b, &c, 0);
		add_data(&b, 0, 512);
		for (size_t at = 0; at < b.len; at++) {
			rig_wait(g, TIMEOUT - 1);
			CHECK(!rig_closing(g, 0));
			rig_receive(g, 0, b.at + at, 1, ways[i]);
		}
		CHECK(io_ended(g->io[0], NBE_OK));
		bytes_free(&b);
		rig_end(g);
	}
}

static void
test_silence_in_a_reply_is_late(void)
{
	struct rig *g = start();
	struct command c = sent_read(g, 0, 512);
	struct bytes b = { 0 };

	reply_simple(&b, &c, 0);
	add_data(&b, 0, 512);
	rig_wait(g, TIMEOUT - 1);
	rig_receive(g, 0, b.at, 100, (struct way){ 100, 0 });
	CHECK(nbe_wake(g->dev, g->now) == g->now + TIMEOUT);
	rig_wait(g, TIMEOUT - 1);
	CHECK(!rig_closing(g, 0));
	rig_wait(g, 1);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	bytes_free(&b);
	rig_end(g);
}

/* Error chunks may come without end, and must not be waited for; data behind one is as
 * good as any. */
static void
test_errors_without_end_are_late(void)
{
	static const struct way way = { 4096, 4 };
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct bytes b = { 0 };

	g->cfg.timeout = TIMEOUT;
	rig_start(g);
	c = sent_read(g, 0, 1024);
	reply_error(&b, g, &c, 0, WIRE_EIO, "again");
	rig_wait(g, TIMEOUT - 1);
	rig_receive(g, 0, b.at, b.len, way);
	CHECK(!rig_closing(g, 0));
	bytes_free(&b);
	reply_data(&b, g, &c, 0, 0, 512);
	rig_receive(g, 0, b.at, b.len, way);
	rig_wait(g, TIMEOUT - 1);
	CHECK(!rig_closing(g, 0));
	bytes_free(&b);
	reply_error(&b, g, &c, 0, WIRE_EIO, "and again");
	for (unsigned i = 0; i < 3; i++)
		rig_receive(g, 0, b.at, b.len, way);
	rig_wait(g, 1);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	bytes_free(&b);
	rig_end(g);
}

/* The front says that the peer has taken bytes; what its own system took is nothing. */
static void
test_bytes_that_the_peer_takes_put_it_off(void)
{
	struct rig *g = start();

	rig_submit(g, NBE_WRITE, 0, 65536, 0);
	rig_send_some(g, 0, RIG_SEGS, 4096);
	rig_wait(g, TIMEOUT - 1);
	nbe_moved(g->dev, 0, g->now);
	rig_wait(g, TIMEOUT - 1);
	CHECK(!rig_closing(g, 0));
	rig_send_some(g, 0, RIG_SEGS, 4096);
	rig_wait(g, 1);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	rig_end(g);
}

/* Nothing is owed: the time begins with the next command. */
static void
test_idle_time_does_not_count(void)
{
	struct rig *g = start();

	rig_wait(g, 3600 * NBE_SECOND);
	CHECK(!rig_closing(g, 0) && nbe_wake(g->dev, g->now) == NBE_NEVER);
	(void)sent_read(g, 0, 512);
	rig_wait(g, TIMEOUT - 1);
	CHECK(!rig_closing(g, 0));
	rig_wait(g, 1);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	rig_end(g);
}

/* Each second another read is answered, of so many bytes.  After how many of them is
 * the connection given up? */
static unsigned
seconds_until_late(struct rig *g, uint64_t len, unsigned most)
{
	for (unsigned n = 0; n <= most; n++) {
		struct command c;

		if (rig_closing(g, 0)) {
			rig_close(g, 0);
			return n;
		}
		rig_wait(g, NBE_SECOND);
		if (rig_closing(g, 0))
			continue;
		c = sent_read(g, 65536, len);
		rig_answer(g, 0, &c, 0);
	}
	return most + 1;
}

static void
test_a_forgotten_command_is_late(void)
{
	static const struct {
		enum nbe_op op;
		uint64_t len, others;
		unsigned seconds;
	} forgotten[] = {
		{ NBE_READ, 512, 512, 16 },	/* three time-outs after the first */
		{ NBE_READ, 512, 4096, 16 },
		{ NBE_READ, 4096, 512, 51 },	/* ten: these are less work */
		{ NBE_WRITE, 512, 512, 51 },
		{ NBE_FLUSH, 0, 512, 51 },
	};

	for (unsigned i = 0; i < sizeof forgotten / sizeof forgotten[0]; i++) {
		struct rig *g = start();

		rig_submit(g, forgotten[i].op, 0, forgotten[i].len, 0);
		(void)rig_command(g, 0);
		CHECK(seconds_until_late(g, forgotten[i].others, 100) ==
		    forgotten[i].seconds);
		rig_end(g);
	}
}

/* What is slow, and answered in the end, is not forgotten; nor is the next one. */
static void
test_an_overtaken_command_may_be_answered(void)
{
	struct rig *g = start();

	for (unsigned i = 0; i < 4; i++) {
		struct command c = sent_read(g, 0, 512);

		CHECK(seconds_until_late(g, 512, 14) == 15);
		rig_answer(g, 0, &c, 0);
	}
	(void)sent_read(g, 0, 512);
	CHECK(seconds_until_late(g, 512, 100) == 16);	/* and this one is */
	rig_end(g);
}

/* All at once, and the first is answered last: that alone is no overtaking. */
static void
test_a_batch_in_any_order(void)
{
	struct rig *g = start();
	struct command c[8];

	for (unsigned i = 0; i < 8; i++)
		rig_submit(g, NBE_READ, 512 * i, 512, 0);
	rig_send(g, 0);
	for (unsigned i = 0; i < 8; i++)
		c[i] = rig_take(g, 0);
	for (unsigned i = 8; i-- > 0;) {
		rig_wait(g, 4 * NBE_SECOND);
		CHECK(!rig_closing(g, 0));
		rig_answer(g, 0, &c[i], 0);
	}
	CHECK(g->done == 8);
	rig_end(g);
}

static void
test_times_beyond_all_times_never_come(void)
{
	static const nbe_time huge[] = { NBE_NEVER, NBE_NEVER - 1, NBE_NEVER / 2,
		NBE_NEVER / 9, NBE_NEVER / 3 + 1, NBE_NEVER / 10 + 1 };

	for (unsigned i = 0; i < sizeof huge / sizeof huge[0]; i++) {
		struct rig *g = rig_new(NBE_SIMPLE);

		g->cfg.timeout = g->cfg.dead_timeout = huge[i];
		g->cfg.backoff_max = huge[i];
		rig_start(g);
		rig_wait(g, 3600 * NBE_SECOND);
		(void)sent_read(g, 0, 512);
		CHECK(seconds_until_late(g, 512, 100) == 101);
		rig_down(g, 0);
		for (unsigned k = 0; k < 70; k++) {	/* the backoff doubles */
			nbe_time wake = nbe_wake(g->dev, g->now);

			CHECK(wake > g->now && !rig_opens(g, 0));
			if (wake - g->now > NBE_NEVER / 64)
				break;
			rig_wait(g, wake - g->now);
			CHECK(rig_opens(g, 0));
			rig_down(g, 0);
		}
		CHECK(!g->io[0]->done);
		rig_end(g);
	}
}

/* ---- how much at once ---------------------------------------------------------- */

static struct rig *
start_large(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->exp.size = 64 * MEGABYTE;
	g->cfg.depth = 128;
	rig_start(g);
	return g;
}

/* So many reads of 64 KiB are sent at once. */
static unsigned
sends(struct rig *g)
{
	for (unsigned i = 0; i < 128; i++)
		rig_submit(g, NBE_READ, 65536 * i, 65536, 0);
	rig_send(g, 0);
	return rig_count(g, 0);
}

static void
answer_after(struct rig *g, unsigned n, nbe_time wait)
{
	rig_wait(g, wait);
	while (n-- > 0) {
		struct command c = rig_take(g, 0);

		rig_answer(g, 0, &c, 0);
	}
}

static void
test_a_connection_begins_with_a_megabyte(void)
{
	struct rig *g = start_large();

	CHECK(sends(g) == 16);
	answer_after(g, 16, 0);		/* each lets one more go */
	rig_send(g, 0);
	CHECK(rig_count(g, 0) > 16 && rig_count(g, 0) <= 32);
	rig_serve(g, 0);
	CHECK(sends(g) > 64);
	rig_serve(g, 0);
	rig_end(g);
}

static void
test_slow_answers_leave_less(void)
{
	struct rig *g = start_large();

	CHECK(sends(g) == 16);
	answer_after(g, 16, 3 * NBE_SECOND);	/* one lesson, not sixteen */
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 8);
	for (unsigned i = 0; i < 8; i++) {
		answer_after(g, rig_count(g, 0), 3 * NBE_SECOND);
		rig_send(g, 0);
	}
	CHECK(rig_count(g, 0) == 1);		/* one is always possible */
	rig_serve(g, 0);
	rig_end(g);
}

static void
test_commands_without_payload_do_not_count(void)
{
	struct rig *g = start_large();

	for (unsigned i = 0; i < 100; i++)
		rig_submit(g, NBE_TRIM, 0, 4 * MEGABYTE, 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 100);
	rig_serve(g, 0);
	rig_end(g);
}

static const struct test tests[] = {
	TEST(bytes_that_come_put_it_off),
	TEST(silence_in_a_reply_is_late),
	TEST(errors_without_end_are_late),
	TEST(bytes_that_the_peer_takes_put_it_off),
	TEST(idle_time_does_not_count),
	TEST(a_forgotten_command_is_late),
	TEST(an_overtaken_command_may_be_answered),
	TEST(a_batch_in_any_order),
	TEST(times_beyond_all_times_never_come),
	TEST(a_connection_begins_with_a_megabyte),
	TEST(slow_answers_leave_less),
	TEST(commands_without_payload_do_not_count),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
