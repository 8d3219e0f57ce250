/*
 * daemon_end.c - how the daemon of a device ends, and who is told.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The stages of an orderly end:
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
#include "daemon_impl.h"

#include <string.h>

#include "clock.h"

#define FORCE_TIME	(10 * NBE_SECOND)
#define CLOSE_TIME	NBE_SECOND	/* the kernel tells of a close a little later */

/* ---- who is told ------------------------------------------------------------ */

void
daemon_ready(struct daemon *d, bool ok, const char *why)
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

void
daemon_refuse(struct daemon *d, const char *why)
{
	log_line(&d->log, LOG_WARNING, "not disconnected: %s", why);
	answer_no(&d->asker, why);
}

void
daemon_tell_hooks(struct daemon *d, enum hook_event event)
{
	if (!hooks_tell(&d->hooks, event, &d->attachment, d->size, disk_path(d->disk)))
		log_line(&d->log, LOG_WARNING, "the hooks are behind: one is not told");
}

bool
daemon_leaves_all(const struct daemon *d)
{
	return (d->config->takes_over && !d->taken_over) ||
	    (d->leaving && d->stage >= DRAINING);
}

/* ---- an upgrade ------------------------------------------------------------- */

void
daemon_stay(struct daemon *d, const char *why)
{
	if (!d->leaving || d->stage != RUNNING)
		return;
	d->leaving = d->want_upgrade = false;
	front_stay(&d->front);
	answer_no(&d->upgrader, why);
}

void
daemon_has_left(void *arg)
{
	((struct daemon *)arg)->want_upgrade = true;
}

uint64_t
daemon_watch_leave(struct daemon *d)
{
	nbe_time now = clock_now();

	if (!d->leaving || d->stage == STOPPED)
		return UINT64_MAX;
	if (now < d->leave_by)
		return d->leave_by - now;
	daemon_stay(d, "what is under way was not done in time; it goes on as it was");
	return UINT64_MAX;
}

/* ---- the end ---------------------------------------------------------------- */

void
daemon_stop_by_force(struct daemon *d)
{
	if (d->forced)
		return;
	daemon_stay(d, "it is disconnected");
	d->forced = true;
	d->stage = DRAINING;
	d->deadline = clock_now() + FORCE_TIME;
	d->want_attach = d->want_check = d->want_detach = d->want_resize = false;
	d->detached = daemon_leaves_all(d);
	d->want_force = !d->detached;
	if (d->detached)
		front_abandon(&d->front);
	else
		front_stop(&d->front);
	disk_stop(d->disk, false);
}

void
daemon_stop_softly(struct daemon *d)
{
	if (d->stage != RUNNING)
		return;
	daemon_stay(d, "it is disconnected");
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

/* The loop device has closed the file, or by its number it is another one. */
static bool
looks_lost(const struct daemon *d, const struct front_status *status)
{
	return d->stage == RUNNING && d->attachment.node.kind == NODE_LOOP &&
	    status->opens == 0 && helper_is_there(&d->helper);
}

void
daemon_check_end(struct daemon *d)
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

/* An orderly end whose last flush failed is no success; nor is one by force, when the
 * server went away with what was not flushed. */
bool
daemon_has_lost_writes(const struct daemon *d)
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

void
daemon_disk_stopped(void *arg)
{
	struct daemon *d = arg;

	d->disk_stopped = true;
	if (daemon_leaves_all(d)) {	/* the note tells the next one of a loss */
		note_paths(&d->note, 0, disk_path(d->disk));
		return;
	}
	d->writes_lost |= daemon_has_lost_writes(d);
	if (d->writes_lost)
		warn_of_loss(d);
}
