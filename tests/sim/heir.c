/*
 * heir.c - the front dies, with the engine in it, and the next one takes its place.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As with a block device whose daemon is killed: all connections are lost at once, all
 * requests that were not answered are given to a new device, and of the old one is
 * known what it has kept: nbe_old_paths, and whether it had acknowledged changes that
 * no flush had covered.  With REPLAY these are there, too, with their data, as the old
 * device had them at that moment, unless who held that memory has died with it.
 *
 * If there is no such memory, and no server can be asked to flush them where they
 * were written, those flushes fail that were under way, or else the next one.  With
 * REPLAY also those until the old commands are fenced, and the next one: a replay among
 * them may bring back what is older than what was acknowledged.
 *
 * It can be asked over a connection that is still there, is known to reach it as it was
 * since the last flush, and has no piece of a command in it.  Whole ones may still
 * be in the client's system: they are underway, and then with the server, or never.
 *
 * Requests wait until the next device has a connection: a server that is restarted
 * after that is noticed.
 */
#include <string.h>

#include "sim.h"

static bool unflushed, fails, losing, waits, elsewhere;
static bool doubt;
static uint32_t epoch;
static unsigned active;		/* server, at which the last connection came up */
static uint64_t moment, changed, doubted, mark[IOS];
static unsigned long restarts;	/* of servers, when it died */
static bool answer_comes;	/* it was asked, and has flushed */
static uint64_t asked_at;	/* moment */
static bool memory_lost;	/* once */
static bool underway;		/* to the server that was active: */
static unsigned bound_for;

void
heir_prepare(void)
{
	if (plan.die_odds != 0 && plan.cfg.unflushed == NBE_UNFLUSHED_REPLAY)
		plan.cfg.records = calloc(1, nbe_records_size(&plan.cfg));
}

void
heir_free(void)
{
	free(plan.cfg.records);
}

void
heir_init(void)
{
	unflushed = fails = losing = waits = doubt = false;
	answer_comes = memory_lost = underway = false;
	moment = changed = doubted = 0;
	epoch = nbe_epoch(dev);
}

static bool
old_writes(void)
{
	bool any = false;

	for (unsigned i = 0; i < plan.paths; i++)
		any |= nbe_old_writes(dev, i);
	return any;
}

/* What was acknowledged and not flushed may still be undone. */
static bool
in_doubt(void)
{
	return losing && plan.cfg.unflushed == NBE_UNFLUSHED_REPLAY && old_writes();
}

/* All that was acknowledged is flushed, where the last connection was left in order. */
void
heir_watch(void)
{
	struct nbe_stats st;

	if (nbe_epoch(dev) == epoch)
		return;
	epoch = nbe_epoch(dev);
	nbe_stats(dev, &st);
	if (plan.cfg.paths < 2 && !st.dirty) {
		unflushed = unflushed && doubt;
		return;
	}
	doubt = true;
	doubted = ++moment;
}

/* In the place of nbe_submit. */
void
heir_submit(struct io *o)
{
	if (waits)
		return;
	mark[o - io] = moment;
	if (o->r.op == NBE_FLUSH)
		losing &= fails;
	if (!losing || o->r.op != NBE_FLUSH) {
		nbe_submit(dev, &o->r, now);
		return;
	}
	fails = in_doubt();
	o->r.error = NBE_EIO;
	o->r.keep = NBE_NO_KEEP;
	oracle_done(&o->r);
	if (fails)
		oracle_in_doubt();
}

/* A block layer has one flush under way at a time: one that must still fail for a loss
 * that others have told is not forgotten for one that is fine. */
static bool
only_flush(const struct io *o)
{
	for (unsigned i = 0; i < IOS; i++)
		if (io[i].live && &io[i] != o && io[i].r.op == NBE_FLUSH)
			return false;
	return true;
}

/* It is about to be acknowledged. */
void
heir_done(const struct io *o)
{
	const struct nbe_req *r = &o->r;

	if (r->op == NBE_FLUSH && r->error == NBE_OK && only_flush(o)) {
		doubt = doubt && mark[o - io] < doubted;
		unflushed = unflushed && mark[o - io] < changed;
	}
	if (!nbe_op_info[r->op].modifies ||
	    ((r->flags & NBE_FUA) != 0 && r->error == NBE_OK))
		return;
	unflushed = true;
	changed = ++moment;
}

static struct io *
next_by_age(uint64_t seq)
{
	struct io *next = NULL;

	for (unsigned i = 0; i < IOS; i++)
		if (io[i].live && io[i].seq > seq &&
		    (next == NULL || io[i].seq < next->seq))
			next = &io[i];
	return next;
}

static bool
is_left(unsigned conn)
{
	return front_is_left(conn) && server_conn[conn].server == active &&
	    server_conn[conn].alive && !server_conn[conn].stalled;
}

/* True: nothing is lost. */
static bool
asks(void)
{
	bool flushed = false;

	if ((plan.exp.flags & NBE_FLAG_SEND_FLUSH) == 0 || one_in(3) ||
	    (doubt && plan.control != NO_DOUBT))
		return false;
	for (unsigned i = 0; i < plan.cfg.conns_max && !flushed; i++)
		flushed = is_left(i) && server_conn[i].wire.len == 0 &&
		    server_flushes(active);
	trace("the server is asked to flush: %s", flushed ? "it has" : "no answer");
	return flushed;
}

/* Whether a flush is behind it, or not. */
static void
leave_underway(void)
{
	if (underway)
		server_gets_nothing(bound_for);
	underway = false;
	bound_for = active;
	for (unsigned i = 0; plan.fence != 0 && i < plan.cfg.conns_max; i++)
		if (is_left(i) && one_in(2))
			underway |= server_underway(i);
}

void
heir_connected(unsigned path)
{
	bool told = false;
	struct io *o;

	active = path;
	if (!waits)
		return;
	waits = false;
	server_restarts += elsewhere;	/* what is cached at the other one is lost */
	/* unseen, of whichever it was */
	if (server_restarts != restarts && !dev->un.taken)
		oracle_not_replayed();
	losing = unflushed && plan.cfg.unflushed != NBE_UNFLUSHED_IGNORE &&
	    !nbe_inherited(dev);
	if (in_doubt())
		oracle_in_doubt();
	for (o = next_by_age(0); o != NULL; o = next_by_age(o->seq)) {
		fails = true;
		told |= o->r.op == NBE_FLUSH;
		heir_submit(o);
	}
	fails = !told || in_doubt();
}

bool
heir_may_lose(void)
{
	return memory_lost || plan.cfg.dead_timeout != NBE_NEVER ||
	    (plan.exp.flags & NBE_FLAG_SEND_FLUSH) == 0;
}

/* Its connection is reset where the server was restarted. */
static void
arrive(void)
{
	trace("nothing is underway any more");
	underway = false;
	if (server_restarts == restarts) {
		server_arrives(bound_for);
	} else {
		server_gets_nothing(bound_for);
	}
	nbe_underway(dev, bound_for, false);
}

static void
begin_underway(void)
{
	nbe_underway(dev, bound_for, true);
	if (plan.control == ARRIVED)
		nbe_underway(dev, bound_for, false);
}

/* Over a connection that is left, some time. */
void
heir_step(void)
{
	if (underway && one_in(300))
		arrive();
	if (!answer_comes || !one_in(20))
		return;
	trace("that it has flushed is known now");
	answer_comes = false;
	nbe_past_flushed(dev);
	if (changed <= asked_at)
		unflushed = doubt = false;
}

/* As a rule it outlives the front; or somebody has scrawled over it. */
static void
lose_memory(struct records *all)
{
	if (all == NULL || !one_in(6))
		return;
	trace("and what it had kept is lost");
	memory_lost = true;
	if (one_in(2))
		memset(all, 0, nbe_records_size(&plan.cfg));
	else
		all->layout++;
	memset(keep_buf, 0x77, plan.cfg.keep_size);
}

static void
believe_all(struct records *all)
{
	for (uint32_t i = 0; all != NULL && i < plan.cfg.keep_records; i++)
		all->at[i].kept = true;
}

/* The next device; now and then one that dies at that, and one more. */
static void
begin(const struct nbe_dev_config *c, const struct nbe_export *e)
{
	size_t size = nbe_records_size(c);
	struct records *all = c->records, *before = malloc(size);

	if (all != NULL)
		memcpy(before, all, size);
	dev = nbe_dev_init(dev, c, e, now);
	if (dev->un.taken && one_in(3)) {
		for (uint32_t i = 0; i < c->keep_records; i++)
			if (one_in(2))
				all->at[i] = before->at[i];
		dev = nbe_dev_init(dev, c, e, now);
	}
	free(before);
}

void
heir_takes_over(void)
{
	struct nbe_dev_config c = plan.cfg;
	struct nbe_export e = plan.exp;

	c.inherit = unflushed;
	c.old_paths = plan.control == NO_PAST ? 0 : nbe_old_paths(dev);
	c.path = (uint8_t)paths_after();
	c.seed = rnd();
	e.size = server_size;
	if (!waits) {
		elsewhere = false;
		restarts = server_restarts;
	}
	elsewhere |= c.path != dev->mp.home;
	trace("the front dies; the next one begins at server %u, old paths %#x", c.path,
	    c.old_paths);
	answer_comes = unflushed && asks();
	leave_underway();
	front_died();
	paths_died();
	server_died();
	lose_memory(c.records);
	if (plan.control == UNKEPT)
		believe_all(c.records);
	begin(&c, &e);
	if (!dev->un.taken) {
		oracle_records_lost();
		unflushed = unflushed && !answer_comes;
	}
	if (underway)
		begin_underway();
	doubt = unflushed;
	doubted = asked_at = moment;
	epoch = nbe_epoch(dev);
	waits = true;
}
