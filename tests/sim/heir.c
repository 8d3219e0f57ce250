/*
 * heir.c - the front dies, with the engine in it, and the next one takes its place.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As with a block device whose daemon is killed: all connections are lost at once, all
 * requests that were not answered are given to a new device, and of the old one is
 * known what it has kept: nbe_old_paths, and whether it had acknowledged changes that
 * no flush had covered.  If so, and no server can be asked to flush them where they
 * were written, those flushes fail that were under way, or else the next one.  With
 * REPLAY also those until the old commands are fenced, and the next one: a replay among
 * them may bring back what is older than what was acknowledged.
 *
 * It can be asked over a connection that is still there, is known to reach it as it was
 * since the last flush, and has no piece of a command in it.
 *
 * Requests wait until the next device has a connection: a server that is restarted
 * after that is noticed.
 */
#include "sim.h"

static bool unflushed, fails, losing, waits, elsewhere;
static bool doubt;
static uint32_t epoch;
static unsigned active;		/* server, at which the last connection came up */
static uint64_t moment, changed, doubted, mark[IOS];
static unsigned long restarts;	/* of servers, when it died */

void
heir_init(void)
{
	unflushed = fails = losing = waits = doubt = false;
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

static void
watch_epoch(void)
{
	if (nbe_epoch(dev) == epoch)
		return;
	epoch = nbe_epoch(dev);
	doubt = true;
	doubted = ++moment;
}

/* In the place of nbe_submit. */
void
heir_submit(struct io *o)
{
	if (waits)
		return;
	watch_epoch();
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

	watch_epoch();
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

/* True: nothing is lost. */
static bool
asks(void)
{
	bool flushed = false;

	if ((plan.exp.flags & NBE_FLAG_SEND_FLUSH) == 0 || one_in(3) ||
	    (doubt && plan.control != NO_DOUBT))
		return false;
	for (unsigned i = 0; i < plan.cfg.conns_max && !flushed; i++)
		flushed = front_is_left(i) && server_conn[i].server == active &&
		    server_flushes(i);
	trace("the server is asked to flush: %s", flushed ? "it has" : "no answer");
	return flushed;
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
	if (server_restarts != restarts)	/* unseen, of whichever it was */
		oracle_not_replayed();
	losing = unflushed && plan.cfg.unflushed != NBE_UNFLUSHED_IGNORE;
	if (in_doubt())
		oracle_in_doubt();
	for (o = next_by_age(0); o != NULL; o = next_by_age(o->seq)) {
		fails = true;
		told |= o->r.op == NBE_FLUSH;
		heir_submit(o);
	}
	fails = !told || in_doubt();
}

void
heir_takes_over(void)
{
	struct nbe_dev_config c = plan.cfg;
	struct nbe_export e = plan.exp;

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
	watch_epoch();
	unflushed = unflushed && !asks();
	doubt = unflushed;
	doubted = moment;
	front_died();
	paths_died();
	server_died();
	oracle_records_lost();
	dev = nbe_dev_init(dev, &c, &e, now);
	epoch = nbe_epoch(dev);
	waits = true;
}
