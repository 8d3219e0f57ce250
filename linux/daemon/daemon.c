/*
 * daemon.c - the one process behind a device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One ring carries the disk's connections, FUSE or ublk, the control socket, signals
 * and the answers of the helper.  The stages of an orderly end:
 *
 *	RUNNING -> DETACHING	the helper looks for users, detaches, unmounts
 *	        -> DRAINING	the disk finishes and flushes what it has
 *	        -> STOPPED	nothing is left but this process
 *
 * By force, what is under way fails first, and then nothing can be waited for.
 *
 * For an upgrade the device stays: what the kernel asks for from now on is left to the
 * next daemon, what is under way is done and flushed, the helper is told (it starts
 * that one), and then the disk ends, RUNNING -> DRAINING -> STOPPED.
 *
 * Somebody else may take away what was attached.  An unmount, or a stop of ublk, begins
 * an orderly end; of a loop device only the state tells (DETACHED), and the rest ends
 * when told to.
 */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "control_server.h"
#include "fencer.h"
#include "front.h"
#include "fuse.h"
#include "helper.h"
#include "hooks.h"
#include "kept_memory.h"
#include "log.h"
#include "pressure.h"
#include "privilege.h"
#include "process.h"
#include "snapshot.h"
#include "ublk.h"

#define RING_ENTRIES	1024
#define DETACH_MS	10000
#define FORCE_TIME	(10 * NBE_SECOND)
#define CLOSE_TIME	NBE_SECOND	/* the kernel tells of a close a little later */
#define BACKOFF_MIN	(NBE_SECOND / 10)
#define BACKOFF_MAX	(10 * NBE_SECOND)
#define KEEP_RECORDS	65536
#define REST		(10 * NBE_SECOND)	/* nobody has asked for so long */
#define FUSE_DEPTH	64	/* per CPU over io_uring */

enum stage { STARTING, RUNNING, DETACHING, DRAINING, STOPPED };

struct daemon {
	const struct daemon_config *config;
	struct nbc_options options[NBE_MAX_PATHS];	/* of the disk's own attempts */
	struct dialer_server server[NBE_MAX_PATHS];
	struct ring	ring;
	struct log	log;
	struct helper	helper;
	struct hooks	hooks;
	struct opener	opener;
	struct fencer	fencer;
	struct pressure	pressure;
	struct disk	*disk;
	struct front	front;
	struct control_server *control;
	struct control_client *asker;	/* waits for the end of DETACHING */
	struct control_client *upgrader;
	nbe_time	leave_by;
	bool		leaving;	/* for an upgrade */
	bool		outlives;	/* the device, this process */
	struct attachment attachment;
	struct note note;
	struct note_left left;		/* by the daemon before this one */
	struct kept_memory memory;	/* what replay keeps */
	uint64_t	size;		/* as users see it */
	unsigned	takeovers;
	enum stage	stage;
	nbe_time	deadline;	/* of an end by force */
	uint64_t	flushes_failed;	/* before the last flush */
	nbe_time	closed_by;	/* who has the file open may, until then */
	bool		reported, forced, detached, disk_stopped, taken_over;
	bool		rests;		/* no request since front_rest */
	char		node[NODE_NAME_MAX];	/* as it was attached */
	bool		node_lost;	/* somebody else has detached it */
	bool		writes_lost;	/* acknowledged, and not to be saved */
	bool		want_attach, want_check, want_detach, want_force, want_resize;
	bool		want_upgrade;
	struct ring_op	signal_op, watch_op;
	int		signal_fd;
	struct signalfd_siginfo signal;
	char		watched;
	struct snapshot_source source;
};

/* ---- reports ----------------------------------------------------------------- */

static void
report(struct daemon *d, bool ok, const char *why)
{
	struct daemon_report r = { .ok = ok };

	if (d->reported)
		return;
	d->reported = true;
	errtext_set(&r.why, "%s", why);
	attachment_path(d->config->state, &d->attachment, r.device);
	r.over_fuse = d->front.fuse != NULL;
	(void)node_name(&d->attachment.node, r.node);
	memcpy(d->node, r.node, sizeof(d->node));
	log_line(&d->log, ok ? LOG_INFO : LOG_ERR, "%s%s",
	    ok ? "attached as " : "cannot attach: ", ok ? r.device : why);
	d->config->ready(d->config->arg, &r);
}

/* Who waits, if somebody does. */
static void
answer_no(struct control_client **c, const char *why)
{
	if (*c == NULL)
		return;
	control_client_reply(*c)->head.status = CONTROL_REFUSED;
	errtext_set(&control_client_reply(*c)->head.why, "%s", why);
	control_answer(*c, false);
	*c = NULL;
}

static void
refuse(struct daemon *d, const char *why)
{
	log_line(&d->log, LOG_WARNING, "not disconnected: %s", why);
	answer_no(&d->asker, why);
}

static void
tell_hooks(struct daemon *d, enum hook_event event)
{
	if (!hooks_tell(&d->hooks, event, &d->attachment, d->size, disk_path(d->disk)))
		log_line(&d->log, LOG_WARNING, "the hooks are behind: one is not told");
}

/* What it was to take over stays for the next one; and what it leaves. */
static bool
leaves_all(const struct daemon *d)
{
	return (d->config->takes_over && !d->taken_over) ||
	    (d->leaving && d->stage >= DRAINING);
}

/* ---- an upgrade -------------------------------------------------------------- */

static void
stay(struct daemon *d, const char *why)
{
	if (!d->leaving || d->stage != RUNNING)
		return;
	d->leaving = d->want_upgrade = false;
	front_stay(&d->front);
	answer_no(&d->upgrader, why);
}

/* Nothing is at the disk any more. */
static void
has_left(void *arg)
{
	((struct daemon *)arg)->want_upgrade = true;
}

static uint64_t
watch_leave(struct daemon *d)
{
	nbe_time now = clock_now();

	if (!d->leaving || d->stage == STOPPED)
		return UINT64_MAX;
	if (now < d->leave_by)
		return d->leave_by - now;
	stay(d, "what is under way was not done in time; it goes on as it was");
	return UINT64_MAX;
}

/* ---- the end ----------------------------------------------------------------- */

static void
stop_by_force(struct daemon *d)
{
	if (d->forced)
		return;
	stay(d, "it is disconnected");
	d->forced = true;
	d->stage = DRAINING;
	d->deadline = clock_now() + FORCE_TIME;
	d->want_attach = d->want_check = d->want_detach = d->want_resize = false;
	d->detached = leaves_all(d);
	d->want_force = !d->detached;
	if (d->detached)
		front_abandon(&d->front);
	else
		front_stop(&d->front);
	disk_stop(d->disk, false);
}

static void
stop_softly(struct daemon *d)
{
	if (d->stage != RUNNING)
		return;
	stay(d, "it is disconnected");
	d->stage = DETACHING;
	d->want_detach = true;
	d->closed_by = clock_now() + CLOSE_TIME;
}

/* What can be done in order still is: only the mount is gone. */
static void
end_unmounted(struct daemon *d)
{
	log_line(&d->log, LOG_WARNING, "somebody %s it; ending",
	    d->front.ublk != NULL ? "stopped" : "unmounted");
	d->stage = DETACHING;
	d->want_check = d->want_resize = false;
	d->want_force = true;
}

/* What is attached is gone: let the disk finish. */
static void
drain(struct daemon *d)
{
	struct nbe_stats st;

	disk_stats(d->disk, &st);
	d->flushes_failed = st.flushes_failed;
	d->stage = DRAINING;
	front_stop(&d->front);
	disk_stop(d->disk, true);
}

/* Whether somebody, other than the loop device, has the file open. */
static bool
is_open(const struct daemon *d, const struct front_status *status)
{
	return status->opens > (d->attachment.node.kind == NODE_LOOP ? 1u : 0u);
}

/* The loop device has closed the file, or by its number it is another one. */
static bool
looks_lost(const struct daemon *d, const struct front_status *status)
{
	return d->stage == RUNNING && d->attachment.node.kind == NODE_LOOP &&
	    status->opens == 0;
}

static void
check_end(struct daemon *d)
{
	struct front_status status;

	front_status(&d->front, &status);
	if (d->stage == RUNNING && status.state == FRONT_ENDED)
		end_unmounted(d);
	if (looks_lost(d, &status))
		d->want_check = true;
	/* Where the mount table was copied, the file system lives on elsewhere. */
	if (d->stage == DETACHING && d->detached && status.in_flight == 0)
		drain(d);
	if (d->stage == DRAINING && d->disk_stopped && d->detached)
		d->stage = STOPPED;
	if (d->forced && clock_now() >= d->deadline)
		d->stage = STOPPED;
	/* Then with connections that are lost: the next one has its fence. */
	if (d->leaving && d->stage == DRAINING && clock_now() >= d->leave_by)
		d->stage = STOPPED;
	d->ring.stop = d->stage == STOPPED;
}

/* ---- the helper -------------------------------------------------------------- */

/* What is less than a block of the server is read, changed and written by FUSE. */
static uint32_t
sector_size(const struct daemon *d)
{
	uint32_t wanted = d->config->settings.sector_size;

	return wanted != 0 ? wanted : disk_export(d->disk)->block_min;
}

static struct helper_order
make_order(const struct daemon *d, enum helper_job job)
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

/* ns until an order that must wait can be given. */
static uint64_t
next_order(struct daemon *d)
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
	order = make_order(d, orders[i].job);
	if (order.job == HELPER_DETACH && order.is_open && now < d->closed_by)
		return d->closed_by - now;
	*orders[i].want = false;
	helper_give(&d->helper, &order);
	return UINT64_MAX;
}

/* The helper has what makes the device stay. */
static bool
keep_front(struct daemon *d)
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
		report(d, false, r->why.text);
		stop_by_force(d);
		return;
	}
	if (d->stage != STARTING)
		return;
	d->stage = RUNNING;
	d->taken_over = true;
	d->takeovers = r->takeovers;
	d->size = d->helper.order.config.size;
	if (!d->config->takes_over)
		d->outlives = keep_front(d);
	if (d->outlives)
		(void)helper_keep(&d->helper, &all, -1);
	report(d, true, "");
	tell_hooks(d, HOOK_UP);
	catch_up(d);
	if (d->asker != NULL)		/* since before it was there */
		stop_softly(d);
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
	refuse(d, r->why.text);
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
	tell_hooks(d, HOOK_RESIZED);
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
		stay(d, r->why.text);
		return;
	}
	log_line(&d->log, LOG_NOTICE, "leaving the device to the next daemon");
	disk_stats(d->disk, &st);
	d->flushes_failed = st.flushes_failed;
	d->stage = DRAINING;
	d->detached = true;
	disk_stop(d->disk, true);
}

static void
helper_done(void *arg, const struct helper_result *r)
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

	d->attachment = r->attachment;
	done[r->job](d, r);
}

/* ---- what the disk says ------------------------------------------------------ */

static void
disk_resized(void *arg)
{
	struct daemon *d = arg;

	log_line(&d->log, LOG_INFO, "the export has grown to %llu bytes",
	    (unsigned long long)disk_export(d->disk)->size);
	front_resize(&d->front);
	d->want_resize = true;
}

/* An orderly end whose last flush failed is no success; nor is one by force, when the
 * server went away with what was not flushed. */
static bool
has_lost_writes(const struct daemon *d)
{
	struct nbe_stats st;

	disk_stats(d->disk, &st);
	if (d->forced)
		return st.lost || (st.dirty && st.conns_up == 0);
	return st.dirty || st.lost || st.flushes_failed != d->flushes_failed;
}

static void
warn_of_loss(struct daemon *d)
{
	static const char text[] = "the server went away before the last writes were "
	    "flushed; they may be lost";

	log_line(&d->log, LOG_ERR, "%s", text);
	if (d->asker == NULL)
		return;
	errtext_set(&control_client_reply(d->asker)->head.why, "%s",
	    text);
	control_answer(d->asker, false);
	d->asker = NULL;
}

static void
disk_moved(void *arg)
{
	tell_hooks(arg, HOOK_MOVED);
}

static void
disk_leaves(void *arg, uint32_t paths, unsigned path)
{
	note_paths(&((struct daemon *)arg)->note, paths, path);
}

static void
disk_conn(void *arg, unsigned conn, int fd, unsigned path, enum nbe_framing framing)
{
	const struct kept_message m = {
		.what = fd < 0 ? KEPT_CONN_ENDED : KEPT_CONN, .conn = (uint8_t)conn,
		.path = (uint8_t)path, .framing = (uint8_t)framing,
	};

	(void)helper_keep(&((struct daemon *)arg)->helper, &m, fd);
}

static void
disk_new_epoch(void *arg)
{
	note_doubt(&((struct daemon *)arg)->note);
}

static void
disk_past_known(void *arg)
{
	struct daemon *d = arg;
	static const char *const text[] = {
		[DISK_PAST_SAFE] = "is safe: the server has flushed it",
		[DISK_PAST_KEPT] = "is kept, and is written again",
		[DISK_PAST_LOST] = "may be lost: the server has not answered where it "
		    "was asked to flush it",
	};
	enum disk_past past = disk_past(d->disk);

	if (past == DISK_PAST_SAFE)
		note_no_doubt(&d->note);
	log_line(&d->log, past == DISK_PAST_LOST ? LOG_WARNING : LOG_INFO,
	    "what was acknowledged before the daemon was killed %s", text[past]);
}

/* Asked for again and again, until it has been said. */
static void
fence(void *arg, unsigned path)
{
	struct daemon *d = arg;
	struct fence_order order = { .path = path, .active = disk_path(d->disk) };
	char uri[512];

	if (d->fencer.busy)
		return;
	nbc_target_print(d->server[path].target, uri, sizeof(uri));
	log_line(&d->log, LOG_NOTICE, "running %s, so that %s writes no more",
	    d->fencer.program, uri);
	fencer_run(&d->fencer, &order);
}

static void
fence_done(void *arg, const struct fence_result *r)
{
	struct daemon *d = arg;

	if (r->certain)
		log_line(&d->log, LOG_NOTICE, "%s: done", d->fencer.program);
	else
		log_line(&d->log, LOG_ERR, "%s; writes wait, and it will be tried "
		    "again", r->why.text);
	disk_fenced(d->disk, r->path, r->certain);
}

static void
disk_has_stopped(void *arg)
{
	struct daemon *d = arg;

	d->disk_stopped = true;
	if (leaves_all(d)) {		/* the note tells the next one of a loss */
		note_paths(&d->note, 0, disk_path(d->disk));
		return;
	}
	d->writes_lost |= has_lost_writes(d);
	if (d->writes_lost)
		warn_of_loss(d);
}

static void
disk_says(void *arg, const char *line)
{
	log_line(&((struct daemon *)arg)->log, LOG_INFO, "%s", line);
}

/* ---- what the command asks --------------------------------------------------- */

static void
ask_scale(struct daemon *d, struct control_client *c, uint64_t conns)
{
	struct control_head *head = &control_client_reply(c)->head;

	if (conns < 1 || conns > NBE_MAX_CONNS ||
	    !disk_scale(d->disk, (unsigned)conns)) {
		head->status = CONTROL_REFUSED;
		errtext_set(&head->why, "Server does not allow multiple connections.");
	}
	control_answer(c, false);
}

static void
ask_reconnect(struct daemon *d, struct control_client *c, uint64_t unused)
{
	(void)unused;
	disk_reconnect(d->disk);
	control_answer(c, false);
}

static void
ask_move(struct daemon *d, struct control_client *c, uint64_t path)
{
	struct control_head *head = &control_client_reply(c)->head;

	if (path < d->config->servers) {
		disk_move(d->disk, (unsigned)path);
	} else {
		head->status = CONTROL_REFUSED;
		errtext_set(&head->why, "there is no server of that number");
	}
	control_answer(c, false);
}

static void
ask_upgrade(struct daemon *d, struct control_client *c, uint64_t ns)
{
	struct control_head *head = &control_client_reply(c)->head;
	struct nbe_stats st;

	disk_stats(d->disk, &st);
	head->status = CONTROL_REFUSED;
	if (!d->outlives || !helper_is_there(&d->helper))
		errtext_set(&head->why, "it ends with its daemon, and cannot be left "
		    "to another one");
	else if (d->stage != RUNNING || d->leaving)
		errtext_set(&head->why, "somebody else is attaching, detaching or "
		    "upgrading it");
	else if (st.conns_up == 0)
		errtext_set(&head->why, "the server is gone; it goes on as it was");
	else
		head->status = CONTROL_OK;
	if (head->status != CONTROL_OK) {
		control_answer(c, false);
		return;
	}
	d->upgrader = c;
	d->leaving = true;
	d->leave_by = clock_after(ns);
	front_leave(&d->front, has_left, d);
}

static void
ask_snapshot(struct daemon *d, struct control_client *c, uint64_t unused)
{
	(void)unused;
	d->want_check |= d->stage == RUNNING && !attachment_is_there(&d->attachment);
	d->outlives &= helper_is_there(&d->helper) || d->front.ublk != NULL;
	snapshot_take(&control_client_reply(c)->snapshot, &d->source);
	control_answer(c, true);
}

static void
ask_disconnect(struct daemon *d, struct control_client *c, uint64_t force)
{
	struct control_head *head = &control_client_reply(c)->head;

	if (force != 0) {
		log_line(&d->log, LOG_WARNING, "disconnecting by force");
		if (d->asker == NULL)
			d->asker = c;
		stop_by_force(d);
		return;
	}
	if ((d->stage == RUNNING || d->stage == DETACHING) && d->asker == NULL) {
		d->asker = c;
		stop_softly(d);
		return;
	}
	if (d->stage == STARTING && d->asker == NULL) {
		d->asker = c;
		return;
	}
	/* The end is under way: whoever asks again waits for it too. */
	if (d->stage == DRAINING)
		return;
	head->status = CONTROL_REFUSED;
	errtext_set(&head->why, "somebody else is attaching or detaching it");
	control_answer(c, false);
}

static void
forget_asker(void *arg, struct control_client *c)
{
	struct daemon *d = arg;

	if (d->asker == c)
		d->asker = NULL;
	if (d->upgrader == c)
		d->upgrader = NULL;
}

static void
asked(void *arg, struct control_client *c, const struct control_request *r)
{
	static void (*const answer[])(struct daemon *, struct control_client *,
	    uint64_t) = {
		[CONTROL_SNAPSHOT] = ask_snapshot,
		[CONTROL_SCALE] = ask_scale,
		[CONTROL_RECONNECT] = ask_reconnect,
		[CONTROL_MOVE] = ask_move,
		[CONTROL_DISCONNECT] = ask_disconnect,
		[CONTROL_UPGRADE] = ask_upgrade,
	};
	struct control_head *head = &control_client_reply(c)->head;

	if (r->verb < sizeof(answer) / sizeof(answer[0])) {
		answer[r->verb](arg, c, r->number);
		return;
	}
	head->status = CONTROL_REFUSED;
	errtext_set(&head->why, "the daemon is of another version");
	control_answer(c, false);
}

/* ---- signals, and the command that waits for us ------------------------------- */

static void read_signal(struct daemon *);

static void
got_signal(struct ring_op *op, int res, uint32_t flags)
{
	struct daemon *d = container_of(op, struct daemon, signal_op);

	(void)flags;
	if (res != (int)sizeof(d->signal))
		return;
	log_line(&d->log, LOG_INFO, "%s: disconnecting",
	    strsignal((int)d->signal.ssi_signo));
	/* Attaching may wait for a server that is gone; nobody has the device. */
	if (d->stage == STARTING)
		stop_by_force(d);
	else
		stop_softly(d);
	read_signal(d);
}

static void
read_signal(struct daemon *d)
{
	struct io_uring_sqe *sqe = ring_sqe(&d->ring);

	d->signal_op.done = got_signal;
	io_uring_prep_read(sqe, d->signal_fd, &d->signal, sizeof(d->signal), 0);
	ring_bind(sqe, &d->signal_op);
}

static void
watch_ended(struct ring_op *op, int res, uint32_t flags)
{
	struct daemon *d = container_of(op, struct daemon, watch_op);

	(void)res;
	(void)flags;
	if (d->reported)
		return;
	log_line(&d->log, LOG_WARNING, "the command that started it was interrupted");
	d->reported = true;
	stop_by_force(d);
}

static void
watch(struct daemon *d)
{
	struct io_uring_sqe *sqe;

	if (d->config->watch < 0)
		return;
	sqe = ring_sqe(&d->ring);
	d->watch_op.done = watch_ended;
	io_uring_prep_recv(sqe, d->config->watch, &d->watched, 1, 0);
	ring_bind(sqe, &d->watch_op);
}

static bool
catch_signals(struct daemon *d, struct errtext *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return d->signal_fd >= 0 ||
	    errtext_set(err, "signalfd: %s", strerror(errno));
}

/* ---- start ------------------------------------------------------------------- */

static void
make_disk_config(struct daemon *d, struct disk_config *c)
{
	const struct settings *s = &d->config->settings;

	*c = (struct disk_config){
		.dev = {
			.conns_max = NBE_MAX_CONNS,
			.conns = (uint16_t)d->config->conns,
			.depth = (uint16_t)s->depth,
			.timeout = s->timeout, .dead_timeout = s->dead_timeout,
			.fence = s->fence,
			.backoff_min = BACKOFF_MIN, .backoff_max = BACKOFF_MAX,
			.unflushed = s->unflushed,
			.keep_size = s->keep_size, .keep_records = KEEP_RECORDS,
			.inherit = d->left.unflushed,
			.paths = (uint8_t)d->config->servers,
			.path = (uint8_t)d->config->path,
			.old_paths = d->left.paths,
			.fence_by = s->fence_by, .path_timeout = s->path_timeout,
			.failback = s->failback,
			/* To a disk that is only read, no harm can be done. */
			.compare = !s->shared && !s->read_only &&
			    (d->config->conn[0].exp.flags &
			    NBE_FLAG_READ_ONLY) == 0,
		},
		.server = d->server,
		.events = {
			.resized = disk_resized, .stopped = disk_has_stopped,
			.moved = disk_moved, .left = disk_leaves,
			.conn = d->note.byte != NULL ? disk_conn : NULL,
			.epoch = disk_new_epoch, .past = disk_past_known,
			.fence = fence, .log = disk_says, .arg = d,
		},
		.past = d->left.unflushed && s->unflushed != NBE_UNFLUSHED_IGNORE ?
		    DISK_PAST_LOST : DISK_PAST_SAFE,
		.can_ask = note_can_ask(&d->note),
	};
	/* Devices that lost one server must not all come back at one moment. */
	(void)!getrandom(&c->dev.seed, sizeof(c->dev.seed), GRND_NONBLOCK);
}

/* How the daemon connects: the engine decides when to try again, and the helper opens
 * the files. */
static void
make_servers(struct daemon *d)
{
	for (unsigned i = 0; i < d->config->servers; i++) {
		d->server[i] = d->config->server[i];
		d->options[i] = *d->server[i].options;
		d->options[i].retry_ms = 0;
		d->options[i].open_file = opener_open;
		d->options[i].open_arg = &d->opener.seat[i];
		d->server[i].options = &d->options[i];
	}
	d->fencer.program = d->config->settings.fence_command;
	d->fencer.state = d->config->state;
	d->fencer.server = d->server;
}

static bool
start_helper(struct daemon *d, struct errtext *err)
{
	if (!opener_init(&d->opener, err))
		return false;
	for (unsigned i = 0; i < d->config->servers; i++)
		d->opener.tls[i] = d->server[i].tls;
	return helper_start(&d->helper, &d->opener, d->config->state, err);
}

/* Of a new device nothing is left.  One of a user has no next daemon. */
static bool
open_note(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	return !privilege_is_root() || note_open(&d->note,
	    state_path(d->config->state, "unflushed", path), &d->left, err);
}

/*
 * An answer to a flush there tells that all is safe if
 * (1) it is of the server that was active: what is unflushed is there;
 * (2) it is known to reach that server as it was since the last flush (nbe_epoch);
 * (3) a whole command was the last that was sent.
 */
static bool
may_ask(const struct daemon *d, const struct kept_conn *c, unsigned conn)
{
	return c->path == d->left.active && !d->left.doubt &&
	    (d->left.can_ask >> conn & 1) != 0;
}

/* The sockets of the daemon that was killed, as that one has described them. */
static void
take_conns(struct daemon *d)
{
	struct kept *k = d->config->taken;

	for (unsigned i = 0; d->config->takes_over && i < NBE_MAX_CONNS; i++) {
		struct kept_conn *c = &k->conn[i];

		if (c->fd < 0)
			continue;
		if (c->path < d->config->servers && c->framing <= NBE_EXTENDED)
			disk_old_conn(d->disk, c->fd, c->path,
			    (enum nbe_framing)c->framing, may_ask(d, c, i));
		else
			close(c->fd);
		c->fd = -1;
	}
}

/* That of the dead daemon, where it is there; and the helper has it before anything is
 * acknowledged. */
static bool
open_memory(struct daemon *d, struct disk_config *c, struct errtext *err)
{
	static const struct kept_message m = { .what = KEPT_MEMORY };
	int taken = d->config->takes_over ? d->config->taken->memory : -1;

	if (c->dev.unflushed != NBE_UNFLUSHED_REPLAY)
		return true;
	if (!kept_memory_open(&d->memory, taken, &c->dev, err))
		return false;
	c->dev.records = d->memory.map;
	c->keep = d->memory.keep;
	if (d->note.byte != NULL)
		(void)helper_keep(&d->helper, &m, d->memory.fd);
	return true;
}

static bool
start_disk(struct daemon *d, struct errtext *err)
{
	struct disk_config config;

	if (!open_note(d, err))
		return false;
	make_disk_config(d, &config);
	if (!open_memory(d, &config, err))
		return false;
	d->disk = disk_new(&d->ring, &config, d->config->conn, d->config->conns);
	if (d->disk == NULL)
		return errtext_set(err, "out of memory");
	if (disk_past(d->disk) == DISK_PAST_KEPT)
		disk_past_known(d);
	take_conns(d);
	return true;
}

static struct handover_config
make_handover(struct daemon *d)
{
	return (struct handover_config){
		.note = &d->note,
		.replays = d->config->settings.unflushed == NBE_UNFLUSHED_REPLAY,
	};
}

static bool
start_fuse(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX], agreed[STATE_PATH_MAX];
	char source[DEVICE_NAME_MAX + 16];
	struct fuse_config config = {
		.mountpoint = state_path(d->config->state, "mnt", path),
		.source = source, .read_only = d->config->settings.read_only,
		.zero_slowly = d->config->settings.discard_max != UINT64_MAX,
		.want_uring = true, .depth = FUSE_DEPTH,
		.uid = geteuid(), .gid = getegid(), .mode = 0600,
		.agreed = !privilege_is_root() ? NULL :
		    state_path(d->config->state, "fuse", agreed),
		.taken = d->config->takes_over ? d->config->taken->fuse : -1,
		.handover = make_handover(d),
	};

	snprintf(source, sizeof(source), "nbdisk-%s", d->config->state->name);
	if (!fuse_start(&d->front.fuse, &config, &d->ring, d->disk, err))
		return false;
	/* Before the helper is asked for anything: should this daemon die, the device
	 * is its helper's business as much as the one's before. */
	if (d->config->takes_over)
		d->outlives = keep_front(d);
	return true;
}

static bool
serve_ublk(struct daemon *d, bool read_only, struct errtext *err)
{
	const struct ublk_config config = {
		.dev = d->attachment.node.ublk, .read_only = read_only,
		.handover = make_handover(d),
	};

	return ublk_start(&d->front.ublk, &config, &d->ring, d->disk, err);
}

static bool
add_ublk(struct daemon *d, struct errtext *err)
{
	struct helper_order order = make_order(d, HELPER_ADD);
	struct helper_result result;

	helper_ask(&d->helper, &order, &result);
	if (!result.ok)
		return errtext_set(err, "%s", result.why.text);
	d->attachment = result.attachment;
	if (serve_ublk(d, order.config.read_only, err)) {
		d->outlives = true;
		return true;
	}
	if (leaves_all(d))
		return false;
	order.job = HELPER_FORCE;
	helper_ask(&d->helper, &order, &result);
	d->attachment = result.attachment;
	return false;
}

static bool
start_front(struct daemon *d, struct errtext *err)
{
	if (d->config->via != ATTACH_UBLK)
		return start_fuse(d, err);
	if (add_ublk(d, err))
		return true;
	if (d->config->via_only)
		return false;
	log_line(&d->log, LOG_INFO, "by FUSE: %s", err->text);
	return start_fuse(d, err);
}

static bool
start_control(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	state_path(d->config->state, "control", path);
	if (d->config->takes_over)
		(void)unlink(path);
	return control_server_start(&d->control, &d->ring, path, asked, forget_asker,
	    d, err);
}

static bool
start_ring(struct daemon *d, struct errtext *err)
{
	bool wide = fuse_uring_support() == FUSE_URING_ON;
	int ret = ring_init(&d->ring, RING_ENTRIES, wide);

	if (ret < 0)
		return errtext_set(err, "io_uring: %s", strerror(-ret));
	d->helper.ring = &d->ring;
	d->helper.done = helper_done;
	d->helper.arg = d;
	d->fencer.ring = &d->ring;
	d->fencer.done = fence_done;
	d->fencer.arg = d;
	return true;
}

static bool
start_hooks(struct daemon *d, struct errtext *err)
{
	struct hooks_config config = {
		.program = d->config->hook, .server = d->server,
		.keep_stderr = d->config->log_to_stderr,
	};

	return hooks_start(&d->hooks, &config, d->config->state, err);
}

static bool
has_unix_server(const struct daemon *d)
{
	for (unsigned i = 0; i < d->config->servers; i++)
		if (d->server[i].target->family == NBC_UNIX)
			return true;
	return false;
}

/* Undoes what was done when it fails; the connections are closed then too. */
static bool
start(struct daemon *d, struct errtext *err)
{
	unsigned conns = d->config->conns;

	make_servers(d);
	if (!start_hooks(d, err) || !fencer_start(&d->fencer, err) ||
	    !start_helper(d, err) || !catch_signals(d, err) || !start_ring(d, err))
		goto close_conns;
	if (!start_disk(d, err) || !start_control(d, err))
		goto free_ring;
	if (!start_front(d, err))
		goto free_control;
	pressure_begin(&d->pressure, &d->ring);
	if (!confine(has_unix_server(d), err))
		goto free_control;
	d->source = (struct snapshot_source){
		.state = d->config->state, .server = d->server,
		.servers = d->config->servers,
		.settings = &d->config->settings, .about = d->config->about,
		.attachment = &d->attachment, .node_lost = &d->node_lost,
		.size = &d->size, .takeovers = &d->takeovers,
		.outlives = &d->outlives,
		.disk = d->disk, .front = &d->front,
		.started = clock_now(),
	};
	return true;
free_control:
	control_server_free(d->control);
free_ring:
	ring_free(&d->ring);
	/* What the disk has is lost with the process, which ends now. */
	if (d->disk != NULL)
		conns = 0;
close_conns:
	for (unsigned i = 0; i < conns; i++)
		nbc_close(&d->config->conn[i], true);
	helper_end(&d->helper);
	opener_end(&d->opener);
	fencer_end(&d->fencer);
	hooks_end(&d->hooks);
	return false;
}

/* ---- the loop ---------------------------------------------------------------- */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whoever detaches it knows what happens. */
static uint64_t
watch_server(struct daemon *d)
{
	enum hook_event event;
	uint64_t next;

	if (d->stage != RUNNING)
		return UINT64_MAX;
	event = hooks_turn(&d->hooks, disk_down_for(d->disk),
	    d->config->settings.dead_timeout, &next);
	if (event != HOOK_EVENTS)
		tell_hooks(d, event);
	return next;
}

/* What a burst of requests has touched goes back to the system. */
static uint64_t
rest(struct daemon *d)
{
	nbe_time idle_for = disk_idle_for(d->disk);
	struct front_status s;

	if (!ring_is_calm(&d->ring))	/* a request may lie there already */
		return UINT64_MAX;
	if (idle_for < REST) {
		d->rests = false;
		return REST - idle_for;
	}
	if (d->rests)
		return UINT64_MAX;
	front_status(&d->front, &s);
	if (s.in_flight != 0)
		return REST;
	front_rest(&d->front);
	d->rests = true;
	return UINT64_MAX;
}

static uint64_t
idle(void *arg)
{
	struct daemon *d = arg;
	uint64_t next;

	check_end(d);
	next = disk_turn(d->disk);
	next = earlier(next, next_order(d));	/* for what the disk has said, too */
	next = earlier(next, watch_server(d));
	next = earlier(next, watch_leave(d));
	next = earlier(next, control_server_turn(d->control, clock_now()));
	next = earlier(next, rest(d));
	/* The disk may have stopped just now. */
	check_end(d);
	return d->forced ? earlier(next, NBE_SECOND / 10) : next;
}

/* Nothing is at the disk, and the rest the end of the process does, as when it is
 * killed: the kernel knows one way only. */
static void
leave(struct daemon *d)
{
	helper_end(&d->helper);
	opener_end(&d->opener);
	fencer_end(&d->fencer);
	hooks_end(&d->hooks);
	log_close(&d->log);
}

static void
finish(struct daemon *d)
{
	if (d->leaving) {
		leave(d);
		return;
	}
	ring_free(&d->ring);
	if (d->disk_stopped) {
		front_free(&d->front);
		disk_free(d->disk);
	}
	helper_end(&d->helper);
	opener_end(&d->opener);
	fencer_end(&d->fencer);
	hooks_end(&d->hooks);
	if (!leaves_all(d)) {
		state_remove(d->config->state);
		log_line(&d->log, LOG_INFO, "disconnected");
	}
	control_server_free(d->control);
	kept_memory_close(&d->memory);
	note_close(&d->note);
	log_close(&d->log);
}

static bool
run(struct daemon *d)
{
	int ret;

	read_signal(d);
	watch(d);
	ret = ring_run(&d->ring, idle, d);
	if (ret < 0)
		log_line(&d->log, LOG_ERR, "io_uring: %s", strerror(-ret));
	d->writes_lost |= d->forced && !d->disk_stopped && has_lost_writes(d);
	finish(d);
	return ret == 0 && !d->writes_lost;
}

static bool
write_pid(const struct state *s, struct errtext *err)
{
	return state_write_pid(s) ||
	    errtext_set(err, "%s/lock: %s", s->dir, strerror(errno));
}

bool
daemon_run(const struct daemon_config *config)
{
	struct daemon *d = calloc(1, sizeof(*d));
	struct errtext err;
	bool ok = false;

	if (d == NULL)
		return false;
	d->config = config;
	d->want_attach = true;
	log_open(&d->log, config->state->name, config->log_to_stderr);
	process_prepare();
	if (write_pid(config->state, &err) && start(d, &err)) {
		ok = run(d);
	} else {
		report(d, false, err.text);
		if (!leaves_all(d))
			state_remove(config->state);
	}
	free(d);
	return ok;
}
