/*
 * paths.c - the front's part where there are several servers, at the worst time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Dials take their time and hang; fence commands fail now and then, with or without
 * having ended the server; what is compared is told late.
 */
#include <string.h>

#include "sim.h"

struct io paths_look;			/* a read, to compare the disk */

static bool dialing[CONNS], probing[SERVERS], fencing[SERVERS];
static unsigned home, look_server;
static uint32_t look_for;
static uint64_t moves;

void
paths_init(void)
{
	memset(dialing, 0, sizeof(dialing));
	memset(probing, 0, sizeof(probing));
	memset(fencing, 0, sizeof(fencing));
	memset(&paths_look, 0, sizeof(paths_look));
	home = 0;
	moves = 0;
}

/* ---- connections --------------------------------------------------------- */

void
paths_dial(unsigned i)
{
	if (plan.paths > 1)
		dialing[i] = true;
	else
		front_open(i);
}

void
paths_drop(unsigned i)
{
	if (one_in(3))
		return;			/* some time */
	dialing[i] = false;
	nbe_conn_down(dev, i, NBE_WHY_CLOSED, now);
}

/* A dial gets on, if there is somebody. */
static void
move_dial(unsigned i)
{
	if (!dialing[i] || !one_in(4))
		return;
	if (server_reached(nbe_conn_path(dev, i))) {
		dialing[i] = false;
		front_open(i);
	} else if (one_in(4)) {
		dialing[i] = false;
		nbe_conn_down(dev, i, NBE_WHY_CLOSED, now);
	}
}

/* The control: as if what the old server had acknowledged could not land. */
static void
forget_cached(void)
{
	for (uint32_t i = 0; i < dev->fence_count; i++) {
		struct fence *f = &dev->fence[i];

		if (f->path == dev->mp.home || f->slot != NO_SLOT)
			continue;
		if (f->cached)
			f->off = f->end = 0;
		f->cached = false;
	}
}

void
paths_up(void)
{
	if (dev->mp.home == home)
		return;
	trace("from server %u to server %u", home, dev->mp.home);
	if (plan.control == IN_FLIGHT_ONLY)
		forget_cached();
	home = dev->mp.home;
	server_returns(home);
	if (home == plan.stranger)
		return;			/* it is left again before it matters */
	oracle_other_server(moves != dev->st.moves);
	moves = dev->st.moves;
}

/* ---- the same disk ------------------------------------------------------- */

/* Until it is known, nothing but what is compared is sent. */
void
paths_sent(unsigned i)
{
	const struct conn *c = &dev->conn[i];

	for (uint32_t k = c->batch_at; k < c->batch_count; k++)
		HOLDS("P6", dev->hold != HOLD_COMPARE || c->batch[k] == NO_SLOT ||
		    dev->slot[c->batch[k]].req == &paths_look.r,
		    "sent before it was known whether it is the same disk");
}

bool
paths_done(struct nbe_req *r)
{
	if (r != &paths_look.r)
		return false;
	paths_look.live = false;
	if (r->error == NBE_OK)
		nbe_compared(dev, look_for, look_server != plan.stranger);
	free(paths_look.buf);
	return true;
}

static void
look(uint32_t compare)
{
	if (compare == 0 || paths_look.live || one_in(2))
		return;
	memset(&paths_look, 0, sizeof(paths_look));
	paths_look.live = true;
	paths_look.r.op = NBE_READ;
	paths_look.r.flags = NBE_COMPARE;
	paths_look.r.length = BLOCK;
	paths_look.buf = malloc(BLOCK);
	look_for = compare;
	look_server = dev->mp.home;
	nbe_submit(dev, &paths_look.r, now);
}

/* ---- what is asked ------------------------------------------------------- */

/* The user's program: it says yes only if it has ended the server, or it lies. */
static void
end_server(unsigned s)
{
	bool well = plan.lying || !one_in(3), ends = well || one_in(2);

	fencing[s] = false;
	if (plan.control == LYING_COMMAND) {
		well = true;
	} else if (ends) {
		server_end(s);
		server_gets_nothing(s);
	}
	trace("server %u is %s", s, well ? "fenced" : "not known to be fenced");
	nbe_fenced(dev, s, well, now);
}

void
paths_work(const struct nbe_work *w)
{
	for (unsigned s = 0; s < plan.paths; s++) {
		probing[s] |= (w->probe >> s & 1) != 0;
		fencing[s] |= (w->fence >> s & 1) != 0;
	}
	look(w->compare);
}

void
paths_step(unsigned i)
{
	unsigned s = (unsigned)below(plan.paths);

	server_world();
	move_dial(i);
	if (probing[s] && one_in(20)) {
		probing[s] = false;
		nbe_probed(dev, s, server_reached(s) ? NBE_WHY_NONE : NBE_WHY_CLOSED,
		    now);
	}
	if (fencing[s] && one_in(50))
		end_server(s);
}

void
paths_fault(void)
{
	unsigned s = (unsigned)below(plan.paths);

	if (plan.away_odds != 0 && one_in(plan.away_odds)) {
		nbe_time time = below(40 * MS);	/* first, with any compiler */

		server_goes_away(one_in(3) ? s : home, time);
	}
	if (plan.move_odds != 0 && one_in(plan.move_odds))
		nbe_move(dev, s, now);
}

void
paths_died(void)
{
	memset(dialing, 0, sizeof(dialing));
	memset(probing, 0, sizeof(probing));
	memset(fencing, 0, sizeof(fencing));
	if (paths_look.live)
		free(paths_look.buf);
	paths_look.live = false;
	moves = 0;
}

/* As a rule where it was.  The next front knows the disk by its size only. */
unsigned
paths_after(void)
{
	unsigned path = dev->mp.home;

	if (plan.paths > 1 && one_in(3))
		path = (unsigned)below(plan.paths);
	return path == plan.stranger ? 0 : path;
}

/* What servers that were left still has gets to the store. */
void
paths_end(void)
{
	if (dev->mp.home == plan.stranger)
		oracle_other_server(false);
	for (unsigned s = 0; s < plan.paths; s++)
		for (unsigned b = 0; s != dev->mp.home && b < BLOCKS_MAX; b++)
			store_write_back(s, b);
}
