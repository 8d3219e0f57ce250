/*
 * path.c - which of several servers of one disk, and how it is left.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All connections are to one path, or are made to it: mp.at.  It is left in three ways:
 *
 * (1) It has no connection any more, for as long as path_timeout: seek.
 * (2) The server says that it shuts down.  Nothing but a flush is sent to it, all
 *     connections are left, and then: seek.
 * (3) A move.  The front has reached the new path; what is under way is finished, all
 *     is flushed, all connections are left, and then: seek, from that path on.
 *
 * Seek: one connection is made to one path after the other, until one takes it.  It is
 * compared with the path that the device comes from (mp.home) only then: to return to
 * that one is no more than a reconnect.
 */
#include "device.h"

/* What the device before this one had acknowledged may be in a cache. */
static void
inherit(struct nbe_dev *d)
{
	unflushed_inherit(d);
	for (uint8_t i = 0; i < d->cfg.paths; i++) {
		if ((d->cfg.old_paths >> i & 1) == 0)
			continue;
		fence_inherit(d, i);
		d->mp.path[i].cached = i != d->mp.home;
	}
}

void
path_init(struct nbe_dev *d, nbe_time now)
{
	struct multipath *mp = &d->mp;

	if (d->cfg.paths == 0)
		d->cfg.paths = 1;
	mp->at = mp->home = d->cfg.path;
	mp->target = NO_PATH;
	mp->left = d->cfg.paths;
	mp->lost_at = now;
	mp->failback_at = NBE_NEVER;
	mp->failback_wait = d->cfg.failback;
	if (d->cfg.fence_by == NBE_FENCE_STORE)
		set_grace(d, d->cfg.fence);
	mp->path[mp->at].state = NBE_PATH_ACTIVE;
	for (unsigned i = 0; i < NBE_MAX_PATHS; i++)
		mp->path[i].since = now;
	inherit(d);
}

static void
set_state(struct nbe_dev *d, uint8_t path, enum nbe_path_state state, enum nbe_why why,
    nbe_time now)
{
	struct path *p = &d->mp.path[path];

	p->state = state;
	p->why = why;
	p->since = now;
}

/* ---- one after the other ------------------------------------------------------- */

/* The connection that is made first; none is up. */
static unsigned
seeker(const struct nbe_dev *d)
{
	unsigned i = 0;

	while (!d->conn[i].wanted)
		i++;
	return i;
}

static void
dial(struct nbe_dev *d, uint8_t path, nbe_time when)
{
	unsigned i;

	d->mp.seeking = true;
	d->mp.at = path;
	d->mp.lost_at = when;
	for (i = 0; i < d->cfg.conns_max; i++)
		d->conn[i].open_at = NBE_NEVER;
	d->conn[seeker(d)].open_at = when;
}

/* By order, but none that the front is just ending. */
static uint8_t
next(const struct nbe_dev *d)
{
	unsigned i = d->mp.at;

	do
		i = (i + 1) % d->cfg.paths;
	while (d->mp.path[i].fencing && i != d->mp.at);
	return (uint8_t)i;
}

/* The present path is given up, for now.  A round of the list that found nothing is
 * followed by a pause. */
static void
give_up(struct nbe_dev *d, enum nbe_why why, nbe_time now)
{
	struct multipath *mp = &d->mp;
	nbe_time when = now;

	set_state(d, mp->at, NBE_PATH_FAILED, why, now);
	mp->by_hand = false;
	if (--mp->left == 0) {
		mp->left = d->cfg.paths;
		when = after(now, conn_backoff(d, &mp->rounds));
	}
	dial(d, next(d), when);
}

/* ---- arriving ------------------------------------------------------------------ */

static void
fence_begun_of(struct nbe_dev *d, const struct reqs *q)
{
	const struct nbe_req *r;

	for (r = q->head; r != NULL; r = r->next)
		fence_begun(d, r, d->mp.home);
}

/* What the device comes from may still write: where that was left in order, only what
 * was lost before. */
static void
fence_home(struct nbe_dev *d)
{
	uint16_t i;

	fence_left(d, d->mp.home, unflushed_cached(d));
	if (d->mp.in_order)
		return;
	fence_begun_of(d, &d->queue);
	fence_begun_of(d, &d->fenced);
	fence_begun_of(d, &d->unkept);
	for (i = d->retry.head; i != NO_SLOT; i = d->slot[i].next)
		fence_begun(d, d->slot[i].req, d->mp.home);
}

/* Back to the first path, some time: but not where the user chose this one. */
static void
plan_failback(struct nbe_dev *d, nbe_time now)
{
	struct multipath *mp = &d->mp;

	mp->failback_at = NBE_NEVER;
	if (d->cfg.failback == 0 || mp->by_hand)
		return;
	if (mp->at != 0)
		mp->failback_at = after(now, mp->failback_wait);
	else if (mp->in_order)
		mp->failback_wait = after(mp->failback_wait, mp->failback_wait);
}

static void
change_home(struct nbe_dev *d, nbe_time now)
{
	struct multipath *mp = &d->mp;

	if (mp->in_order && mp->path[mp->home].state == NBE_PATH_STANDBY)
		d->st.moves++;
	else
		d->st.failovers++;
	fence_home(d);
	mp->path[mp->home].cached = !mp->in_order &&
	    unflushed_cached(d) != CACHED_NOTHING;
	if (mp->path[mp->at].cached)	/* a flush elsewhere did not cover that */
		unflushed_stray(d);
	if (d->cfg.fence_by == NBE_FENCE_STORE)
		set_grace(d, d->cfg.fence);
	fence_back(d, mp->at);
	if (d->cfg.compare)		/* also if none was up before */
		d->hold = HOLD_COMPARE;
	plan_failback(d, now);
	mp->home = mp->at;
}

/* The first connection is up. */
void
path_up(struct nbe_dev *d, nbe_time now)
{
	struct multipath *mp = &d->mp;
	unsigned i;

	if (mp->at != mp->home)
		change_home(d, now);
	if (mp->seeking)
		set_state(d, mp->at, NBE_PATH_ACTIVE, NBE_WHY_NONE, now);
	for (i = 0; mp->seeking && i < d->cfg.conns_max; i++)
		if (d->conn[i].open_at == NBE_NEVER)
			d->conn[i].open_at = now;
	mp->seeking = mp->in_order = mp->by_hand = false;
}

/* ---- leaving ------------------------------------------------------------------- */

static void
leave(struct nbe_dev *d)
{
	d->mp.leaving = true;
	d->hold_flushed = false;
	if (d->hold == HOLD_NEW)	/* for a renewal: it is not needed any more */
		d->hold = HOLD_NOT;
}

/* The move does not take place. */
static void
stay(struct nbe_dev *d, enum nbe_path_state state, enum nbe_why why, nbe_time now)
{
	struct multipath *mp = &d->mp;

	set_state(d, mp->target, state, why, now);
	if (mp->leaving)
		d->hold = HOLD_NOT;
	if (!mp->by_hand)
		mp->failback_at = after(now, mp->failback_wait);
	mp->leaving = mp->by_hand = false;
	mp->target = NO_PATH;
}

/* A move can wait: for replays, and for what was lost and may still land. */
static bool
too_early(const struct nbe_dev *d)
{
	return !d->mp.shutdown && (d->hold == HOLD_COMPARE || d->un.replaying ||
	    fence_holds_replay(d) || fence_of_path(d, d->mp.at));
}

static void
leave_all(struct nbe_dev *d)
{
	unsigned i;

	for (i = 0; i < d->live; i++)
		conn_drain(d, &d->conn[i], d->mp.shutdown ? NBE_WHY_SERVER_SHUTDOWN :
		    NBE_WHY_MOVED);
}

static bool
half_done_in(const struct reqs *q)
{
	const struct nbe_req *r;

	for (r = q->head; r != NULL; r = r->next)
		if (r->cleared && nbe_op_info[r->op].modifies)
			return true;
	return false;
}

/* Is there a change of which the server has done a part, and which is not acknowledged?
 * It will be done all over on the other path; a flush is needed for that part, too. */
static bool
half_done(const struct nbe_dev *d)
{
	return d->retry_count != 0 || half_done_in(&d->queue) ||
	    half_done_in(&d->fenced) || half_done_in(&d->unkept);
}

static void
leave_step(struct nbe_dev *d, nbe_time now)
{
	struct multipath *mp = &d->mp;

	if (d->hold != HOLD_NEW && too_early(d))
		return;
	if (d->hold != HOLD_COMPARE) {	/* to a stranger a flush would mean nothing */
		d->hold = mp->shutdown ? HOLD_ALL : HOLD_NEW;
		if (!d->hold_flushed && half_done(d))
			unflushed_stray(d);
		if (!req_settled(d, now))
			return;
	}
	mp->in_order = unflushed_cached(d) == CACHED_NOTHING;
	if (mp->in_order || mp->shutdown)
		leave_all(d);
	else
		stay(d, NBE_PATH_STANDBY, NBE_WHY_UNFLUSHED, now);
}

/* To the path of a move, or else to the next one. */
static void
seek_on(struct nbe_dev *d, enum nbe_why why, nbe_time now)
{
	struct multipath *mp = &d->mp;
	uint8_t target = mp->target;

	mp->target = NO_PATH;
	if (target == NO_PATH || mp->path[target].fencing) {
		give_up(d, why, now);
		return;
	}
	set_state(d, mp->at, why == NBE_WHY_MOVED ? NBE_PATH_STANDBY :
	    NBE_PATH_FAILED, why, now);
	dial(d, target, now);
}

/*
 * The last connection is gone.  was_fine: the path had answered since the one before.
 * If not, its time goes on to count, and so does the round.
 */
void
path_lost(struct nbe_dev *d, const struct conn *c, bool was_fine, nbe_time now)
{
	struct multipath *mp = &d->mp;
	bool left = mp->leaving || mp->shutdown || mp->target != NO_PATH ||
	    c->why == NBE_WHY_OTHER_DISK;

	if (was_fine) {
		mp->left = d->cfg.paths;
		mp->rounds = 0;
		mp->lost_at = c->why == NBE_WHY_TIMEOUT ? c->moved_at : now;
	}
	mp->leaving = mp->shutdown = false;
	if (left && !d->stop_now)
		seek_on(d, c->why, now);
}

/* A connection that was to be made was not. */
void
path_not_made(struct nbe_dev *d, struct conn *c, enum nbe_why why, bool astray,
    nbe_time now)
{
	struct multipath *mp = &d->mp;

	if (astray)
		c->open_at = !mp->seeking ? now : c == &d->conn[seeker(d)] ?
		    mp->lost_at : NBE_NEVER;
	else if (mp->seeking && c == &d->conn[seeker(d)])
		give_up(d, why, now);
	else if (mp->seeking)
		c->open_at = NBE_NEVER;
}

/* ---- time ---------------------------------------------------------------------- */

/* When the present path has had its time.  While the front still dials another one for
 * it, that has not begun. */
static nbe_time
late_at(const struct nbe_dev *d)
{
	if (d->up != 0 || d->stop_now || astray(d, &d->conn[seeker(d)]))
		return NBE_NEVER;
	return after(d->mp.lost_at, d->cfg.path_timeout);
}

void
path_tick(struct nbe_dev *d, nbe_time now)
{
	const struct conn *c = &d->conn[seeker(d)];

	if (late_at(d) <= now)
		give_up(d, c->opening ? NBE_WHY_TIMEOUT : c->why, now);
}

static bool
to_be_ended(const struct nbe_dev *d, uint8_t path)
{
	return d->cfg.fence_by == NBE_FENCE_COMMAND && path != d->mp.home &&
	    path != d->mp.at && fence_of_path(d, path);
}

nbe_time
path_wake(const struct nbe_dev *d, nbe_time now)
{
	nbe_time wake = late_at(d);
	uint8_t i;

	if (d->mp.failback_at > now && d->mp.failback_at < wake)
		wake = d->mp.failback_at;
	for (i = 0; i < d->cfg.paths; i++)
		if (d->mp.path[i].fence_at > now && d->mp.path[i].fence_at < wake &&
		    to_be_ended(d, i))
			wake = d->mp.path[i].fence_at;
	return wake;
}

/* ---- what the front is asked --------------------------------------------------- */

static void
ask_fence(struct nbe_dev *d, struct nbe_work *w, uint8_t i, nbe_time now)
{
	struct path *p = &d->mp.path[i];

	if (p->fence_at <= now && to_be_ended(d, i))
		p->fencing = true;
	w->fence |= (uint32_t)p->fencing << i;
}

static bool
probes(const struct nbe_dev *d)
{
	const struct multipath *mp = &d->mp;

	return mp->target != NO_PATH && !mp->leaving && !mp->shutdown &&
	    !mp->path[mp->target].fencing;
}

void
path_step(struct nbe_dev *d, struct nbe_work *w, nbe_time now)
{
	struct multipath *mp = &d->mp;
	uint8_t i;

	if (mp->shutdown && !mp->leaving)
		leave(d);
	if (mp->leaving && d->up != 0 && !(d->stopping && idle(d)))
		leave_step(d, now);
	if (mp->failback_at <= now && mp->target == NO_PATH && d->up != 0 &&
	    !d->stopping) {
		mp->failback_at = NBE_NEVER;
		mp->target = 0;
	}
	for (i = 0; i < d->cfg.paths; i++)
		ask_fence(d, w, i, now);
	if (probes(d))
		w->probe = 1u << mp->target;
	for (i = 0; i < d->cfg.conns_max; i++)
		if (astray(d, &d->conn[i]))
			w->close |= 1u << i;
}

/* ---- what the front says ------------------------------------------------------- */

void
nbe_move(struct nbe_dev *d, unsigned path, nbe_time now)
{
	struct multipath *mp = &d->mp;

	NBE_ASSERT(path < d->cfg.paths);
	if (mp->leaving && !mp->shutdown)
		return;				/* one after the other */
	mp->target = path == mp->at ? NO_PATH : (uint8_t)path;
	mp->by_hand = mp->target != NO_PATH;
	mp->failback_wait = d->cfg.failback;
	if (d->up == 0 && mp->by_hand)
		seek_on(d, NBE_WHY_MOVED, now);
}

void
nbe_probed(struct nbe_dev *d, unsigned path, enum nbe_why why, nbe_time now)
{
	NBE_ASSERT(path < d->cfg.paths);
	if (!probes(d) || d->mp.target != path)
		return;
	if (why != NBE_WHY_NONE)
		stay(d, NBE_PATH_FAILED, why, now);
	else
		leave(d);
}

void
nbe_fenced(struct nbe_dev *d, unsigned path, bool certain, nbe_time now)
{
	struct path *p = &d->mp.path[path];

	NBE_ASSERT(path < d->cfg.paths);
	if (!p->fencing)
		return;
	p->fencing = false;
	if (!certain) {
		p->fence_at = after(now, d->cfg.backoff_max);
		return;
	}
	p->cached = false;
	fence_ended(d, (uint8_t)path);
}

void
nbe_stirred(struct nbe_dev *d, unsigned path, nbe_time now)
{
	fence_stirred(d, (uint8_t)path, now);
}

void
nbe_underway(struct nbe_dev *d, unsigned path, bool underway)
{
	NBE_ASSERT(path < d->cfg.paths);
	d->mp.path[path].underway = underway;
	fence_underway(d, (uint8_t)path);
}

bool
nbe_old_writes(const struct nbe_dev *d, unsigned path)
{
	return fence_of_path(d, (uint8_t)path);
}

uint32_t
nbe_old_paths(const struct nbe_dev *d)
{
	uint32_t paths = 1u << d->mp.home;

	for (uint8_t i = 0; i < d->cfg.paths; i++)
		if (i != d->mp.home && (d->mp.path[i].cached || fence_of_path(d, i) ||
		    fence_sleeps(d, i)))
			paths |= 1u << i;
	return paths;
}

void
nbe_compared(struct nbe_dev *d, uint32_t compare, bool same)
{
	unsigned i;

	if (d->hold != HOLD_COMPARE || compare != d->epoch)
		return;
	if (same) {
		d->hold = HOLD_NOT;
		return;
	}
	for (i = 0; i < d->live; i++)
		conn_close(&d->conn[i], NBE_WHY_OTHER_DISK);
}

void
nbe_path(const struct nbe_dev *d, unsigned path, struct nbe_path *p)
{
	const struct path *have = &d->mp.path[path];

	NBE_ASSERT(path < d->cfg.paths);
	*p = (struct nbe_path){
		.state = have->state, .why = have->why, .since = have->since,
		.tried = d->mp.seeking && d->mp.at == path,
		.moving = d->mp.target == path,
		.fencing = d->mp.home != path && fence_of_path(d, (uint8_t)path),
	};
}

unsigned
nbe_conn_path(const struct nbe_dev *d, unsigned conn)
{
	const struct conn *c = &d->conn[conn];

	NBE_ASSERT(conn < d->cfg.conns_max);
	return c->up || c->opening ? c->path : d->mp.at;
}
