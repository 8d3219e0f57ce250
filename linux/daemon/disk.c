/*
 * disk.c - one attached NBD device: the engine and its connections on a ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything the engine asks for is done in disk_turn, once per round of the loop:
 * completions first, then what to send, so that one system call carries all that
 * the round brought about.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "disk_impl.h"
#include "pages.h"

/* A round that comes so much later than the loop was to wait tells that this process,
 * or the machine, was asleep.  That time does not count; and after it there is some
 * more to take what came meanwhile, before anything is given up. */
#define OVERSLEPT	NBE_SECOND
#define WAKING		(NBE_SECOND / 2)
/* Connections are looked after so many times per time-out; and no wait is longer while
 * something is owed, so that time asleep shows. */
#define TEND_PARTS	4
#define TEND_MAX	(5 * NBE_SECOND)

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

nbe_time
disk_now(void *arg)
{
	struct disk *d = arg;

	if (!d->now_known) {
		wake_up(d);
		d->now = clock_now() - d->asleep;
	}
	d->now_known = true;
	return d->now;
}

/* ---- I/O ----------------------------------------------------------------- */

void
disk_submit(struct disk *d, struct disk_io *io)
{
	d->used_at = disk_now(d);
	io->torn = false;
	if (io->req.op == NBE_FLUSH && d->past == DISK_PAST_UNKNOWN) {
		disk_park(d, &io->req);
		return;
	}
	if (d->sampler != NULL)
		sampler_submitted(d->sampler, io);
	nbe_submit(d->dev, &io->req, disk_now(d));
}

bool
disk_wants_to_see(struct disk *d, const struct nbe_req *r)
{
	if (r->op == NBE_WRITE)
		return d->keep != NULL;
	return d->sampler != NULL && sampler_wants(d->sampler, disk_now(d));
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
		d->used_at = disk_now(d);
	for (; r != NULL; r = next) {
		struct disk_io *io = container_of(r, struct disk_io, req);

		next = r->next;
		if (r->keep != NBE_NO_KEEP)
			memcpy(d->keep + r->keep, io->data, r->length);
		nbe_kept(d->dev, r);
		if (d->sampler != NULL && (r->flags & NBE_COMPARE) == 0)
			sampler_done(d->sampler, io, disk_now(d));
		io->done(io);
	}
	return any;
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
			again |= disk_close_conn(d, i);
		else if ((w->tx & bit) != 0) {
			link_send(&d->link[i]);
			again |= nbe_conn_in_order(d->dev, i);
		} else
			disk_dial(d, i);
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
		d->down_since = disk_now(d);
}

/* What is asked for with several servers, or when a server may be another one.  True:
 * the engine has something to do. */
static bool
tend_paths(struct disk *d, const struct nbe_work *w)
{
	for (unsigned i = 0; i < d->paths; i++) {
		if ((w->probe >> i & 1) != 0)
			disk_probe(d, i);
		if ((w->fence >> i & 1) != 0)
			d->events.fence(d->events.arg, i);
	}
	return w->compare != 0 && sampler_compare(d->sampler, w->compare, disk_now(d));
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
		nbe_work(d->dev, &w, disk_now(d));
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
	nbe_time t = disk_now(d);

	tend_links(d, t);
	if (t >= d->wake || d->overdue.count != 0)
		nbe_tick(d->dev, t);
	work(d);
	disk_tell_left(d, d->path);
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
	d->overdue.now = disk_now;
	d->overdue.answered = disk_answered;
	d->overdue.arg = d;
	for (unsigned i = 0; i < d->conns_max; i++)
		d->link[i] = (struct link){
			.dev = d->dev, .ring = d->ring, .overdue = &d->overdue,
			.sends = &d->sends, .conn = i, .now = disk_now, .arg = d,
			.keep = d->keep, .nbc.fd = -1, .ended = disk_ended,
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
	d->dialer = dialer_new(ring, disk_dialed, d);
	if (d->dialer == NULL || !init_memory(d, config)) {
		disk_free(d);
		return NULL;
	}
	d->dev = nbe_dev_init(d->dev_mem, &config->dev, &first[0].exp, disk_now(d));
	if (config->dev.compare && !init_sampler(d)) {
		disk_free(d);
		return NULL;
	}
	if (d->past == DISK_PAST_LOST && nbe_inherited(d->dev))
		d->past = DISK_PAST_KEPT;
	d->epoch = nbe_epoch(d->dev);
	init_links(d, config->notes);
	for (unsigned i = 0; i < count; i++)
		disk_take(d, i, &first[i]);
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
	nbe_scale(d->dev, conns, disk_now(d));
	return true;
}

void
disk_reconnect(struct disk *d)
{
	nbe_reconnect(d->dev, disk_now(d));
}

bool
disk_renewing(const struct disk *d)
{
	return nbe_renewing(d->dev);
}

void
disk_move(struct disk *d, unsigned path)
{
	nbe_move(d->dev, path, disk_now(d));
}

void
disk_fenced(struct disk *d, unsigned path, bool certain)
{
	nbe_fenced(d->dev, path, certain, disk_now(d));
}

void
disk_stop(struct disk *d, bool drain)
{
	nbe_stop(d->dev, drain, disk_now(d));
	for (unsigned i = 0; !drain && i < DIALER_SEATS; i++)
		dialer_cancel(d->dialer, i);
}

nbe_time
disk_idle_for(struct disk *d)
{
	return disk_now(d) - d->used_at;
}
