/*
 * disk.c - one attached NBD device: the engine and its connections on a ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything the engine asks for is done in disk_turn, once per round of the loop:
 * completions first, then what to send, so that one system call carries all that
 * the round brought about.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "dialer.h"
#include "disk_owner.h"
#include "link.h"
#include "overdue.h"
#include "pages.h"
#include "reset.h"
#include "sampler.h"
#include "taken.h"
#include "tls.h"

/* A round that comes so much later than the loop was to wait tells that this process,
 * or the machine, was asleep.  That time does not count; and after it there is some
 * more to take what came meanwhile, before anything is given up. */
#define OVERSLEPT	NBE_SECOND
#define WAKING		(NBE_SECOND / 2)
/* Connections are looked after so many times per time-out; and no wait is longer while
 * something is owed, so that time asleep shows. */
#define TEND_PARTS	4
#define TEND_MAX	(5 * NBE_SECOND)

struct disk {
	struct ring	*ring;
	struct nbe_dev	*dev;
	void		*dev_mem;
	uint8_t		*keep;		/* or NULL */
	uint64_t	keep_size;	/* of that, if it is the disk's own; or 0 */
	struct disk_events events;
	struct dialer	*dialer;
	const struct dialer_server *server;	/* by path */
	unsigned	paths;
	unsigned	path;		/* that was up last */
	uint32_t	left;		/* as events.left was told */
	unsigned	left_path;
	char		path_problem[NBE_MAX_PATHS][256];
	struct sampler	*sampler;	/* NULL: nothing is compared */
	bool		stopped;
	unsigned	conns_max;
	nbe_time	now;
	nbe_time	used_at;	/* a request began or ended last */
	nbe_time	down_since;	/* 0: a connection is up */
	nbe_time	asleep;		/* time that the engine's clock stood still */
	nbe_time	wake;		/* when nbe_tick is due */
	bool		now_known;	/* read once per round */
	nbe_time	tend_every, tend_at;
	nbe_time	wait_from, wait_until;	/* NBE_NEVER: as long as it takes */
	struct overdue	overdue;
	enum disk_past	past;
	uint32_t	epoch;		/* as was told */
	unsigned	asked;		/* answers that tell of it and are to come */
	struct nbe_req	*parked, **parked_end;	/* flushes that wait for them */
	unsigned	sends;		/* of all links, in the ring */
	struct link	link[NBE_MAX_CONNS];
};

/* If the loop was to wait for less: the rest was spent asleep. */
static void
wake_up(struct disk *d)
{
	nbe_time t = clock_now() - d->asleep, waited = d->wait_until - d->wait_from;

	if (d->wait_until == NBE_NEVER || t < d->wait_until + OVERSLEPT)
		return;
	d->asleep += t - d->wait_until;
	d->asleep += waited < WAKING ? waited : WAKING;
}

/* The engine's clock: it stands still while the process is asleep. */
static nbe_time
now(void *arg)
{
	struct disk *d = arg;

	if (!d->now_known) {
		wake_up(d);
		d->now = clock_now() - d->asleep;
	}
	d->now_known = true;
	return d->now;
}

static void
say(struct disk *d, unsigned conn, const char *what, const char *why)
{
	char line[512];

	snprintf(line, sizeof(line), "connection %u %s%s%s", conn, what,
	    why[0] != '\0' ? ": " : "", why);
	d->events.log(d->events.arg, line);
}

/* ---- I/O ----------------------------------------------------------------- */

static void
park(struct disk *d, struct nbe_req *r)
{
	r->next = NULL;
	*d->parked_end = r;
	d->parked_end = &r->next;
}

void
disk_submit(struct disk *d, struct disk_io *io)
{
	d->used_at = now(d);
	io->torn = false;
	if (io->req.op == NBE_FLUSH && d->past == DISK_PAST_UNKNOWN) {
		park(d, &io->req);
		return;
	}
	if (d->sampler != NULL)
		sampler_submitted(d->sampler, io);
	nbe_submit(d->dev, &io->req, now(d));
}

bool
disk_wants_to_see(struct disk *d, const struct nbe_req *r)
{
	if (r->op == NBE_WRITE)
		return d->keep != NULL;
	return d->sampler != NULL && sampler_wants(d->sampler, now(d));
}

const struct nbe_export *
disk_export(const struct disk *d)
{
	return nbe_dev_export(d->dev);
}

/* True: there were some, and their owners may have submitted more. */
static bool
complete(struct disk *d, struct nbe_req *r)
{
	bool any = r != NULL;
	struct nbe_req *next;

	if (any)
		d->used_at = now(d);
	for (; r != NULL; r = next) {
		struct disk_io *io = container_of(r, struct disk_io, req);

		next = r->next;
		if (r->keep != NBE_NO_KEEP)
			memcpy(d->keep + r->keep, io->data, r->length);
		nbe_kept(d->dev, r);
		if (d->sampler != NULL && (r->flags & NBE_COMPARE) == 0)
			sampler_done(d->sampler, io, now(d));
		io->done(io);
	}
	return any;
}

/* ---- what was acknowledged before -------------------------------------------- */

enum disk_past
disk_past(const struct disk *d)
{
	return d->past;
}

static void
end_parked(struct disk *d, struct nbe_req *r)
{
	struct disk_io *io = container_of(r, struct disk_io, req);

	if (d->past == DISK_PAST_SAFE) {
		disk_submit(d, io);
		return;
	}
	r->error = NBE_EIO;
	io->done(io);
}

static void
past_is(struct disk *d, enum disk_past past)
{
	struct nbe_req *r = d->parked, *next;

	d->past = past;
	d->parked = NULL;
	d->parked_end = &d->parked;
	d->events.past(d->events.arg);
	for (; r != NULL; r = next) {
		next = r->next;
		end_parked(d, r);
	}
}

/* One is enough: there are several only if a flush on one is for all. */
static void
answered(void *arg, bool flushed)
{
	struct disk *d = arg;

	d->asked--;
	if (d->past != DISK_PAST_UNKNOWN && d->past != DISK_PAST_KEPT)
		return;
	if (flushed) {
		nbe_past_flushed(d->dev);
		past_is(d, DISK_PAST_SAFE);
	} else if (d->past == DISK_PAST_UNKNOWN && d->asked == 0) {
		past_is(d, DISK_PAST_LOST);
	}
}

_Static_assert(sizeof(struct nbc_tls_keys) <= KEPT_SESSION_MAX, "it is kept");

/* The session of the process before; NULL: nobody can go on with it. */
static struct nbc_tls_last *
old_session(const struct kept_conn *c, const struct note_conn *left)
{
	struct nbc_tls_keys keys;
	struct nbc_tls_last *tls;

	memcpy(&keys, c->session, sizeof(keys));
	tls = nbc_tls_last_new(&keys, (struct nbc_tls_records){
	    left->tx_records, left->rx_records });
	explicit_bzero(&keys, sizeof(keys));
	return tls;
}

static void
ask_old_conn(struct disk *d, const struct kept_conn *c, const struct note_conn *left)
{
	struct nbc_tls_last *tls = c->has_session ? old_session(c, left) : NULL;

	if (c->has_session && tls == NULL) {
		overdue_keep(&d->overdue, c->fd, c->path);
	} else if (overdue_ask(&d->overdue, c->fd, c->path,
	    (enum nbe_framing)c->framing, tls)) {
		if (d->past == DISK_PAST_LOST)
			d->past = DISK_PAST_UNKNOWN;
		d->asked++;
	}
}

/* What is in our own system would arrive at any time: only a reset ends that. */
void
disk_old_conn(struct disk *d, const struct kept_conn *c, const struct note_conn *left)
{
	if (!all_taken(c->fd))
		socket_reset(c->fd);
	else if (left == NULL || d->past == DISK_PAST_SAFE)
		overdue_keep(&d->overdue, c->fd, c->path);
	else
		ask_old_conn(d, c, left);
}

/* ---- connections --------------------------------------------------------- */

/* With several servers: which one it is now. */
static void
say_path(struct disk *d, unsigned path)
{
	char line[600], uri[512];

	d->path_problem[path][0] = '\0';
	if (path == d->path)
		return;
	d->path = path;
	nbc_target_print(d->server[path].target, uri, sizeof(uri));
	snprintf(line, sizeof(line), "the server is %s now", uri);
	d->events.log(d->events.arg, line);
	d->events.moved(d->events.arg);
}

/* Before anything is sent: whoever answers now may know of less. */
static void
tell_epoch(struct disk *d)
{
	uint32_t epoch = nbe_epoch(d->dev);

	if (epoch == d->epoch)
		return;
	d->epoch = epoch;
	if (d->events.epoch != NULL)
		d->events.epoch(d->events.arg);
}

static void
ended(void *arg, unsigned conn)
{
	struct disk *d = arg;

	tell_epoch(d);
	if (d->link[conn].note != NULL)
		d->link[conn].note->can_ask = 0;
	if (d->events.conn != NULL)
		d->events.conn(d->events.arg, conn, NULL);
}

/* For the next process, should this one end now. */
static void
tell_left(struct disk *d, unsigned path)
{
	uint32_t paths = nbe_old_paths(d->dev);

	if (d->events.left == NULL || (paths == d->left && path == d->left_path))
		return;
	d->left = paths;
	d->left_path = path;
	d->events.left(d->events.arg, paths, path);
}

/* Not of a session that only this process, or the kernel, can go on with. */
static void
tell_conn(struct disk *d, unsigned conn)
{
	const struct nbc_conn *nbc = &d->link[conn].nbc;
	struct kept_conn c = {
		.fd = nbc->fd, .path = (uint8_t)nbe_conn_path(d->dev, conn),
		.framing = (uint8_t)nbc->exp.framing, .has_session = nbc->tls != NULL,
	};
	struct nbc_tls_keys keys = { .suite = 0 };

	if (d->events.conn == NULL || nbc->ktls ||
	    (nbc->tls != NULL && !nbc_tls_keys(nbc->tls, &keys)))
		return;
	memcpy(c.session, &keys, sizeof(keys));
	d->events.conn(d->events.arg, conn, &c);
	explicit_bzero(&keys, sizeof(keys));
	explicit_bzero(&c, sizeof(c));
}

static void
take(struct disk *d, unsigned conn, struct nbc_conn *nbc)
{
	struct link *l = &d->link[conn];
	struct nbe_export exp = nbc->exp;
	unsigned path = nbe_conn_path(d->dev, conn);
	enum nbe_why why = nbe_conn_up(d->dev, conn, &exp, now(d));

	if (why != NBE_WHY_NONE) {
		snprintf(l->problem, sizeof(l->problem), "%s", nbe_why_text(why));
		d->path_problem[path][0] = '\0';	/* the engine has the reason */
		say(d, conn, "was refused", l->problem);
		nbc_close(nbc, true);
		return;
	}
	tell_left(d, path);
	if (!link_up(l, nbc)) {
		nbc_close(nbc, true);
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now(d));
		tell_epoch(d);
		return;
	}
	tell_conn(d, conn);
	say(d, conn, "is up", "");
	say_path(d, path);
}

static void
not_made(struct disk *d, unsigned conn, const char *why)
{
	struct link *l = &d->link[conn];

	if (strncmp(l->problem, why, sizeof(l->problem) - 1) != 0)
		say(d, conn, "cannot be made", why);
	snprintf(l->problem, sizeof(l->problem), "%.255s", why);
	snprintf(d->path_problem[nbe_conn_path(d->dev, conn)], sizeof(l->problem),
	    "%.255s", why);
	nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now(d));
}

static void
probed(struct disk *d, unsigned path, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error)
{
	if (ok)
		nbc_close(nbc, true);
	else
		snprintf(d->path_problem[path], sizeof(d->path_problem[path]), "%.255s",
		    error->text);
	nbe_probed(d->dev, path, ok ? NBE_WHY_NONE : NBE_WHY_CLOSED, now(d));
}

static void
dialed(void *arg, unsigned seat, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error)
{
	struct disk *d = arg;

	if (seat >= NBE_MAX_CONNS)
		probed(d, seat - NBE_MAX_CONNS, ok, nbc, error);
	else if (ok)
		take(d, seat, nbc);
	else if (error->kind == NBC_CANCELLED)
		nbe_conn_down(d->dev, seat, NBE_WHY_CLOSED, now(d));
	else
		not_made(d, seat, error->text);
}

static void
dial(struct disk *d, unsigned conn)
{
	unsigned path = nbe_conn_path(d->dev, conn);

	if (dialer_dials(d->dialer, conn) || d->link[conn].closing)
		return;
	if (!dialer_dial(d->dialer, conn, &d->server[path]))
		not_made(d, conn, "no thread to connect with");
}

/* The seats of a dialer: connections, and behind them paths that are only tried. */
static void
probe(struct disk *d, unsigned path)
{
	unsigned seat = NBE_MAX_CONNS + path;

	/* Without a thread it is asked for again in the next round. */
	if (!dialer_dials(d->dialer, seat))
		(void)dialer_dial(d->dialer, seat, &d->server[path]);
}

/* False: it is being closed already. */
static bool
close_conn(struct disk *d, unsigned conn)
{
	struct link *l = &d->link[conn];

	if (dialer_dials(d->dialer, conn)) {
		dialer_cancel(d->dialer, conn);
		return false;
	}
	if (l->closing)
		return false;
	if (l->nbc.fd < 0) {		/* it was not even dialed */
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now(d));
		return true;
	}
	link_close(l);
	say(d, conn, "is closed", l->problem);
	return true;
}

/* ---- the round ----------------------------------------------------------- */

/* True: a connection was closed, or is to be closed after its goodbye, for which not
 * every server closes its end; the engine may have something to say. */
static bool
tend(struct disk *d, const struct nbe_work *w)
{
	uint32_t left = w->close | w->tx | w->open;
	bool again = false;

	for (; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);
		uint32_t bit = 1u << i;

		if ((w->close & bit) != 0)
			again |= close_conn(d, i);
		else if ((w->tx & bit) != 0) {
			link_send(&d->link[i]);
			again |= nbe_conn_in_order(d->dev, i);
		} else
			dial(d, i);
	}
	return again;
}

/* Who has lost a connection wants another one: only then there is something to see. */
static void
note_down(struct disk *d, const struct nbe_work *w)
{
	if (w->open == 0 && w->close == 0 && d->down_since == 0)
		return;
	for (unsigned i = 0; i < d->conns_max; i++) {
		if (!nbe_conn_is_up(d->dev, i))
			continue;
		d->down_since = 0;
		return;
	}
	if (d->down_since == 0)
		d->down_since = now(d);
}

/* What is asked for with several servers, or when a server may be another one.  True:
 * the engine has something to do. */
static bool
tend_paths(struct disk *d, const struct nbe_work *w)
{
	for (unsigned i = 0; i < d->paths; i++) {
		if ((w->probe >> i & 1) != 0)
			probe(d, i);
		if ((w->fence >> i & 1) != 0)
			d->events.fence(d->events.arg, i);
	}
	return w->compare != 0 && sampler_compare(d->sampler, w->compare, now(d));
}

static bool
all_quiet(const struct disk *d)
{
	for (unsigned i = 0; i < d->conns_max; i++)
		if (!link_quiet(&d->link[i]))
			return false;
	return d->overdue.count == 0;
}

/* Work of this round, until no more comes of it. */
static void
work(struct disk *d)
{
	struct nbe_work w;
	bool again = true;

	while (again) {
		nbe_work(d->dev, &w, now(d));
		again = complete(d, w.done);
		again |= tend(d, &w);
		again |= tend_paths(d, &w);
		if (w.resized)
			d->events.resized(d->events.arg);
	}
	note_down(d, &w);
	overdue_tend(&d->overdue, w.stopped);
	if (w.stopped && !d->stopped && all_quiet(d)) {
		d->stopped = true;
		d->events.stopped(d->events.arg);
	}
}

/* ---- time ---------------------------------------------------------------- */

static void
tend_links(struct disk *d, nbe_time t)
{
	if (t < d->tend_at)
		return;
	d->tend_at = t + d->tend_every;
	for (unsigned i = 0; i < d->conns_max; i++)
		link_tend(&d->link[i]);
}

uint64_t
disk_turn(struct disk *d)
{
	nbe_time t = now(d);

	tend_links(d, t);
	if (t >= d->wake || d->overdue.count != 0)
		nbe_tick(d->dev, t);
	work(d);
	tell_left(d, d->path);
	d->wake = nbe_wake(d->dev, t);
	d->wait_from = t;
	d->wait_until = d->wake;
	if ((d->wake != NBE_NEVER || d->overdue.count != 0) && d->wake > d->tend_at)
		d->wait_until = d->tend_at > t ? d->tend_at : t;
	d->now_known = false;
	if (d->wait_until == NBE_NEVER)
		return UINT64_MAX;
	return d->wait_until > t ? d->wait_until - t : 0;
}

/* ---- life ---------------------------------------------------------------- */

/* All of it is there before the first I/O, which must not wait for memory. */
static bool
init_memory(struct disk *d, const struct disk_config *config)
{
	d->dev_mem = pages_malloc(nbe_dev_size(&config->dev));
	if (d->dev_mem == NULL)
		return false;
	d->keep = config->keep;
	if (config->dev.unflushed != NBE_UNFLUSHED_REPLAY || d->keep != NULL)
		return true;
	d->keep = pages_new(config->dev.keep_size);
	d->keep_size = config->dev.keep_size;
	return d->keep != NULL && pages_ready(d->keep, d->keep_size);
}

static nbe_time
tend_time(const struct nbe_dev_config *c)
{
	nbe_time t = c->timeout < c->dead_timeout ? c->timeout : c->dead_timeout;

	return t / TEND_PARTS < TEND_MAX ? t / TEND_PARTS : TEND_MAX;
}

static void
init_links(struct disk *d, volatile struct note_conn *notes)
{
	d->overdue.dev = d->dev;
	d->overdue.ring = d->ring;
	d->overdue.now = now;
	d->overdue.answered = answered;
	d->overdue.arg = d;
	for (unsigned i = 0; i < d->conns_max; i++)
		d->link[i] = (struct link){
			.dev = d->dev, .ring = d->ring, .overdue = &d->overdue,
			.sends = &d->sends, .conn = i, .now = now, .arg = d,
			.keep = d->keep, .nbc.fd = -1, .ended = ended,
			.note = notes != NULL ? notes + i : NULL,
		};
}

static void
other_disk(void *arg)
{
	struct disk *d = arg;
	char uri[512], line[800];

	nbc_target_print(d->server[d->path].target, uri, sizeof(uri));
	snprintf(line, sizeof(line), "%s has another disk: what was read before, and "
	    "flushed, is not there; nothing was written to it", uri);
	d->events.log(d->events.arg, line);
}

static bool
init_sampler(struct disk *d)
{
	d->sampler = sampler_new(d->dev, disk_export(d)->block_min);
	if (d->sampler != NULL)
		sampler_on_different(d->sampler, other_disk, d);
	return d->sampler != NULL;
}

struct disk *
disk_new(struct ring *ring, const struct disk_config *config, struct nbc_conn *first,
    unsigned count)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->ring = ring;
	d->events = config->events;
	d->wait_until = NBE_NEVER;
	d->past = config->past;
	d->parked_end = &d->parked;
	d->tend_every = tend_time(&config->dev);
	d->conns_max = config->dev.conns_max;
	d->server = config->server;
	d->paths = config->dev.paths > 0 ? config->dev.paths : 1;
	d->path = config->dev.path;
	d->dialer = dialer_new(ring, dialed, d);
	if (d->dialer == NULL || !init_memory(d, config)) {
		disk_free(d);
		return NULL;
	}
	d->dev = nbe_dev_init(d->dev_mem, &config->dev, &first[0].exp, now(d));
	if (config->dev.compare && !init_sampler(d)) {
		disk_free(d);
		return NULL;
	}
	if (d->past == DISK_PAST_LOST && nbe_inherited(d->dev))
		d->past = DISK_PAST_KEPT;
	d->epoch = nbe_epoch(d->dev);
	init_links(d, config->notes);
	for (unsigned i = 0; i < count; i++)
		take(d, i, &first[i]);
	return d;
}

void
disk_free(struct disk *d)
{
	if (d->dialer != NULL)
		dialer_free(d->dialer);
	sampler_free(d->sampler);
	if (d->keep_size != 0)
		munmap(d->keep, d->keep_size);
	free(d->dev_mem);
	free(d);
}

bool
disk_has_old_writes(const struct disk *d)
{
	bool has = false;

	for (unsigned i = 0; i < d->paths; i++)
		has |= nbe_old_writes(d->dev, i);
	return has;
}

bool
disk_scale(struct disk *d, unsigned conns)
{
	if (conns > 1 && (disk_export(d)->flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		return false;
	nbe_scale(d->dev, conns, now(d));
	return true;
}

void
disk_reconnect(struct disk *d)
{
	nbe_reconnect(d->dev, now(d));
}

bool
disk_renewing(const struct disk *d)
{
	return nbe_renewing(d->dev);
}

void
disk_move(struct disk *d, unsigned path)
{
	nbe_move(d->dev, path, now(d));
}

void
disk_fenced(struct disk *d, unsigned path, bool certain)
{
	nbe_fenced(d->dev, path, certain, now(d));
}

void
disk_stop(struct disk *d, bool drain)
{
	nbe_stop(d->dev, drain, now(d));
	for (unsigned i = 0; !drain && i < DIALER_SEATS; i++)
		dialer_cancel(d->dialer, i);
}

nbe_time
disk_idle_for(struct disk *d)
{
	return now(d) - d->used_at;
}

/* ---- what it is like ----------------------------------------------------- */

nbe_time
disk_down_for(struct disk *d)
{
	return d->down_since == 0 ? 0 : now(d) - d->down_since + 1;
}

void
disk_stats(const struct disk *d, struct nbe_stats *st)
{
	nbe_stats(d->dev, st);
}

void
disk_conn_info(const struct disk *d, unsigned conn, struct disk_conn_info *info)
{
	const struct link *l = &d->link[conn];
	struct nbe_stats st;

	nbe_stats(d->dev, &st);
	*info = (struct disk_conn_info){
		.tls = l->nbc.tls != NULL || l->nbc.ktls, .ktls = l->nbc.ktls,
	};
	snprintf(info->problem, sizeof(info->problem), "%s", l->problem);
	if (nbe_conn_is_up(d->dev, conn))
		info->state = DISK_CONN_UP;
	else if (dialer_dials(d->dialer, conn))
		info->state = DISK_CONN_OPENING;
	else
		info->state = conn < st.conns_wanted ? DISK_CONN_WAITING :
		    DISK_CONN_UNUSED;
}

unsigned
disk_path(const struct disk *d)
{
	return d->path;
}

void
disk_path_info(const struct disk *d, unsigned path, struct disk_path_info *info)
{
	nbe_time t = clock_now() - d->asleep;
	struct nbe_path p;

	nbe_path(d->dev, path, &p);
	*info = (struct disk_path_info){
		.state = (enum disk_path_state)p.state, .tried = p.tried,
		.moving = p.moving, .fencing = p.fencing,
		.since_ms = t > p.since ? (t - p.since) / (NBE_SECOND / 1000) : 0,
	};
	nbc_target_print(d->server[path].target, info->uri, sizeof(info->uri));
	if (d->path_problem[path][0] != '\0' && p.state == NBE_PATH_FAILED)
		snprintf(info->problem, sizeof(info->problem), "%s",
		    d->path_problem[path]);
	else if (p.state == NBE_PATH_FAILED || p.why == NBE_WHY_UNFLUSHED)
		snprintf(info->problem, sizeof(info->problem), "%s",
		    nbe_why_text(p.why));
}
