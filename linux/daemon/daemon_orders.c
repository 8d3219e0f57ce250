/*
 * daemon_orders.c - what the helper is asked for, and what follows from its answers.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "daemon_impl.h"

#include <unistd.h>

#include "clock.h"
#include "fuse.h"
#include "privilege.h"

#define DETACH_MS	10000

/* Whether somebody, other than the loop device, has the file open. */
static bool
is_open(const struct daemon *d, const struct front_status *status)
{
	return status->opens > (d->attachment.node.kind == NODE_LOOP ? 1u : 0u);
}

/* What is less than a block of the server is read, changed and written by FUSE. */
static uint32_t
sector_size(const struct daemon *d)
{
	uint32_t wanted = d->config->settings.sector_size;

	return wanted != 0 ? wanted : disk_export(d->disk)->block_min;
}

struct helper_order
daemon_make_order(const struct daemon *d, enum helper_job job)
{
	const struct nbe_export *exp = disk_export(d->disk);
	const struct settings *settings = &d->config->settings;
	struct front_status status;

	front_status(&d->front, &status);
	return (struct helper_order){
		.job = job,
		.config = {
			.sector_size = sector_size(d),
			.read_only = settings->read_only ||
			    (exp->flags & NBE_FLAG_READ_ONLY) != 0,
			.discard_max = settings->discard_max,
			.size = exp->size, .block_min = exp->block_min,
			.block_pref = exp->block_pref, .flags = exp->flags,
			.server = getpid(),
			.takes_over = d->config->takes_over,
		},
		.is_open = is_open(d, &status),
		.timeout_ms = DETACH_MS,
	};
}

uint64_t
daemon_next_order(struct daemon *d)
{
	struct {
		bool		*want;
		enum helper_job	job;
	} orders[] = {
		{ &d->want_force, HELPER_FORCE }, { &d->want_attach, HELPER_ATTACH },
		{ &d->want_check, HELPER_CHECK }, { &d->want_detach, HELPER_DETACH },
		{ &d->want_resize, HELPER_RESIZE },
		{ &d->want_upgrade, HELPER_UPGRADE },
	};
	struct helper_order order;
	nbe_time now = clock_now();
	size_t i = 0;

	while (i < sizeof(orders) / sizeof(orders[0]) && !*orders[i].want)
		i++;
	if (d->helper.busy || i == sizeof(orders) / sizeof(orders[0]))
		return UINT64_MAX;
	order = daemon_make_order(d, orders[i].job);
	if (order.job == HELPER_DETACH && order.is_open && now < d->closed_by)
		return d->closed_by - now;
	*orders[i].want = false;
	helper_give(&d->helper, &order);
	return UINT64_MAX;
}

bool
daemon_keep_front(struct daemon *d)
{
	static const struct kept_message fuse = { .what = KEPT_FUSE };
	int fd = front_to_keep(&d->front);

	return fd == FRONT_NOTHING ||
	    (fd != FRONT_NEVER && helper_keep(&d->helper, &fuse, fd));
}

/* What the daemon before this one has not told its users. */
static void
catch_up(struct daemon *d)
{
	if (d->front.fuse == NULL || !fuse_has_grown(d->front.fuse))
		return;
	front_resize(&d->front);
	d->want_resize = true;
}

static void
attach_done(struct daemon *d, const struct helper_result *r)
{
	static const struct kept_message all = { .what = KEPT_ALL_THERE };

	if (!r->ok) {
		daemon_ready(d, false, r->why.text);
		daemon_stop_by_force(d);
		return;
	}
	if (d->stage != STARTING)
		return;
	d->stage = RUNNING;
	d->taken_over = true;
	d->takeovers = r->takeovers;
	d->size = d->helper.order.config.size;
	if (!d->config->takes_over)
		d->outlives = daemon_keep_front(d);
	if (d->outlives)
		(void)helper_keep(&d->helper, &all, -1);
	daemon_ready(d, true, "");
	daemon_tell_hooks(d, HOOK_UP);
	catch_up(d);
	if (d->asker != NULL)		/* since before it was there */
		daemon_stop_softly(d);
}

/* In any answer of the helper, which looks before all it does. */
static void
notice_loss(struct daemon *d)
{
	if (d->node_lost || d->attachment.node.kind != NODE_NONE ||
	    d->stage != RUNNING || !privilege_is_root())
		return;
	d->node_lost = true;
	log_line(&d->log, LOG_ERR, "somebody detached %s; what was under way is "
	    "saved by \"nbdisk disconnect %s\"", d->node, d->config->state->name);
}

static void
detach_done(struct daemon *d, const struct helper_result *r)
{
	if (d->forced)
		return;
	d->detached = r->ok;
	if (r->ok)
		return;
	d->stage = RUNNING;
	daemon_refuse(d, r->why.text);
}

static void
check_done(struct daemon *d, const struct helper_result *r)
{
	(void)r;
	notice_loss(d);
}

static void
resize_done(struct daemon *d, const struct helper_result *r)
{
	if (!r->ok) {
		log_line(&d->log, LOG_ERR, "cannot resize: %s", r->why.text);
		return;
	}
	d->size = d->helper.order.config.size;
	front_size_seen(&d->front);
	log_line(&d->log, LOG_INFO, "the device has its new size");
	daemon_tell_hooks(d, HOOK_RESIZED);
}

/* By force, or because there was nothing left that could be in use. */
static void
force_done(struct daemon *d, const struct helper_result *r)
{
	d->detached = true;
	if (r->why.text[0] != '\0')
		log_line(&d->log, LOG_WARNING, "ended in use: %s", r->why.text);
}

static void
upgrade_done(struct daemon *d, const struct helper_result *r)
{
	struct nbe_stats st;

	if (!d->leaving || d->stage != RUNNING)
		return;
	if (!r->ok) {
		daemon_stay(d, r->why.text);
		return;
	}
	log_line(&d->log, LOG_NOTICE, "leaving the device to the next daemon");
	disk_stats(d->disk, &st);
	d->flushes_failed = st.flushes_failed;
	d->stage = DRAINING;
	d->detached = true;
	disk_stop(d->disk, true);
}

void
daemon_helper_done(void *arg, const struct helper_result *r)
{
	static void (*const done[])(struct daemon *, const struct helper_result *) = {
		[HELPER_ATTACH] = attach_done,
		[HELPER_CHECK] = check_done,
		[HELPER_RESIZE] = resize_done,
		[HELPER_DETACH] = detach_done,
		[HELPER_FORCE] = force_done,
		[HELPER_UPGRADE] = upgrade_done,
	};
	struct daemon *d = arg;

	if (!r->died)
		d->attachment = r->attachment;
	done[r->job](d, r);
}

void
daemon_helper_died(void *arg)
{
	struct daemon *d = arg;

	if (d->stage == RUNNING)
		log_line(&d->log, LOG_ERR, "its helper process was killed: it goes on, "
		    "but with this process it ends, a new size is not taken up, and "
		    "files of TLS are not read again; disconnect it, and connect it "
		    "again, when you can");
}
