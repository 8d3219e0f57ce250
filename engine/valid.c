/*
 * valid.c - the invariants of a device, all of them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For tests, after each step: it walks everything.
 */
#include "device.h"

/* Slots on a list, with both directions of its links checked; UINT32_MAX: bad. */
static uint32_t
count(const struct nbe_dev *d, const struct list *l)
{
	uint16_t i, prev = NO_SLOT;
	uint32_t n = 0;

	for (i = l->head; i != NO_SLOT; i = d->slot[i].next) {
		if (i >= d->slots || d->slot[i].prev != prev || n++ == d->slots)
			return UINT32_MAX;
		prev = i;
	}
	return l->tail == prev ? n : UINT32_MAX;
}

static bool
reqs_valid(const struct reqs *q, enum req_state state, uint32_t *n)
{
	const struct nbe_req *r, *prev = NULL;

	*n = 0;
	for (r = q->head; r != NULL; prev = r, r = r->next, (*n)++)
		if (r->prev != prev || r->state != state)
			return false;
	return q->tail == prev;
}

static bool
slot_valid(const struct nbe_dev *d, const struct slot *s, uint8_t conn)
{
	if (!s->used || s->conn != conn || s->runs > RUNS_MAX)
		return false;
	if (s->req != NULL && s->req != &d->replay &&
	    (s->req->parts == 0 || s->req->state == REQ_DONE ||
	    s->pos + s->len > s->req->length))
		return s->op == NBE_FLUSH && s->req->parts != 0;
	for (unsigned i = 0; i < s->runs; i++)
		if (s->run[i].start >= s->run[i].end || s->run[i].end > s->len ||
		    (i != 0 && s->run[i].start <= s->run[i - 1].end))
			return false;
	return true;
}

static bool
conn_valid(const struct nbe_dev *d, uint8_t i, uint32_t *in_flight)
{
	const struct conn *c = &d->conn[i];
	uint32_t sent = count(d, &c->sent), answered = count(d, &c->answered);
	uint32_t reads = 0;
	uint64_t bytes = 0;

	if (sent == UINT32_MAX || answered == UINT32_MAX ||
	    c->in_flight != sent + answered || c->in_flight > d->cfg.depth)
		return false;
	if (i >= d->live && (c->up || c->wanted))
		return false;
	if (!c->up && (c->in_flight != 0 || c->proven || c->tx_open || c->rx_open))
		return false;
	if (c->batch_at > c->batch_count || c->batch_count > d->cfg.depth)
		return false;
	for (uint16_t k = c->sent.head; k != NO_SLOT; k = d->slot[k].next) {
		const struct slot *s = &d->slot[k];

		if (!slot_valid(d, s, i) || s->answered || c->path != d->mp.at)
			return false;
		reads += s->op == NBE_READ;
		bytes += s->op == NBE_READ ? s->len : 0;
	}
	*in_flight += c->in_flight;
	return answered != 0 || (reads == c->reads && bytes == c->read_bytes);
}

static bool
unflushed_valid(const struct nbe_dev *d)
{
	const struct unflushed *un = &d->un;
	uint64_t first = un->records->first, last = un->records->last;

	return un->flushed <= un->acked && first <= last &&
	    un->keep_tail - un->keep_head <= d->cfg.keep_size &&
	    last - first <= d->cfg.keep_records &&
	    (!un->replaying || (first <= un->replay_wave &&
	    un->replay_wave <= un->replay_next && un->replay_next <= last));
}

static bool
fences_valid(const struct nbe_dev *d)
{
	uint32_t waits = 0, i;

	for (i = 0; i < d->fence_count; i++) {
		waits += d->fence[i].waits;
		if (d->fence[i].path >= NBE_MAX_PATHS ||
		    (d->fence[i].cached && d->fence[i].slot != NO_SLOT))
			return false;
	}
	return d->fence_count <= d->fence_room && waits == d->fence_waits;
}

static bool
paths_valid(const struct nbe_dev *d)
{
	const struct multipath *mp = &d->mp;
	uint32_t active = 0, i;

	for (i = 0; i < d->cfg.paths; i++)
		active += mp->path[i].state == NBE_PATH_ACTIVE;
	return mp->at < d->cfg.paths && mp->home < d->cfg.paths &&
	    (mp->target == NO_PATH || mp->target < d->cfg.paths) &&
	    (d->up == 0 || (mp->at == mp->home && !mp->seeking)) &&
	    active == !mp->seeking &&
	    (mp->seeking || mp->path[mp->at].state == NBE_PATH_ACTIVE);
}

bool
nbe_dev_valid(const struct nbe_dev *d)
{
	uint32_t n, in_flight = 0, up = 0, proven = 0, usable = 0;
	uint32_t used, queued, retry = count(d, &d->retry);
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		if (!conn_valid(d, (uint8_t)i, &in_flight))
			return false;
		up += d->conn[i].up;
		proven += d->conn[i].proven;
		usable += d->conn[i].proven && !d->conn[i].draining;
	}
	used = in_flight + retry + count(d, &d->un.retry);
	return (d->conn[d->live - 1].wanted || d->conn[d->live - 1].up) &&
	    in_flight == d->in_flight && up == d->up && proven == d->proven &&
	    usable == d->usable &&
	    (up == 0 || proven != 0) && retry == d->retry_count &&
	    count(d, &d->spare) == d->slots - used &&
	    reqs_valid(&d->queue, REQ_QUEUED, &queued) && queued == d->queue_count &&
	    reqs_valid(&d->fenced, REQ_FENCED, &n) &&
	    reqs_valid(&d->unkept, REQ_UNKEPT, &n) &&
	    fences_valid(d) && paths_valid(d) && unflushed_valid(d);
}
