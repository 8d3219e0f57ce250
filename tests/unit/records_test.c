/*
 * records_test.c - acknowledged, not flushed, and the device dies: another one goes on.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"
#include "harness.h"
#include "test.h"

#define FENCE	(10 * NBE_SECOND)

static struct rig *
prepare(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 16384;
	g->cfg.keep_records = 16;
	g->cfg.records = calloc(1, nbe_records_size(&g->cfg));
	return g;
}

static struct rig *
start(void)
{
	struct rig *g = prepare();

	rig_start(g);
	return g;
}

/* The device ends where it is; what outlives it goes to the next one. */
static struct rig *
bury(struct rig *dead)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	uint8_t *keep = malloc(dead->cfg.keep_size);

	g->cfg = dead->cfg;
	g->exp = dead->exp;
	g->cfg.inherit = true;
	g->cfg.old_paths = 1;
	memcpy(keep, dead->keep, dead->cfg.keep_size);
	rig_end(dead);
	rig_start_down(g);
	memcpy(g->keep, keep, g->cfg.keep_size);
	free(keep);
	return g;
}

static struct rig *
follow(struct rig *dead)
{
	struct rig *g = bury(dead);

	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	return g;
}

static void
end(struct rig *g)
{
	void *records = g->cfg.records;

	rig_end(g);
	free(records);
}

static struct io *
done(struct rig *g, enum nbe_op op, uint64_t off, uint64_t len, unsigned flags)
{
	struct io *o = rig_submit(g, op, off, len, flags);

	rig_serve(g, 0);
	return o;
}

/* What the one before had under way lands no more. */
static void
pass_fence(struct rig *g)
{
	struct command c = rig_command(g, 0);

	CHECK(c.type == CMD_READ && c.len == 512);
	rig_answer(g, 0, &c, 0);
	rig_wait(g, FENCE);
}

/* The next command, and no other. */
static void
replayed(struct rig *g, uint16_t type, uint64_t off, uint64_t len)
{
	struct command c = rig_command(g, 0);

	CHECK(c.type == type && c.off == off && c.len == len && rig_count(g, 0) == 0);
	for (uint64_t i = 0; c.type == CMD_WRITE && i < len; i++)
		CHECK(c.payload[i] == rig_data(off + i));
	rig_answer(g, 0, &c, 0);
}

static struct records *
records(const struct rig *g)
{
	return g->cfg.records;
}

/* ---- written again --------------------------------------------------------- */

static void
test_all_is_written_again_in_order(void)
{
	struct rig *g = start();
	struct io *flush;

	done(g, NBE_WRITE, 0, 1024, 0);
	done(g, NBE_TRIM, 512, 512, 0);
	done(g, NBE_ZERO, 512, 1024, NBE_NO_HOLE);
	done(g, NBE_WRITE, 1024, 512, 0);
	g = follow(g);
	CHECK(nbe_inherited(g->dev));
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 1024);
	replayed(g, CMD_TRIM, 512, 512);
	replayed(g, CMD_WRITE_ZEROES, 512, 1024);
	replayed(g, CMD_WRITE, 1024, 512);
	CHECK(!flush->done);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_OK));
	CHECK(records(g)->first == records(g)->last);
	end(g);
}

/* Until then reads of other places go on; of these, and changes, wait. */
static void
test_what_overlaps_waits(void)
{
	struct rig *g = start();
	struct io *other, *same, *change;

	done(g, NBE_WRITE, 0, 1024, 0);
	g = follow(g);
	same = rig_submit(g, NBE_READ, 512, 1024, 0);
	other = rig_submit(g, NBE_READ, 1024, 512, 0);
	change = rig_submit(g, NBE_WRITE, 8192, 512, 0);
	rig_serve(g, 0);
	CHECK(io_ended(other, NBE_OK) && !same->done && !change->done);
	rig_wait(g, FENCE);
	replayed(g, CMD_WRITE, 0, 1024);
	rig_serve(g, 0);
	CHECK(io_ended(same, NBE_OK) && io_ended(change, NBE_OK));
	end(g);
}

/* Its request was not acknowledged, so it comes again; its data is not there. */
static void
test_what_was_not_kept_is_left_out(void)
{
	struct rig *g = start();

	done(g, NBE_WRITE, 0, 512, 0);
	g->dies = true;
	done(g, NBE_WRITE, 512, 512, 0);
	done(g, NBE_WRITE, 0, 512, NBE_FUA);
	CHECK(records(g)->last == 3);
	for (unsigned deaths = 0; deaths < 3; deaths++) {
		g = follow(g);
		CHECK(nbe_inherited(g->dev));
	}
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 512);
	CHECK(rig_count(g, 0) == 0 && io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	end(g);
}

static void
test_nothing_was_kept(void)
{
	struct rig *g = start();
	struct nbe_stats st;

	g->dies = true;
	done(g, NBE_WRITE, 512, 512, 0);
	g = follow(g);
	nbe_stats(g->dev, &st);
	CHECK(nbe_inherited(g->dev) && !st.dirty && st.kept_bytes == 0);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	end(g);
}

/* What was made durable is on the disk, and nothing older is written over it. */
static void
test_the_durable_stays(void)
{
	struct rig *g = start();

	done(g, NBE_WRITE, 0, 1024, 0);
	done(g, NBE_WRITE, 512, 512, NBE_FUA);
	g = follow(g);
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 512);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	end(g);
}

/* The next one dies, too: in the middle, with newer changes of its own. */
static void
test_again_and_again(void)
{
	struct rig *g = start();

	done(g, NBE_WRITE, 0, 512, 0);
	done(g, NBE_WRITE, 0, 1024, 0);
	g = follow(g);
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 512);
	g = follow(g);
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 512);
	replayed(g, CMD_WRITE, 0, 1024);
	done(g, NBE_WRITE, 8192, 512, 0);
	g = follow(g);
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 512);
	CHECK(rig_command(g, 0).len == 1024 && rig_take(g, 0).off == 8192);
	end(g);
}

/* Places of the keep buffer are used round and round, and so are those of records. */
static void
test_full_and_round(void)
{
	struct rig *g = start();
	struct nbe_stats before, st;

	for (unsigned i = 0; i < 100; i++) {
		done(g, NBE_WRITE, 1024 * (i % 64), 512 + 512 * (i % 7), 0);
		nbe_stats(g->dev, &before);
		g = follow(g);
		CHECK(nbe_inherited(g->dev));
		nbe_stats(g->dev, &st);
		CHECK(st.kept_bytes <= before.kept_bytes && st.dirty == before.dirty);
		rig_wait(g, NBE_SECOND);
		rig_serve(g, 0);
		rig_wait(g, FENCE);
		rig_serve(g, 0);
		if (i % 5 == 4)
			CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	}
	end(g);
}

/* A flush was faster than who keeps the data, and another change has that place now. */
static void
test_kept_too_late(void)
{
	struct rig *g = start();
	struct io *late;

	g->dies = true;
	late = done(g, NBE_WRITE, 0, 512, 0);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	for (unsigned i = 1; i < g->cfg.keep_records; i++) {
		done(g, NBE_WRITE, 512, 512, 0);
		CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	}
	done(g, NBE_WRITE, 1024, 512, 0);
	CHECK(records(g)->first == 16 && records(g)->last == 17);
	nbe_kept(g->dev, &late->r);
	CHECK(!records(g)->at[0].kept);
	end(g);
}

/* ---- flushed after all ----------------------------------------------------- */

static void
test_an_old_connection_has_flushed(void)
{
	struct rig *g = start();
	struct io *flush, *read;

	done(g, NBE_WRITE, 0, 1024, 0);
	g = follow(g);
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	read = rig_submit(g, NBE_READ, 0, 1024, 0);
	rig_serve(g, 0);
	CHECK(!flush->done && !read->done);
	nbe_past_flushed(g->dev);
	rig_work(g);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_OK) && io_ended(read, NBE_OK));
	rig_wait(g, FENCE);
	CHECK(rig_count(g, 0) == 0 && records(g)->first == records(g)->last);
	end(g);
}

/* The replay has begun, or there are newer changes: these stay. */
static void
test_it_has_flushed_too_late(void)
{
	struct rig *g = start();
	struct command c;

	done(g, NBE_WRITE, 0, 1024, 0);
	g = follow(g);
	pass_fence(g);
	c = rig_command(g, 0);
	nbe_past_flushed(g->dev);
	CHECK(records(g)->last - records(g)->first == 1);
	rig_answer(g, 0, &c, 0);
	done(g, NBE_WRITE, 4096, 512, 0);
	nbe_past_flushed(g->dev);
	CHECK(records(g)->last - records(g)->first == 1);
	rig_down(g, 0);
	rig_wait(g, 12 * NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	replayed(g, CMD_WRITE, 4096, 512);
	end(g);
}

/* With any policy: a restart later loses nothing then. */
static void
test_without_records(void)
{
	for (unsigned flushed = 0; flushed < 2; flushed++) {
		struct rig *g = rig_new(NBE_STRUCTURED);

		g->cfg.inherit = true;
		rig_start(g);
		CHECK(!nbe_inherited(g->dev));
		if (flushed)
			nbe_past_flushed(g->dev);
		rig_down(g, 0);
		rig_wait(g, 12 * NBE_SECOND);
		CHECK(rig_up(g, 0) == NBE_WHY_NONE);
		CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0),
		    flushed ? NBE_OK : NBE_EIO));
		rig_end(g);
	}
}

/* ---- lost ------------------------------------------------------------------ */

/* The new server refuses what it is to get again. */
static struct rig *
start_with_loss(void)
{
	struct rig *g = start();
	struct command c;

	done(g, NBE_WRITE, 0, 1024, 0);
	rig_down(g, 0);
	rig_wait(g, 12 * NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_EIO);
	return g;
}

/* The front says so, until it has been said; what is there is written all the same. */
static void
test_a_loss_outlives_the_device(void)
{
	struct rig *g = follow(start_with_loss());

	CHECK(!nbe_inherited(g->dev));
	g = follow(g);
	CHECK(!nbe_inherited(g->dev));
	pass_fence(g);
	replayed(g, CMD_WRITE, 0, 1024);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK));
	done(g, NBE_WRITE, 0, 512, 0);
	g = follow(g);
	CHECK(nbe_inherited(g->dev));
	end(g);
}

/* The flush that says so may not have got to who waits for it. */
static void
test_a_loss_is_told_until_the_next_flush(void)
{
	struct rig *g = start_with_loss();

	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_EIO) && records(g)->lost);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK) && !records(g)->lost);
	end(g);
}

/* What could not be taken is still to be told if this one dies, too. */
static void
test_a_loss_of_the_records_outlives_the_device(void)
{
	struct rig *g = start();

	done(g, NBE_WRITE, 0, 1024, 0);
	memset(g->cfg.records, 0, nbe_records_size(&g->cfg));
	g = follow(g);
	CHECK(!nbe_inherited(g->dev));
	g = follow(g);
	CHECK(!nbe_inherited(g->dev));
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_OK) && !records(g)->lost);
	end(g);
	g = prepare();
	g->cfg.inherit = true;
	rig_start(g);
	nbe_past_flushed(g->dev);		/* nothing was lost after all */
	CHECK(!nbe_inherited(g->dev) && !records(g)->lost);
	end(g);
}

/* The failed flush may not have got to who waits, whatever the old server says. */
static void
test_a_late_answer_takes_back_no_loss(void)
{
	struct rig *g = prepare();

	g->cfg.inherit = true;
	rig_start(g);
	rig_down(g, 0);
	rig_wait(g, 12 * NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(io_ended(done(g, NBE_FLUSH, 0, 0, 0), NBE_EIO) && records(g)->lost);
	nbe_past_flushed(g->dev);
	CHECK(records(g)->lost);
	end(g);
}

/* ---- what is not believed -------------------------------------------------- */

/* Two writes, a trim and a write that is durable. */
static struct rig *
start_with_records(void)
{
	struct rig *g = start();

	done(g, NBE_WRITE, 0, 1024, 0);
	done(g, NBE_WRITE, 4096, 512, 0);
	done(g, NBE_TRIM, 512, 512, 0);
	done(g, NBE_WRITE, 0, 512, NBE_FUA);
	return g;
}

#define HEAD(field, value)	{ #field, offsetof(struct records, field), \
	sizeof(((struct records *)0)->field), (value) }
#define AT(i, field, value)	{ #i " " #field, offsetof(struct records, at) + \
	(i) * sizeof(struct record) + offsetof(struct record, field), \
	sizeof(((struct record *)0)->field), (value) }

static const struct bad {
	const char *name;
	size_t at, size;
	uint64_t value;
} bad[] = {
	HEAD(layout, 0), HEAD(layout, RECORDS_LAYOUT + 1), HEAD(record_size, 64),
	HEAD(room, 15), HEAD(room, 17), HEAD(keep_size, 16384 + 512),
	HEAD(keep_size, 8192), HEAD(first, 5), HEAD(first, UINT64_MAX - 11),
	HEAD(last, 17), HEAD(last, UINT64_MAX), HEAD(last, 5), HEAD(lost, 2),
	AT(0, op, NBE_READ), AT(0, op, NBE_FLUSH), AT(0, op, NBE_OPS), AT(0, op, 255),
	AT(0, op, NBE_ZERO), AT(2, op, NBE_WRITE), AT(2, op, NBE_READ),
	AT(0, flags, NBE_FUA),
	AT(0, kept, 2), AT(0, durable, 2), AT(0, durable, 1), AT(3, durable, 0),
	AT(0, given_up, 1), AT(0, given_up, 128),
	AT(0, off, 1), AT(0, off, MEGABYTE), AT(0, off, MEGABYTE - 512),
	AT(0, off, UINT64_MAX - 511), AT(0, len, 0), AT(0, len, 1000),
	AT(0, len, UINT64_MAX - 1023), AT(0, len, 32768), AT(0, len, 2048),
	AT(2, len, 2 * (uint64_t)MEGABYTE), AT(0, keep, 512), AT(0, keep, 16384),
	AT(0, keep, UINT64_MAX), AT(0, keep, UINT64_MAX - 1023), AT(1, keep, 0),
	AT(2, keep, 0), AT(0, keep_end, 0), AT(0, keep_end, UINT64_MAX),
	AT(0, keep_end, 1536), AT(1, keep_end, 512), AT(1, keep_end, 3 * 16384 + 1536),
	AT(2, keep_end, 2048), AT(3, keep_end, 1024),
};

static void
spoil(struct rig *g, const struct bad *b)
{
	uint8_t byte[8];

	memcpy(byte, &b->value, sizeof(byte));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	memcpy(byte, (const uint8_t *)&b->value + 8 - b->size, b->size);
#endif
	memcpy((uint8_t *)g->cfg.records + b->at, byte, b->size);
}

static void
test_nothing_bad_is_believed(void)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rig *g = start_with_records();
		bool dropped;

		spoil(g, &bad[i]);
		g = follow(g);
		dropped = !nbe_inherited(g->dev) && records(g)->lost &&
		    records(g)->first == records(g)->last;
		if (!dropped)
			printf("# believed: %s %llu\n", bad[i].name,
			    (unsigned long long)bad[i].value);
		CHECK(dropped && nbe_dev_valid(g->dev));
		end(g);
	}
}

/* Two writes: where the data of the first one ends, and that of the other one is. */
static bool
is_believed(uint64_t first_end, uint64_t keep, uint64_t keep_end)
{
	struct rig *g = start();
	bool believed;

	done(g, NBE_WRITE, 0, 1024, 0);
	done(g, NBE_WRITE, 2048, 1024, 0);
	records(g)->at[0].keep = first_end - 1024;
	records(g)->at[0].keep_end = first_end;
	records(g)->at[1].keep = keep;
	records(g)->at[1].keep_end = keep_end;
	g = follow(g);
	believed = nbe_inherited(g->dev);
	end(g);
	return believed;
}

static void
test_where_data_is_not_believed(void)
{
	CHECK(is_believed(1024, 1024, 2048) && is_believed(15360, 0, 16384 + 1024));
	CHECK(!is_believed(1024, 512, 1536));			/* it is the other's */
	CHECK(!is_believed(15360, 15872, 15872 + 1024));	/* in two pieces */
}

/* Each of them could be; so many cannot. */
static void
test_too_much_is_not_believed(void)
{
	struct rig *g = start();

	done(g, NBE_TRIM, 512, 512, 0);
	for (unsigned i = 1; i < g->cfg.keep_records; i++)
		records(g)->at[i] = records(g)->at[0];
	records(g)->last = g->cfg.keep_records + 1;
	g = follow(g);
	CHECK(!nbe_inherited(g->dev));
	end(g);
	g = start_with_records();
	for (unsigned i = 1; i < 4; i++)
		records(g)->at[i].keep_end += g->cfg.keep_size;
	g = follow(g);
	CHECK(!nbe_inherited(g->dev));
	end(g);
}

static void
test_what_is_good_is_taken(void)
{
	struct rig *g = follow(start_with_records());
	struct nbe_stats st;

	nbe_stats(g->dev, &st);
	CHECK(nbe_inherited(g->dev) && st.dirty && st.kept_bytes == 1536);
	CHECK(records(g)->last == 4 && records(g)->first == 0);
	end(g);
}

/* Another server's limits: of records that it cannot do none is taken. */
static void
test_another_export(void)
{
	for (unsigned i = 0; i < 3; i++) {
		struct rig *g = start_with_records();

		if (i == 0)
			g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_TRIM;
		if (i == 1)
			g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FLUSH;
		if (i == 2)
			g->exp.block_min = 4096;
		g = follow(g);
		CHECK(!nbe_inherited(g->dev) && records(g)->first == records(g)->last);
		end(g);
	}
}

static const struct test tests[] = {
	TEST(all_is_written_again_in_order),
	TEST(what_overlaps_waits),
	TEST(what_was_not_kept_is_left_out),
	TEST(nothing_was_kept),
	TEST(the_durable_stays),
	TEST(again_and_again),
	TEST(full_and_round),
	TEST(kept_too_late),
	TEST(an_old_connection_has_flushed),
	TEST(it_has_flushed_too_late),
	TEST(without_records),
	TEST(a_loss_outlives_the_device),
	TEST(a_loss_is_told_until_the_next_flush),
	TEST(a_loss_of_the_records_outlives_the_device),
	TEST(a_late_answer_takes_back_no_loss),
	TEST(nothing_bad_is_believed),
	TEST(where_data_is_not_believed),
	TEST(too_much_is_not_believed),
	TEST(what_is_good_is_taken),
	TEST(another_export),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
