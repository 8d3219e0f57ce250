/*
 * device.c - life of a device: memory, time, stop, and what is to be done.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * nbe_work derives all that the front is to do from the state, each time anew:
 * there is no list of pending events that could get out of step.
 */
#include "device.h"

/* ---- memory -------------------------------------------------------------------- */

static size_t
pad(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

/* Parts that wait to be sent again keep their slots, and a replay goes first: it has
 * slots of its own.  So have what is compared, what asks whether a server is awake, and
 * a flush before a path is left, which may itself have to be sent again. */
static uint32_t
slots_of(const struct nbe_dev_config *cfg)
{
	uint32_t first = cfg->unflushed == NBE_UNFLUSHED_REPLAY || cfg->compare ||
	    cfg->paths > 1;

	return ((uint32_t)cfg->conns_max + first) * cfg->depth + (cfg->paths > 1);
}

/* See put() of fence.c. */
static uint32_t
fences_of(const struct nbe_dev_config *cfg)
{
	return 2 * slots_of(cfg) + 2 * NBE_MAX_PATHS;
}

size_t
nbe_dev_size(const struct nbe_dev_config *cfg)
{
	size_t slots = slots_of(cfg), conns = cfg->conns_max;

	return pad(sizeof(struct nbe_dev)) + pad(conns * sizeof(struct conn)) +
	    pad(slots * sizeof(struct slot)) +
	    pad(fences_of(cfg) * sizeof(struct fence)) +
	    (cfg->records != NULL ? 0 : pad(records_size(cfg))) +
	    conns * (pad(cfg->depth * sizeof(uint16_t)) +
	    pad((size_t)cfg->depth * LEN_EXT_REQUEST));
}

static void *
carve(uint8_t **at, size_t n)
{
	void *p = *at;

	*at += pad(n);
	return p;
}

static void
init_conns(struct nbe_dev *d, uint8_t **at, nbe_time now)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];

		c->batch = carve(at, d->cfg.depth * sizeof(uint16_t));
		c->headers = carve(at, (size_t)d->cfg.depth * LEN_EXT_REQUEST);
		list_init(&c->sent);
		list_init(&c->answered);
		c->wanted = i < d->cfg.conns;
		c->open_at = now;
	}
}

static uint64_t
part_max(uint64_t max, uint64_t limit, uint32_t block_min)
{
	if (limit != 0 && limit < max)
		max = limit;
	return max <= block_min ? block_min : max - max % block_min;
}

static void
check_config(const struct nbe_dev_config *cfg, const struct nbe_export *e)
{
	NBE_ASSERT(cfg->conns_max >= 1 && cfg->conns_max <= NBE_MAX_CONNS);
	NBE_ASSERT(cfg->conns >= 1 && cfg->conns <= cfg->conns_max);
	NBE_ASSERT(cfg->depth >= 1 && cfg->depth <= NBE_MAX_DEPTH);
	NBE_ASSERT(cfg->unflushed != NBE_UNFLUSHED_REPLAY ||
	    (cfg->keep_records >= 2 && cfg->keep_size >= 2 * e->block_min));
	NBE_ASSERT(cfg->paths <= NBE_MAX_PATHS && (cfg->path == 0 ||
	    cfg->path < cfg->paths));
	NBE_ASSERT(e->size != 0 && e->block_min != 0 && e->payload_max != 0);
}

struct nbe_dev *
nbe_dev_init(void *mem, const struct nbe_dev_config *cfg, const struct nbe_export *e,
    nbe_time now)
{
	uint8_t *at = mem;
	struct nbe_dev *d = carve(&at, sizeof(*d));
	uint32_t i;

	check_config(cfg, e);
	memset(mem, 0, nbe_dev_size(cfg));
	d->cfg = *cfg;
	d->exp = *e;
	d->slots = slots_of(cfg);
	d->fence_room = fences_of(cfg);
	d->conn = carve(&at, cfg->conns_max * sizeof(struct conn));
	d->slot = carve(&at, d->slots * sizeof(struct slot));
	d->fence = carve(&at, d->fence_room * sizeof(struct fence));
	d->un.records = cfg->records != NULL ? cfg->records :
	    carve(&at, records_size(cfg));
	init_conns(d, &at, now);
	list_init(&d->spare);
	list_init(&d->retry);
	unflushed_init(d);
	set_grace(d, 0);
	path_init(d, now);
	for (i = 0; i < d->slots; i++)
		list_append(d, &d->spare, &d->slot[i]);
	d->done_tail = &d->done;
	d->rng = cfg->seed | 1;
	d->epoch = 1;
	d->wanted = d->live = cfg->conns;
	d->silent_since = now;
	/* 32 MiB at most, also where the server names no limit */
	d->data_max = part_max(e->payload_max < NBE_PAYLOAD_DEFAULT ? e->payload_max :
	    NBE_PAYLOAD_DEFAULT, cfg->part_max, e->block_min);
	d->effect_max = part_max(e->framing == NBE_EXTENDED ? INT64_MAX : UINT32_MAX,
	    0, e->block_pref);
	d->effect_now = part_max(d->effect_max, EFFECT_START, e->block_pref);
	return d;
}

size_t
nbe_records_size(const struct nbe_dev_config *cfg)
{
	return records_size(cfg);
}

const struct nbe_export *
nbe_dev_export(const struct nbe_dev *d)
{
	return &d->exp;
}

/* ---- time ---------------------------------------------------------------- */

static nbe_time
dead_at(const struct nbe_dev *d)
{
	return d->dead ? NBE_NEVER : after(d->silent_since,
	    after(d->cfg.dead_timeout, d->grace));
}

/* No server for too long.  What a connection still carries fails with it. */
static void
die(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	d->dead = true;
	for (i = 0; i < d->cfg.conns_max; i++)
		if (d->conn[i].up)
			conn_close(&d->conn[i], NBE_WHY_TIMEOUT);
	req_fail_all(d, NBE_ETIMEDOUT, now);
}

void
nbe_tick(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	for (i = 0; i < d->live; i++)
		if (conn_late_at(d, &d->conn[i]) <= now) {
			d->st.timeouts++;
			conn_close(&d->conn[i], NBE_WHY_TIMEOUT);
		}
	if (fence_expire(d, now))
		unflushed_stray(d);
	if (d->cfg.paths > 1)
		path_tick(d, now);
	if (dead_at(d) <= now)
		die(d, now);
}

/* ---- stop ---------------------------------------------------------------- */

void
nbe_stop(struct nbe_dev *d, bool drain, nbe_time now)
{
	unsigned i;

	d->stopping = true;
	if (drain || d->stop_now)
		return;
	d->stop_now = true;
	for (i = 0; i < d->cfg.conns_max; i++)
		conn_close(&d->conn[i], NBE_WHY_STOPPED);
	req_fail_all(d, NBE_ESHUTDOWN, now);
}

/* All requests are done: flush what is not, then say goodbye. */
static void
stop_step(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	if (!d->stopping || d->stop_now || !idle(d))
		return;
	if (unflushed_worth_flushing(d) && !d->stop_flushed && !d->dead) {
		d->stop_flushed = true;		/* once: it may fail */
		req_own_flush(d, now);
		return;
	}
	for (i = 0; i < d->cfg.conns_max; i++)
		conn_drain(d, &d->conn[i], NBE_WHY_STOPPED);
}

/* ---- what to do ---------------------------------------------------------- */

/* Has the connection, which is up, something to send, or may it take something? */
static inline bool
wants_tx(const struct nbe_dev *d, const struct conn *c, uint32_t share,
    bool pending)
{
	if (c->tx_open)
		return false;
	return c->batch_at != c->batch_count || wants_disc(c) ||
	    (pending && may_take(d, c, share));
}

/* One bit: unless it is still being made to a path that was left. */
static uint32_t
open(const struct nbe_dev *d, struct conn *c)
{
	if (astray(d, c))
		return 0;
	c->opening = true;
	c->path = d->mp.at;
	return 1;
}

void
nbe_work(struct nbe_dev *d, struct nbe_work *w, nbe_time now)
{
	uint32_t share;
	bool pending;
	unsigned i;

	memset(w, 0, sizeof(*w));
	stop_step(d, now);
	if (d->cfg.paths > 1)
		path_step(d, w, now);
	if (d->renewing)
		reconnect_step(d, now);
	share = schedule_share(d);
	pending = schedule_pending(d);
	for (i = 0; i < d->live; i++) {
		struct conn *c = &d->conn[i];

		if (c->up && c->closing)
			w->close |= 1u << i;
		else if (c->up && wants_tx(d, c, share, pending))
			w->tx |= 1u << i;
		else if (!c->up && wants_open(d, c) && c->open_at <= now)
			w->open |= open(d, c) << i;
	}
	w->compare = d->hold == HOLD_COMPARE && d->usable != 0 ? d->epoch : 0;
	if (d->done != NULL)
		unflushed_handed_over(d);
	w->done = d->done;
	d->done = NULL;
	d->done_tail = &d->done;
	w->resized = d->resized;
	d->resized = false;
	w->stopped = d->stopping && d->up == 0 && idle(d);
}

static void
earlier(nbe_time *wake, nbe_time t)
{
	if (t < *wake)
		*wake = t;
}

nbe_time
nbe_wake(const struct nbe_dev *d, nbe_time now)
{
	nbe_time wake = NBE_NEVER;
	unsigned i;

	for (i = 0; i < d->live; i++) {
		const struct conn *c = &d->conn[i];

		earlier(&wake, conn_late_at(d, c));
		if (!c->up && wants_open(d, c) && c->open_at > now)
			earlier(&wake, c->open_at);
	}
	earlier(&wake, fence_wake(d));
	earlier(&wake, dead_at(d));
	if (d->cfg.paths > 1)
		earlier(&wake, path_wake(d, now));
	return wake;
}
