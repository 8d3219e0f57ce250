/*
 * sampler_test.c - which blocks are remembered, and what makes another disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The engine is played: what is submitted waits until the test answers it.
 */
#include <string.h>

#include "ring.h"
#include "sampler.h"
#include "test.h"

#define BLOCK	4096u
#define BLOCKS	64u

static struct {
	struct nbe_req	*read[SAMPLES];		/* submitted, to be compared */
	unsigned	reads;
	uint32_t	compared;		/* number; 0: not said */
	bool		same;
} engine;

void
nbe_submit(struct nbe_dev *dev, struct nbe_req *r, nbe_time now)
{
	(void)dev;
	(void)now;
	CHECK(r->op == NBE_READ && r->flags == NBE_COMPARE && r->length == BLOCK);
	engine.read[engine.reads++] = r;
}

void
nbe_compared(struct nbe_dev *dev, uint32_t number, bool same)
{
	(void)dev;
	engine.compared = number;
	engine.same = same;
}

/* ---- a disk --------------------------------------------------------------- */

static struct sampler *s;
static uint8_t disk[BLOCKS][BLOCK];
static unsigned differences;
static nbe_time now;

static void
different(void *arg)
{
	(void)arg;
	differences++;
}

static void
begin(void)
{
	memset(&engine, 0, sizeof engine);
	differences = 0;
	now = NBE_SECOND;
	for (unsigned i = 0; i < BLOCKS; i++)
		memset(disk[i], (int)i, BLOCK);		/* block 0 is zeroes */
	s = sampler_new(NULL, 512);
	sampler_on_different(s, different, NULL);
}

static void
submit(struct disk_io *io, uint8_t op, unsigned block, unsigned blocks)
{
	*io = (struct disk_io){
		.req = {
			.op = op, .offset = (uint64_t)block * BLOCK,
			.length = op == NBE_FLUSH ? 0 : (uint64_t)blocks * BLOCK,
		},
		.data = disk[block],
	};
	sampler_submitted(s, io);
}

static void
done(struct disk_io *io, uint8_t error)
{
	io->req.error = error;
	sampler_done(s, io, now);
}

static void
all_of(uint8_t op, unsigned block)
{
	struct disk_io io;

	submit(&io, op, block, 1);
	done(&io, NBE_OK);
}

static void
compare(void)
{
	engine.reads = engine.compared = 0;
	CHECK(sampler_compare(s, 7, now));
}

/* All that is compared is read from the disk as it is. */
static void
answer(uint8_t error)
{
	for (unsigned i = 0; i < engine.reads; i++) {
		struct disk_io *io = container_of(engine.read[i], struct disk_io, req);

		memcpy(io->data, disk[io->req.offset / BLOCK], BLOCK);
		io->req.error = error;
		io->done(io);
	}
}

/* ---- what is remembered ---------------------------------------------------- */

static void
test_reads_of_a_clean_disk(void)
{
	begin();
	all_of(NBE_READ, 3);
	all_of(NBE_READ, 0);		/* zeroes */
	all_of(NBE_READ, 3);		/* once is enough */
	compare();
	CHECK(engine.reads == 1 && engine.read[0]->offset == 3 * BLOCK);
	CHECK(engine.compared == 0);
	answer(NBE_OK);
	CHECK(engine.compared == 7 && engine.same && differences == 0);
	sampler_free(s);
}

static void
test_nothing_to_compare(void)
{
	begin();
	compare();
	CHECK(engine.reads == 0 && engine.compared == 7 && engine.same);
	sampler_free(s);
}

static void
test_only_what_a_flush_covers(void)
{
	struct disk_io flush;

	begin();
	all_of(NBE_WRITE, 9);		/* a read may see it */
	all_of(NBE_READ, 9);
	submit(&flush, NBE_FLUSH, 0, 0);
	all_of(NBE_WRITE, 8);
	all_of(NBE_READ, 10);		/* after the flush has begun */
	done(&flush, NBE_OK);
	submit(&flush, NBE_FLUSH, 0, 0);
	done(&flush, NBE_EIO);
	compare();
	CHECK(engine.reads == 1 && engine.read[0]->offset == 9 * BLOCK);
	answer(NBE_OK);
	all_of(NBE_READ, 10);
	submit(&flush, NBE_FLUSH, 0, 0);
	all_of(NBE_READ, 11);
	done(&flush, NBE_OK);
	compare();
	CHECK(engine.reads == 2 && engine.read[0]->offset == 9 * BLOCK &&
	    engine.read[1]->offset == 10 * BLOCK);
	answer(NBE_OK);
	CHECK(engine.same);
	sampler_free(s);
}

/* A read beside a change may have seen either. */
static void
test_changes_drop(void)
{
	static const uint8_t changes[] = { NBE_WRITE, NBE_ZERO, NBE_TRIM };
	struct disk_io change;

	for (unsigned i = 0; i < sizeof changes; i++) {
		begin();
		all_of(NBE_READ, 3);
		all_of(NBE_READ, 6);
		submit(&change, changes[i], 3, 1);
		all_of(NBE_READ, 3);
		done(&change, NBE_OK);
		all_of(NBE_FLUSH, 0);
		compare();
		CHECK(engine.reads == 1 && engine.read[0]->offset == 6 * BLOCK);
		answer(NBE_OK);
		sampler_free(s);
	}
}

/* A restart may have lost what a read saw, and a later flush does not bring it back. */
static void
test_what_a_restart_may_lose(void)
{
	begin();
	all_of(NBE_WRITE, 3);
	all_of(NBE_READ, 3);
	compare();
	CHECK(engine.reads == 0 && engine.same);
	all_of(NBE_FLUSH, 0);
	compare();
	CHECK(engine.reads == 0);
	all_of(NBE_READ, 3);
	compare();
	CHECK(engine.reads == 1);
	answer(NBE_OK);
	sampler_free(s);
}

/* The server did the read first, and its answer came last. */
static void
test_a_read_that_comes_late(void)
{
	struct disk_io old, change;

	begin();
	submit(&old, NBE_READ, 3, 1);
	submit(&change, NBE_WRITE, 3, 1);
	done(&change, NBE_OK);
	done(&old, NBE_OK);
	submit(&change, NBE_WRITE, 5, 1);
	submit(&old, NBE_READ, 5, 1);
	done(&change, NBE_OK);
	done(&old, NBE_OK);
	all_of(NBE_FLUSH, 0);
	compare();
	CHECK(engine.reads == 0 && engine.same);
	sampler_free(s);
}

/* What failed may be written at any time. */
static void
test_failed_changes_leave_a_doubt(void)
{
	struct disk_io change;

	begin();
	submit(&change, NBE_WRITE, 3, 2);
	done(&change, NBE_EIO);
	all_of(NBE_FLUSH, 0);
	all_of(NBE_READ, 3);
	all_of(NBE_READ, 4);
	all_of(NBE_READ, 5);
	compare();
	CHECK(engine.reads == 1 && engine.read[0]->offset == 5 * BLOCK);
	answer(NBE_OK);
	sampler_free(s);
}

static void
test_places_are_given_away_by_age(void)
{
	begin();
	for (unsigned i = 1; i <= SAMPLES + 2; i++)
		all_of(NBE_READ, i);
	compare();
	CHECK(engine.reads == SAMPLES && engine.read[0]->offset == BLOCK);
	answer(NBE_OK);
	now += NBE_SECOND;
	all_of(NBE_READ, 60);		/* in the place of the oldest; one per second */
	all_of(NBE_READ, 61);
	compare();
	CHECK(engine.reads == SAMPLES && engine.read[0]->offset == 60 * BLOCK);
	answer(NBE_OK);
	sampler_free(s);
}

/* Payload that is not in memory it cannot look at, so it asks for some. */
static void
test_wants_few_reads(void)
{
	struct disk_io io;
	unsigned wanted = 0;

	begin();
	submit(&io, NBE_READ, 3, 1);
	io.data = NULL;
	done(&io, NBE_OK);
	compare();
	CHECK(engine.reads == 0);
	for (unsigned i = 0; i < 1000; i++, now += NBE_SECOND / 1000)
		wanted += sampler_wants(s, now);
	CHECK(wanted >= 10 && wanted <= 50);
	for (unsigned i = 1; i <= SAMPLES; i++)
		all_of(NBE_READ, i);
	CHECK(!sampler_wants(s, now + NBE_SECOND / 2));
	CHECK(sampler_wants(s, now + NBE_SECOND));
	sampler_free(s);
}

/* ---- another disk ---------------------------------------------------------- */

static void
test_one_block_is_enough(void)
{
	begin();
	all_of(NBE_READ, 3);
	all_of(NBE_READ, 4);
	disk[4][100] ^= 1;
	compare();
	answer(NBE_OK);
	CHECK(engine.compared == 7 && !engine.same && differences == 1);
	/* It is not learned from the stranger, and the disk is known again. */
	disk[4][100] ^= 1;
	compare();
	answer(NBE_OK);
	CHECK(engine.same && differences == 1);
	sampler_free(s);
}

static void
test_an_error_says_nothing(void)
{
	begin();
	all_of(NBE_READ, 3);
	compare();
	CHECK(!sampler_compare(s, 8, now) && engine.reads == 1);
	disk[3][0] ^= 1;
	answer(NBE_EIO);
	CHECK(engine.compared == 7 && engine.same && differences == 0);
	sampler_free(s);
}

static const struct test tests[] = {
	TEST(reads_of_a_clean_disk),
	TEST(nothing_to_compare),
	TEST(only_what_a_flush_covers),
	TEST(changes_drop),
	TEST(what_a_restart_may_lose),
	TEST(a_read_that_comes_late),
	TEST(failed_changes_leave_a_doubt),
	TEST(places_are_given_away_by_age),
	TEST(wants_few_reads),
	TEST(one_block_is_enough),
	TEST(an_error_says_nothing),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
