/*
 * daemon_events.c - what the disk says to the daemon.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "daemon_impl.h"

static void
resized(void *arg)
{
	struct daemon *d = arg;

	log_line(&d->log, LOG_INFO, "the export has grown to %llu bytes",
	    (unsigned long long)disk_export(d->disk)->size);
	front_resize(&d->front);
	d->want_resize = true;
}

static void
moved(void *arg)
{
	daemon_tell_hooks(arg, HOOK_MOVED);
}

static void
leaves(void *arg, uint32_t paths, unsigned path)
{
	note_paths(&((struct daemon *)arg)->note, paths, path);
}

static void
conn(void *arg, unsigned conn, const struct kept_conn *c)
{
	const struct kept_message m = kept_conn_message(conn, c);

	(void)helper_keep(&((struct daemon *)arg)->helper, &m, c != NULL ? c->fd : -1);
}

static void
new_epoch(void *arg, bool flushed)
{
	note_epoch(&((struct daemon *)arg)->note, flushed);
}

void
daemon_past_known(void *arg)
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
says(void *arg, const char *line)
{
	log_line(&((struct daemon *)arg)->log, LOG_INFO, "%s", line);
}

struct disk_events
daemon_disk_events(struct daemon *d)
{
	return (struct disk_events){
		.resized = resized, .stopped = daemon_disk_stopped,
		.moved = moved, .left = leaves,
		.conn = d->note.file != NULL ? conn : NULL,
		.epoch = new_epoch, .past = daemon_past_known,
		.fence = fence, .log = says, .arg = d,
	};
}

void
daemon_fence_done(void *arg, const struct fence_result *r)
{
	struct daemon *d = arg;

	if (r->certain)
		log_line(&d->log, LOG_NOTICE, "%s: done", d->fencer.program);
	else
		log_line(&d->log, LOG_ERR, "%s; writes wait, and it will be tried "
		    "again", r->why.text);
	disk_fenced(d->disk, r->path, r->certain);
}
