/*
 * pool.c - memory for payload, of which there is always some.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "pool.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"

#define WORD_BITS	64

/* ---- the map of what is in use ----------------------------------------- */

/* The first page from at on that is in use, or is not; to, when there is none. */
static size_t
next(const struct pool *p, size_t at, size_t to, bool in_use)
{
	while (at < to) {
		uint64_t word = in_use ? p->used[at / WORD_BITS] :
		    ~p->used[at / WORD_BITS];

		word >>= at % WORD_BITS;
		if (word != 0) {
			at += (size_t)__builtin_ctzll(word);
			return at < to ? at : to;
		}
		at += WORD_BITS - at % WORD_BITS;
	}
	return to;
}

static void
mark(struct pool *p, size_t at, size_t count, bool in_use)
{
	while (count > 0) {
		size_t first = at % WORD_BITS, bits = WORD_BITS - first;
		uint64_t mask;

		if (bits > count)
			bits = count;
		mask = (~UINT64_C(0) >> (WORD_BITS - bits)) << first;
		if (in_use)
			p->used[at / WORD_BITS] |= mask;
		else
			p->used[at / WORD_BITS] &= ~mask;
		at += bits;
		count -= bits;
	}
}

/* The lowest room for so many pages; p->ready: there is none. */
static size_t
find(const struct pool *p, size_t count)
{
	size_t at = next(p, 0, p->ready, false), end;

	while (at + count <= p->ready) {
		end = next(p, at, at + count, true);
		if (end == at + count)
			return at;
		at = next(p, end, p->ready, false);
	}
	return p->ready;
}

/* ---- more of it, and less -------------------------------------------------------- */

static void
has_grown(struct ring_op *op, int res, uint32_t flags)
{
	struct pool *p = container_of(op, struct pool, op);

	(void)flags;
	p->growing = false;
	if (res < 0)	/* out of memory: whoever next finds no room asks again */
		return;
	p->ready += p->step;
	p->grown(p);
}

/* The kernel does this in a worker. */
static void
grow(struct pool *p, size_t step)
{
	struct io_uring_sqe *sqe;

	if (p->growing || step > p->pages - p->ready)
		return;
	p->growing = true;
	p->step = step;
	sqe = ring_sqe(p->ring);
	io_uring_prep_madvise(sqe, p->base + p->ready * p->page,
	    (uint32_t)(step * p->page), MADV_POPULATE_WRITE);
	ring_bind(sqe, &p->op);
}

static size_t
pages_of(const struct pool *p, size_t size)
{
	return (size + p->page - 1) / p->page;
}

uint8_t *
pool_take(struct pool *p, size_t size)
{
	size_t count = pages_of(p, size), at = find(p, count);

	if (at == p->ready) {
		grow(p, p->floor);
		return NULL;
	}
	mark(p, at, count, true);
	return p->base + at * p->page;
}

void
pool_put(struct pool *p, uint8_t *data, size_t size)
{
	mark(p, (size_t)(data - p->base) / p->page, pages_of(p, size), false);
}

void
pool_rest(struct pool *p)
{
	if (p->growing || next(p, p->floor, p->ready, true) < p->ready)
		return;
	pages_rest(p->base + p->floor * p->page, (p->ready - p->floor) * p->page);
	p->ready = p->floor;
}

/* ---- life -------------------------------------------------------- */

bool
pool_init(struct pool *p, struct ring *ring, size_t size, void (*grown)(struct pool *))
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	*p = (struct pool){
		.ring = ring, .grown = grown, .op.done = has_grown, .page = page,
		.pages = size / page, .floor = POOL_STEP / page,
	};
	p->used = calloc(p->pages / WORD_BITS + 1, sizeof(*p->used));
	p->base = pages_new(size);
	if (p->used == NULL || p->base == NULL || !pages_ready(p->base, POOL_STEP)) {
		pool_free(p);
		return false;
	}
	p->ready = p->floor;
	/* Nothing, so that the kernel has its worker, and needs no memory for one when
	 * there is none. */
	grow(p, 0);
	return true;
}

void
pool_free(struct pool *p)
{
	if (p->base != NULL)
		munmap(p->base, p->pages * p->page);
	free(p->used);
	p->base = NULL;
	p->used = NULL;
}
