/*
 * pool_test.c - memory for payload, of which there is always some.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../fuse/tap.h"
#include "pool.h"

#define STEPS	4

static struct {
	struct ring	ring;
	struct pool	pool;
	unsigned	grown;
	size_t		page;
} t;

static void
grown(struct pool *p)
{
	CHECK(p == &t.pool);
	t.grown++;
}

static void
begin(void)
{
	memset(&t, 0, sizeof(t));
	t.page = (size_t)sysconf(_SC_PAGESIZE);
	CHECK(ring_init(&t.ring, 64, false) == 0);
	CHECK(pool_init(&t.pool, &t.ring, STEPS * POOL_STEP, grown));
}

static void
end(void)
{
	ring_free(&t.ring);
	pool_free(&t.pool);
}

static uint64_t
until_grown(void *arg)
{
	unsigned *wanted = arg;

	t.ring.stop = t.grown >= *wanted;
	return UINT64_MAX;
}

/* The first growth is none, and makes the kernel's worker. */
static void
wait_for(unsigned wanted)
{
	CHECK(ring_run(&t.ring, until_grown, &wanted) == 0);
	t.ring.stop = false;
}

/* Pages from p on that are in memory. */
static size_t
there(uint8_t *p, size_t size)
{
	unsigned char in[STEPS * POOL_STEP / 4096];
	size_t count = 0;

	CHECK(mincore(p, size, in) == 0);
	for (size_t i = 0; i < size / t.page; i++)
		count += in[i] & 1;
	return count;
}

static void
case_floor(void)
{
	uint8_t *p;

	begin();
	CHECK(there(t.pool.base, STEPS * POOL_STEP) == POOL_STEP / t.page);
	p = pool_take(&t.pool, POOL_STEP);
	CHECK(p != NULL && there(p, POOL_STEP) == POOL_STEP / t.page);
	CHECK(pool_take(&t.pool, 1) == NULL);
	pool_put(&t.pool, p, POOL_STEP);
	CHECK(pool_take(&t.pool, POOL_STEP) == p);
	end();
}

static void
case_lowest(void)
{
	uint8_t *a, *b, *c;

	begin();
	a = pool_take(&t.pool, 1);
	b = pool_take(&t.pool, 70 * t.page);
	c = pool_take(&t.pool, t.page + 1);
	CHECK(a == t.pool.base && b == a + t.page && c == b + 70 * t.page);
	pool_put(&t.pool, b, 70 * t.page);
	CHECK(pool_take(&t.pool, 71 * t.page) == c + 2 * t.page);
	CHECK(pool_take(&t.pool, 69 * t.page) == b);
	CHECK(pool_take(&t.pool, 2 * t.page) > c);
	CHECK(pool_take(&t.pool, t.page) == b + 69 * t.page);
	end();
}

static void
case_grows(void)
{
	uint8_t *first, *second;

	begin();
	wait_for(1);
	first = pool_take(&t.pool, POOL_STEP);
	CHECK(pool_take(&t.pool, POOL_STEP) == NULL);
	CHECK(pool_take(&t.pool, POOL_STEP) == NULL);
	wait_for(2);
	CHECK(there(first, STEPS * POOL_STEP) == 2 * POOL_STEP / t.page);
	second = pool_take(&t.pool, POOL_STEP);
	CHECK(second == first + POOL_STEP);
	CHECK(pool_take(&t.pool, 1) == NULL);
	wait_for(3);
	CHECK(pool_take(&t.pool, 1) == second + POOL_STEP);
	end();
}

static void
case_whole(void)
{
	begin();
	for (unsigned i = 0; i < STEPS; i++) {
		wait_for(i + 1);
		CHECK(pool_take(&t.pool, POOL_STEP) != NULL);
		CHECK(pool_take(&t.pool, 1) == NULL);
	}
	CHECK(!t.pool.growing);
	end();
}

static void
case_rest(void)
{
	uint8_t *first, *second;

	begin();
	wait_for(1);
	first = pool_take(&t.pool, POOL_STEP);
	CHECK(pool_take(&t.pool, 1) == NULL);
	wait_for(2);
	second = pool_take(&t.pool, 1);
	*second = 1;
	pool_rest(&t.pool);
	CHECK(there(first, 2 * POOL_STEP) == 2 * POOL_STEP / t.page && *second == 1);
	pool_put(&t.pool, second, 1);
	pool_rest(&t.pool);
	CHECK(there(first, 2 * POOL_STEP) == POOL_STEP / t.page);
	CHECK(pool_take(&t.pool, 1) == NULL);
	wait_for(3);
	CHECK(pool_take(&t.pool, 1) == second && *second == 0);
	end();
}

static const struct tap_case cases[] = {
	{ "the floor is there before anybody asks, and after", case_floor },
	{ "the lowest room that is large enough", case_lowest },
	{ "more comes, and is there when it is handed out", case_grows },
	{ "no more than all of it", case_whole },
	{ "what is above the floor, and in no use, goes", case_rest },
};

int
main(void)
{
	return tap_main(cases, sizeof(cases) / sizeof(*cases));
}
