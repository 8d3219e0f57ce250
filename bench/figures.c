/*
 * figures.c - what a load costs and how long its I/Os take.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "figures.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define FIRST_BIT	6

uint64_t
figures_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void
figures_begin(struct figures *f)
{
	*f = (struct figures){ .begin_ns = figures_now_ns(),
	    .begin_cpu_ns = cpu_ns() };
}

void
figures_add(struct figures *f, uint64_t ns, unsigned count)
{
	unsigned bit, bucket;

	ns |= 1u << FIRST_BIT;
	bit = 63u - (unsigned)__builtin_clzll(ns);
	bucket = (bit - FIRST_BIT) * 8 + (unsigned)(ns >> (bit - 3) & 7);
	f->bucket[bucket < FIGURES_BUCKETS ? bucket : FIGURES_BUCKETS - 1] += count;
	f->done += count;
}

/* The middle of the bucket that holds it. */
static double
percentile_us(const struct figures *f, double part)
{
	uint64_t want = (uint64_t)((double)f->done * part), seen = 0;
	unsigned i;

	for (i = 0; i < FIGURES_BUCKETS - 1; i++)
		if ((seen += f->bucket[i]) > want)
			break;
	return (8 + i % 8 + 0.5) * (double)(1u << FIRST_BIT) / 8 *
	    (double)(UINT64_C(1) << i / 8) * 1e-3;
}

void
figures_print(const struct figures *f)
{
	double done = (double)f->done;
	double seconds = (double)(figures_now_ns() - f->begin_ns) * 1e-9;
	double cpu = (double)(cpu_ns() - f->begin_cpu_ns) * 1e-9;

	printf("{ \"ios\": %.0f, \"iops\": %.0f, \"cpu\": %.4f, "
	    "\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f }\n",
	    done, done / seconds, cpu / done * 1e6, percentile_us(f, 0.5),
	    percentile_us(f, 0.99), percentile_us(f, 0.999));
}
