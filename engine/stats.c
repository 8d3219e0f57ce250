/*
 * stats.c - counters and latencies.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

#define LATENCY_MIN_LOG2	10	/* the first bucket holds all below 2^10 ns */
#define BUCKETS_PER_OCTAVE	4

static unsigned
bucket_of(uint64_t ns)
{
	unsigned log2, i;

	if (ns < (1u << LATENCY_MIN_LOG2))
		return 0;
	log2 = NBE_LOG2(ns);
	i = (log2 - LATENCY_MIN_LOG2) * BUCKETS_PER_OCTAVE +
	    (unsigned)(ns >> (log2 - 2) & (BUCKETS_PER_OCTAVE - 1));
	return i < NBE_LATENCY_BUCKETS ? i : NBE_LATENCY_BUCKETS - 1;
}

static uint64_t
bucket_start(unsigned i)
{
	unsigned log2 = LATENCY_MIN_LOG2 + i / BUCKETS_PER_OCTAVE;

	return (UINT64_C(1) << log2) +
	    (UINT64_C(1) << (log2 - 2)) * (i % BUCKETS_PER_OCTAVE);
}

void
stats_done(struct nbe_dev *d, const struct nbe_req *r, nbe_time now)
{
	struct nbe_op_stats *op = &d->st.op[r->op];
	uint64_t ns = now - r->submitted_at;

	op->reqs++;
	d->st.last_replied = now;
	if (r->begun)
		d->st.started++;
	if (r->error == NBE_EABORTED)
		d->st.aborted_done++;
	else if (r->begun)
		d->st.replied++;
	if (r->error != NBE_OK) {
		op->errors++;
		return;
	}
	op->bytes += r->length;
	op->latency_sum_ns += ns;
	op->latency[bucket_of(ns)]++;
}

/* Of those that the front submitted. */
static uint32_t
under_way(const struct nbe_dev *d)
{
	const struct nbe_req *own = &d->own_flush;

	return d->begun - (own->begun && own->state != REQ_DONE);
}

void
nbe_stats(const struct nbe_dev *d, struct nbe_stats *st)
{
	*st = d->st;
	st->started += under_way(d);
	st->queued = d->queue_count;
	st->active = under_way(d);
	st->in_flight = d->in_flight;
	st->conns_up = d->up;
	st->conns_wanted = d->wanted;
	st->kept_bytes = d->un.keep_tail - d->un.keep_head;
	st->dirty = unflushed_dirty(d);
	st->lost = d->un.lost;
}

uint64_t
nbe_latency_ns(const struct nbe_stats *st, enum nbe_op op, unsigned permille)
{
	uint64_t total = 0, seen = 0;
	unsigned i;

	for (i = 0; i < NBE_LATENCY_BUCKETS; i++)
		total += st->op[op].latency[i];
	if (total == 0)
		return 0;
	for (i = 0; i < NBE_LATENCY_BUCKETS - 1; i++) {
		seen += st->op[op].latency[i];
		if (seen * 1000 >= total * permille)
			break;
	}
	return bucket_start(i);
}
