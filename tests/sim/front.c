/*
 * front.c - a front that does everything at the worst time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Sends are taken in part, and the call returns long after the bytes are gone;
 * buffers are held longer still; receives end after any byte, direct or through
 * a read-ahead buffer; the loss of a connection is noticed late.
 */
#include <stddef.h>
#include <string.h>

#include "sim.h"

#define SEGS	16u

static struct line {
	bool up;			/* the engine has it */
	struct nbe_seg tx[SEGS], rx[2];
	unsigned tx_count, rx_count;
	bool tx_moved;			/* the socket took the bytes */
	uint64_t tx_bytes;
	uint64_t rx_need;
	nbe_time moved_at;		/* bytes came or were taken, or none owed */
} line[CONNS];

bool front_stopped;
uint8_t *keep_buf;
static bool may_die;

void
front_init(void)
{
	memset(line, 0, sizeof(line));
	front_stopped = false;
	keep_buf = calloc(1, plan.cfg.keep_size + 1);
}

void
front_free(void)
{
	free(keep_buf);
}

/* All connections go with it. */
void
front_died(void)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (line[i].up)
			server_forget(i);
	memset(line, 0, sizeof(line));
}

bool
front_is_left(unsigned i)
{
	return line[i].up && line[i].tx_count == 0 && nbe_can_flush_last(dev, i);
}

static uint8_t *
memory_of(const struct nbe_seg *g)
{
	switch (g->kind) {
	case NBE_SEG_CORE:
		return g->base;
	case NBE_SEG_KEPT:
		HOLDS("P7", g->off + g->len <= plan.cfg.keep_size, "keep buffer");
		return keep_buf + g->off;
	case NBE_SEG_SKIP:
		return NULL;
	default:
		HOLDS("P7", io_of(g->req)->live, "bytes of a request that is done");
		HOLDS("P7", g->off + g->len <= g->req->length, "beyond the request");
		return io_of(g->req)->buf + g->off;
	}
}

/* ---- sending --------------------------------------------------------------------- */

static void
send_begin(unsigned i)
{
	struct line *l = &line[i];

	l->tx_count = nbe_tx_begin(dev, i, l->tx, 2 + (unsigned)below(SEGS - 1), now);
	l->tx_moved = false;
	paths_sent(i);
}

/* Whose commands are these?  The engine's own tables say. */
static void
watch(const struct nbe_seg *g)
{
	bool ext = plan.exp.framing == NBE_EXTENDED;
	size_t len = ext ? LEN_EXT_REQUEST : LEN_REQUEST;

	if (g->kind != NBE_SEG_CORE || g->len % len != 0)
		return;
	for (size_t at = 0; at < g->len; at += len) {
		const uint8_t *p = g->base + at;
		uint32_t slot = get32(p + 12);
		struct nbe_req *r;

		if (get16(p + 6) == CMD_DISC || slot >= dev->slots)
			continue;
		r = dev->slot[slot].req;
		if (r != NULL && r != &dev->replay && r != &dev->own_flush &&
		    r != &paths_look.r && r->error == NBE_OK)
			oracle_arrives(r);
	}
}

static void
send_move(unsigned i)
{
	struct line *l = &line[i];
	struct server_conn *s = &server_conn[i];
	uint64_t limit = one_in(3) ? below(3000) : UINT64_MAX;

	l->tx_bytes = 0;
	for (unsigned k = 0; s->alive && k < l->tx_count && l->tx_bytes < limit; k++) {
		uint64_t n = l->tx[k].len;

		if (n > limit - l->tx_bytes)
			n = limit - l->tx_bytes;
		watch(&l->tx[k]);
		pipe_put(&s->wire, memory_of(&l->tx[k]), n);
		l->tx_bytes += n;
	}
	l->tx_moved = true;
}

static void
send_end(unsigned i)
{
	struct line *l = &line[i];

	l->tx_count = 0;
	nbe_tx_end(dev, i, l->tx_moved ? l->tx_bytes : 0,
	    server_conn[i].alive ? NBE_WHY_NONE : NBE_WHY_CLOSED, now);
}

/* ---- receiving ----------------------------------------------------------- */

/* A receive that ended nothing has changed nothing that nbe_work looks at: of the
 * device itself, of its connection. */
static void
receive_end(unsigned i, uint64_t got, enum nbe_why why)
{
	const size_t from = offsetof(struct nbe_dev, rng), n = sizeof(*dev) - from;
	static uint8_t before[sizeof(*dev)];
	const struct conn *c = &dev->conn[i];
	const nbe_time gap = c->gap;
	const uint64_t owed = c->owed, window = c->window;

	memcpy(before, (uint8_t *)dev + from, n);
	HOLDS("seam", nbe_rx_end(dev, i, got, why, now) ||
	    (memcmp(before, (uint8_t *)dev + from, n) == 0 && !c->closing &&
	    c->gap == gap && c->owed == owed && c->window == window),
	    "a receive ended something, and says that it did not");
}

static void
receive_direct(unsigned i)
{
	struct line *l = &line[i];
	struct server_conn *s = &server_conn[i];
	uint64_t got = 0, limit = 1 + below(one_in(2) ? 40 : 9000);

	if (l->rx_count == 0)
		l->rx_count = nbe_rx_begin(dev, i, l->rx, 2, &l->rx_need);
	if (l->rx_count == 0 || (s->alive && l->rx_need != 0 && s->down.len == 0))
		return;
	if (l->rx_need == 0 && l->rx[0].kind == NBE_SEG_ZERO)
		memset(memory_of(&l->rx[0]), 0, l->rx[0].len);
	for (unsigned k = 0; l->rx_need != 0 && k < l->rx_count && got < limit; k++) {
		uint64_t n = l->rx[k].len;

		if (n > limit - got)
			n = limit - got;
		if (n > s->down.len)
			n = s->down.len;
		pipe_take(&s->down, memory_of(&l->rx[k]), n);
		got += n;
		l->moved_at = now;
		if (n < l->rx[k].len)
			break;
	}
	l->rx_count = 0;
	receive_end(i, got, s->alive || got != 0 ? NBE_WHY_NONE : NBE_WHY_CLOSED);
}

static void
receive_ahead(unsigned i)
{
	struct server_conn *s = &server_conn[i];
	static const uint8_t none;
	struct nbe_seg seg[SEGS];
	size_t len = 1 + below(one_in(2) ? 40 : 9000), used;
	unsigned k, n;

	if (len > s->down.len)
		len = s->down.len;
	n = nbe_rx_ahead(dev, i, len != 0 ? pipe_peek(&s->down) : &none, len, seg,
	    1 + (unsigned)below(SEGS), &used);
	HOLDS("seam", used <= len, "used more than there was");
	for (k = 0; k < n; k++) {
		if (seg[k].kind == NBE_SEG_ZERO)
			memset(memory_of(&seg[k]), 0, seg[k].len);
		else
			memcpy(memory_of(&seg[k]), seg[k].base, seg[k].len);
	}
	pipe_take(&s->down, NULL, used);
	line[i].moved_at = now;
	receive_end(i, 0, s->alive || len != 0 ? NBE_WHY_NONE : NBE_WHY_CLOSED);
}

static void
receive(unsigned i)
{
	struct line *l = &line[i];

	if (!l->up || (dev->conn[i].closing && l->rx_count == 0))
		return;
	if (l->rx_count != 0 || one_in(2))
		receive_direct(i);
	else if (server_conn[i].down.len != 0 || !server_conn[i].alive ||
	    dev->conn[i].rx.step == RX_ZERO)
		receive_ahead(i);
}

/* ---- connections --------------------------------------------------------- */

/* An export that must be refused: something of the device is missing. */
static bool
spoil(struct nbe_export *e)
{
	switch (below(5)) {
	case 0:
		e->size = nbe_dev_export(dev)->size - BLOCK;
		return true;
	case 1:
		if ((e->flags & NBE_FLAG_READ_ONLY) != 0)
			return false;
		e->flags |= NBE_FLAG_READ_ONLY;
		return true;
	case 2:
		if ((e->flags & NBE_FLAG_SEND_FLUSH) == 0)
			return false;
		e->flags &= (uint16_t)~NBE_FLAG_SEND_FLUSH;
		return true;
	case 3:
		e->block_min *= 2;
		return true;
	default:
		if (dev->data_max == e->block_min)
			return false;
		e->payload_max = (uint32_t)dev->data_max - e->block_min;
		return true;
	}
}

void
front_open(unsigned i)
{
	struct line *l = &line[i];
	struct nbe_export offer = plan.exp, e;
	enum nbe_why why;
	bool wrong = false;

	offer.size = server_size;
	if (!greet_line(&offer, &e)) {
		nbe_conn_down(dev, i, NBE_WHY_CLOSED, now);
		return;
	}
	if (one_in(15))
		wrong = spoil(&e);
	server_conn[i].server = nbe_conn_path(dev, i);
	server_conn[i].alive = true;
	server_conn[i].size = server_size;
	l->moved_at = now;
	why = nbe_conn_up(dev, i, &e, now);
	trace("connection %u comes up: %s", i, nbe_why_text(why));
	HOLDS("P6", !wrong || why != NBE_WHY_NONE, "a changed disk was taken");
	HOLDS("P6", wrong || why == NBE_WHY_NONE || why == NBE_WHY_STOPPED ||
	    why == NBE_WHY_SCALED || why == NBE_WHY_OTHER_PATH,
	    "an honest connection was refused: %d", why);
	l->up = why == NBE_WHY_NONE;
	if (!l->up)
		server_forget(i);
	if (!l->up)
		return;
	paths_up();
	heir_connected(nbe_conn_path(dev, i));
}

/* Slow is not dead. */
static bool
late(unsigned i)
{
	nbe_time grace = store_owned_by(server_conn[i].server) ? 0 : plan.fence;

	return now - line[i].moved_at >= plan.cfg.timeout + grace ||
	    conn_passed_late_at(dev, &dev->conn[i]) <= now;
}

/* dead: the device had given up when the engine decided this. */
static void
close_line(unsigned i, bool dead)
{
	struct line *l = &line[i];
	enum nbe_why why = nbe_conn_why(dev, i);

	HOLDS("P2", !plan.honest || why == NBE_WHY_CLOSED || why == NBE_WHY_SCALED ||
	    why == NBE_WHY_STOPPED || why == NBE_WHY_SERVER_SHUTDOWN ||
	    why == NBE_WHY_RENEWED || why == NBE_WHY_MOVED ||
	    why == NBE_WHY_OTHER_DISK || (why == NBE_WHY_TIMEOUT && (dead || late(i))),
	    "the engine left an honest server: %d", why);
	trace("engine closes connection %u: %s", i, nbe_why_text(why));
	if (why == NBE_WHY_TIMEOUT)
		server_left(i);
	else
		server_forget(i);
	if (l->tx_count != 0)
		send_end(i);
	if (l->rx_count != 0) {
		l->rx_count = 0;
		nbe_rx_end(dev, i, 0, NBE_WHY_CLOSED, now);
	}
	nbe_conn_down(dev, i, NBE_WHY_CLOSED, now);
	heir_watch();
	l->up = false;
}

static bool
dies(void)
{
	bool now_ = may_die && one_in(plan.die_odds);

	if (now_)
		heir_takes_over();
	return now_;
}

/* A request is done: its data is kept, then that is noted, then it is acknowledged.
 * False: the front has died before one of these. */
static bool
hand_over(struct nbe_req *r)
{
	if (paths_done(r))
		return true;
	if (dies())
		return false;
	if (r->keep != NBE_NO_KEEP)
		memcpy(keep_buf + r->keep, io_of(r)->buf, r->length);
	if (dies())
		return false;
	nbe_kept(dev, r);
	if (dies())
		return false;
	oracle_done(r);
	return true;
}

void
front_work(void)
{
	struct nbe_work w;
	bool dead;

	nbe_work(dev, &w, now);
	dead = dev->dead;
	for (struct nbe_req *r = w.done, *next; r != NULL; r = next) {
		next = r->next;
		if (!hand_over(r))
			return;
	}
	for (unsigned i = 0; i < plan.cfg.conns_max; i++) {
		if ((w.close & 1u << i) != 0 && !line[i].up)
			paths_drop(i);
		else if ((w.close & 1u << i) != 0)
			close_line(i, dead);
		else if ((w.open & 1u << i) != 0 && one_in(3))
			paths_dial(i);
		else if ((w.tx & 1u << i) != 0 && one_in(2))
			send_begin(i);
	}
	if (plan.paths > 1 || plan.cfg.compare)
		paths_work(&w);
	front_stopped = w.stopped;
}

/* ---- the world moves ----------------------------------------------------- */

static void
fault(unsigned i)
{
	struct server_conn *s = &server_conn[i];

	if (plan.cut_odds != 0 && s->alive && one_in(plan.cut_odds))
		server_cut(i);
	if (plan.silence && s->alive && one_in(900))
		s->stalled = true;
	if (plan.restart_odds != 0 && one_in(plan.restart_odds))
		server_restart(plan.paths > 1 ? (unsigned)below(plan.paths) : 0);
	if (plan.abort_odds != 0 && one_in(plan.abort_odds))
		oracle_abort_one();
	if (plan.scale_odds != 0 && one_in(plan.scale_odds))
		nbe_scale(dev, 1 + (unsigned)below(plan.cfg.conns_max), now);
	if (plan.renew_odds != 0 && one_in(plan.renew_odds))
		nbe_renew(dev, i);
	if (plan.renew_odds != 0 && one_in(5 * plan.renew_odds))
		nbe_reconnect(dev, now);
	if (plan.sleep_odds != 0 && one_in(plan.sleep_odds))
		server_sleep(server_conn[i].server, below(4 * plan.fence));
	if (one_in(3000) && server_size + BLOCK <= BLOCKS_MAX * BLOCK)
		server_size += BLOCK;
	if (one_in(5000))		/* the clock jumps, as after a suspend */
		now += below(100 * MS);
	if (plan.paths > 1)
		paths_fault();
}

/* A tick that nbe_wake did not ask for finds nothing to do. */
static void
tick(void)
{
	bool early = nbe_wake(dev, now) > now, dead = dev->dead;
	uint64_t timeouts = dev->st.timeouts;
	const struct nbe_req *fenced = dev->fenced.head;
	unsigned at = dev->mp.at;

	nbe_tick(dev, now);
	HOLDS("wake", !early || (dev->dead == dead && dev->st.timeouts == timeouts &&
	    dev->fenced.head == fenced && dev->mp.at == at),
	    "a tick was due and not announced");
}

void
front_step(bool faults)
{
	unsigned i = (unsigned)below(plan.cfg.conns_max);
	struct line *l = &line[i];

	now += US * (1 + below(60));
	may_die = faults && plan.die_odds != 0;
	(void)dies();
	heir_step();
	if (plan.paths > 1)
		paths_step(i);
	if (faults) {
		if (one_in(2))
			oracle_issue();
		fault(i);
	}
	if (l->tx_count != 0 && l->tx_moved && one_in(2))
		send_end(i);
	else if (l->tx_count != 0 && !l->tx_moved && one_in(2))
		send_move(i);
	if (dev->conn[i].in_flight == 0)
		l->moved_at = now;
	if (!one_in(4) && server_moves(i) && l->up) {
		l->moved_at = now;
		nbe_moved(dev, i, now);
	}
	server_step(i);
	server_run_late(false);
	receive(i);
	tick();
	front_work();
	if (plan.cfg.unflushed == NBE_UNFLUSHED_REPLAY && dev->un.lost)
		oracle_given_up();
	HOLDS("engine", nbe_dev_valid(dev), "an invariant is broken");
}
