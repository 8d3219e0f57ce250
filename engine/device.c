/*
 * device.c - life of a device: memory, connections up and down, time, stop.
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

/* Parts that wait to be sent again keep their slots, and a replay goes first: it
 * has slots of its own. */
static uint32_t
slots_of(const struct nbe_dev_config *cfg)
{
	uint32_t replay = cfg->unflushed == NBE_UNFLUSHED_REPLAY;

	return ((uint32_t)cfg->conns_max + replay) * cfg->depth;
}

static uint32_t
records_of(const struct nbe_dev_config *cfg)
{
	return cfg->unflushed == NBE_UNFLUSHED_REPLAY ? cfg->keep_records : 0;
}

size_t
nbe_dev_size(const struct nbe_dev_config *cfg)
{
	size_t slots = slots_of(cfg), conns = cfg->conns_max;

	return pad(sizeof(struct nbe_dev)) + pad(conns * sizeof(struct conn)) +
	    pad(slots * sizeof(struct slot)) +
	    pad(2 * slots * sizeof(struct fence)) +
	    pad(records_of(cfg) * sizeof(struct record)) +
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
	d->fence_room = 2 * d->slots;
	d->conn = carve(&at, cfg->conns_max * sizeof(struct conn));
	d->slot = carve(&at, d->slots * sizeof(struct slot));
	d->fence = carve(&at, d->fence_room * sizeof(struct fence));
	d->un.record = carve(&at, records_of(cfg) * sizeof(struct record));
	init_conns(d, &at, now);
	list_init(&d->spare);
	list_init(&d->retry);
	unflushed_init(d);
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
	return d;
}

const struct nbe_export *
nbe_dev_export(const struct nbe_dev *d)
{
	return &d->exp;
}

/* ---- connections --------------------------------------------------------- */

void
conn_close(struct conn *c, enum nbe_why why)
{
	if (c->closing || !c->up)
		return;
	c->closing = true;
	if (!c->disc_planned)	/* the peer may close sooner than the send returns */
		c->why = why;
}

/*
 * What the walks of each round need, after each change of wanted, up, proven or
 * draining.  There may be room for many more connections than there are: the walks end
 * at live.
 */
static void
recount(struct nbe_dev *d)
{
	unsigned i;

	d->live = d->cfg.conns_max;
	while (d->live > d->wanted && !d->conn[d->live - 1].up)
		d->live--;
	d->usable = 0;
	for (i = 0; i < d->live; i++)
		d->usable += d->conn[i].proven && !d->conn[i].draining;
}

/* The slot leaves the connection. */
void
conn_forget(struct nbe_dev *d, struct conn *c, const struct slot *s)
{
	c->in_flight--;
	d->in_flight--;
	if (s->op == NBE_READ) {
		c->reads--;
		c->read_bytes -= s->len;
	}
	if (s->error == NBE_ESHUTDOWN && s->answered) {	/* proto.md: MUST leave */
		c->draining = true;
		c->why = NBE_WHY_SERVER_SHUTDOWN;
		recount(d);
	}
}

/* Connections made up to the ups-th reach the same server as the proven ones. */
static void
prove(struct nbe_dev *d, uint32_t ups)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];

		if (!c->up || c->proven || c->ups > ups)
			continue;
		c->proven = true;
		d->proven++;
	}
	recount(d);
}

/* A proven connection answered s. */
void
conn_answered(struct nbe_dev *d, struct conn *c, const struct slot *s)
{
	NBE_ASSERT(c->proven);
	c->tries = 0;
	d->silent_since = NBE_NEVER;
	if (d->proven != d->up)
		prove(d, s->ups);
}

/* What of the device the connection contradicts. */
static enum nbe_why
contradiction(const struct nbe_dev *d, const struct nbe_export *e)
{
	const struct nbe_export *have = &d->exp;
	const uint16_t features = NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA |
	    NBE_FLAG_SEND_TRIM | NBE_FLAG_SEND_WRITE_ZEROES | NBE_FLAG_SEND_CACHE |
	    NBE_FLAG_SEND_FAST_ZERO;

	if (d->up != 0 && (e->flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		return NBE_WHY_NO_MULTI_CONN;
	if (e->size < have->size)
		return NBE_WHY_SHRANK;
	if (((e->flags ^ have->flags) & NBE_FLAG_READ_ONLY) != 0)
		return NBE_WHY_READ_ONLY;
	if ((have->flags & ~e->flags & features) != 0 ||
	    (have->has_alloc && !e->has_alloc))
		return NBE_WHY_FLAGS_LOST;
	if (e->block_min > have->block_min)
		return NBE_WHY_BLOCK_SIZE_CHANGED;
	if (e->payload_max < d->data_max)
		return NBE_WHY_PAYLOAD_SHRANK;
	if (e->framing < have->framing)
		return NBE_WHY_FRAMING_LOST;
	return NBE_WHY_NONE;
}

static void
grow(struct nbe_dev *d, uint64_t size)
{
	size -= size % d->exp.block_min;
	if (size <= d->exp.size)
		return;
	d->exp.size = size;
	d->resized = true;
}

static bool
idle(const struct nbe_dev *d)
{
	return d->queue.head == NULL && d->begun == 0;
}

static bool
wants_open(const struct nbe_dev *d, const struct conn *c)
{
	return c->wanted && !c->up && (!d->stopping || (!d->stop_now && !idle(d)));
}

enum nbe_why
nbe_conn_up(struct nbe_dev *d, unsigned conn, const struct nbe_export *e, nbe_time now)
{
	struct conn *c = &d->conn[conn];
	enum nbe_why why = contradiction(d, e);

	NBE_ASSERT(conn < d->cfg.conns_max && !c->up);
	if (why == NBE_WHY_NONE && !wants_open(d, c))
		why = d->stopping ? NBE_WHY_STOPPED : NBE_WHY_SCALED;
	if (why != NBE_WHY_NONE) {
		d->st.conns_refused++;
		nbe_conn_down(d, conn, why, now);
		return why;
	}
	c->up = true;
	c->framing = e->framing;
	c->alloc_context = e->alloc_context;
	c->ups = ++d->ups;
	c->proven = d->proven == 0;
	d->up++;
	d->proven += c->proven;
	recount(d);
	d->st.conns_made++;
	conn_rx_init(c);
	grow(d, e->size);
	if (idle(d) || d->dead)		/* nobody waits: the clock starts afresh */
		d->silent_since = NBE_NEVER;
	d->dead = false;
	return NBE_WHY_NONE;
}

/* xorshift64: spreads the reconnects of many devices, nothing more. */
static uint64_t
jitter(struct nbe_dev *d, uint64_t below)
{
	d->rng ^= d->rng << 13;
	d->rng ^= d->rng >> 7;
	d->rng ^= d->rng << 17;
	return below == 0 ? 0 : d->rng % below;
}

/* Twice as long after each failure, up to a limit, and up to a half more. */
static nbe_time
backoff(struct nbe_dev *d, struct conn *c)
{
	nbe_time wait = d->cfg.backoff_min;
	uint32_t i;

	for (i = 0; i < c->tries && wait < d->cfg.backoff_max; i++)
		wait *= 2;
	if (wait > d->cfg.backoff_max)
		wait = d->cfg.backoff_max;
	if (c->tries < 63)
		c->tries++;
	return wait + jitter(d, wait / 2);
}

static void
lose_commands(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	struct slot *s;

	while ((s = list_take(d, &c->answered)) != NULL) {
		s->in_tx = false;
		conn_forget(d, c, s);
		part_answered(d, s, now);
	}
	while (!list_empty(&c->sent)) {		/* the youngest first */
		s = slot_at(d, c->sent.tail);
		list_remove(d, &c->sent, s);
		s->in_tx = false;
		conn_forget(d, c, s);
		part_lost(d, s, now);
	}
	c->batch_count = c->batch_at = 0;
}

/* The last proven connection is gone: nothing is known of what the server kept. */
static void
new_epoch(struct nbe_dev *d, nbe_time now)
{
	d->epoch++;
	d->st.restarts++;
	unflushed_restarted(d, now);
	prove(d, d->ups);
	if (d->silent_since == NBE_NEVER)
		d->silent_since = now;
}

static void
leave(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	bool was_proven = c->proven;

	lose_commands(d, c, now);
	c->up = c->proven = c->closing = c->draining = false;
	c->disc_planned = c->aborted = false;
	d->up--;
	d->proven -= was_proven;
	d->st.conns_lost++;
	recount(d);
	if (was_proven && d->proven == 0)
		new_epoch(d, now);
}

void
nbe_conn_down(struct nbe_dev *d, unsigned conn, enum nbe_why why, nbe_time now)
{
	struct conn *c = &d->conn[conn];

	NBE_ASSERT(conn < d->cfg.conns_max && !c->tx_open && !c->rx_open);
	if (!c->closing || c->why == NBE_WHY_NONE)
		c->why = why;
	c->open_at = now + backoff(d, c);
	if (c->up)
		leave(d, c, now);
}

void
nbe_scale(struct nbe_dev *d, unsigned n, nbe_time now)
{
	unsigned i;

	NBE_ASSERT(n >= 1 && n <= d->cfg.conns_max);
	d->wanted = n;
	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];
		bool before = c->wanted;

		c->wanted = i < n;
		if (c->wanted && !before) {
			c->open_at = now;
			c->tries = 0;
		}
		if (!c->wanted && c->up && !c->draining) {
			c->draining = true;
			c->why = NBE_WHY_SCALED;
		}
	}
	recount(d);
}

void
nbe_reconnect(struct nbe_dev *d, nbe_time now)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		d->conn[i].open_at = now;
		d->conn[i].tries = 0;
	}
}

enum nbe_why
nbe_conn_why(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].why;
}

bool
nbe_conn_is_up(const struct nbe_dev *d, unsigned conn)
{
	return d->conn[conn].up;
}

/* ---- time ---------------------------------------------------------------- */

static nbe_time
deadline(const struct nbe_dev *d, const struct conn *c)
{
	if (!c->up || c->closing || list_empty(&c->sent))
		return NBE_NEVER;
	return d->slot[c->sent.head].deadline;
}

static nbe_time
dead_at(const struct nbe_dev *d)
{
	if (d->dead || d->silent_since == NBE_NEVER || d->cfg.dead_timeout == NBE_NEVER)
		return NBE_NEVER;
	return d->silent_since + d->cfg.dead_timeout;
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
		if (deadline(d, &d->conn[i]) <= now) {
			d->st.timeouts++;
			conn_close(&d->conn[i], NBE_WHY_TIMEOUT);
		}
	fence_expire(d, now);
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
		own_flush_start(d, now);
		return;
	}
	for (i = 0; i < d->cfg.conns_max; i++)
		if (d->conn[i].up && !d->conn[i].draining) {
			d->conn[i].draining = true;
			d->conn[i].why = NBE_WHY_STOPPED;
		}
	recount(d);
}

/* ---- what to do ---------------------------------------------------------- */

/* Has the connection, which is up, something to send, or may it take something? */
static inline bool
wants_tx(const struct conn *c, uint32_t share, bool pending)
{
	if (c->tx_open)
		return false;
	return c->batch_at != c->batch_count || wants_disc(c) ||
	    (pending && may_take(c, share));
}

void
nbe_work(struct nbe_dev *d, struct nbe_work *w, nbe_time now)
{
	uint32_t share;
	bool pending;
	unsigned i;

	stop_step(d, now);
	share = schedule_share(d);
	pending = schedule_pending(d);
	memset(w, 0, sizeof(*w));
	for (i = 0; i < d->live; i++) {
		const struct conn *c = &d->conn[i];

		if (c->up && c->closing)
			w->close |= 1u << i;
		else if (c->up && wants_tx(c, share, pending))
			w->tx |= 1u << i;
		else if (!c->up && wants_open(d, c) && c->open_at <= now)
			w->open |= 1u << i;
	}
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

		earlier(&wake, deadline(d, c));
		if (!c->up && wants_open(d, c) && c->open_at > now)
			earlier(&wake, c->open_at);
	}
	earlier(&wake, fence_wake(d));
	earlier(&wake, dead_at(d));
	return wake;
}
