/*
 * daemon.c - the one process behind a device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One ring carries the disk's connections, FUSE or ublk, the control socket, signals
 * and the answers of the helper.
 */
#include "daemon_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "process.h"

#define REST		(10 * NBE_SECOND)	/* nobody has asked for so long */

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
		daemon_tell_hooks(d, event);
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

	daemon_check_end(d);
	next = disk_turn(d->disk);
	next = earlier(next, daemon_next_order(d));	/* after the disk has spoken */
	next = earlier(next, watch_server(d));
	next = earlier(next, daemon_watch_leave(d));
	next = earlier(next, control_server_turn(d->control, clock_now()));
	next = earlier(next, rest(d));
	/* The disk may have stopped just now. */
	daemon_check_end(d);
	return d->forced ? earlier(next, NBE_SECOND / 10) : next;
}

/* Nothing is at the disk, and the rest the end of the process does, as when it is
 * killed: the kernel knows one way only. */
static void
leave(struct daemon *d)
{
	daemon_end_processes(d);
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
	daemon_end_processes(d);
	if (!daemon_leaves_all(d)) {
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

	daemon_listen(d);
	ret = ring_run(&d->ring, idle, d);
	if (ret < 0)
		log_line(&d->log, LOG_ERR, "io_uring: %s", strerror(-ret));
	d->writes_lost |= d->forced && !d->disk_stopped && daemon_has_lost_writes(d);
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
	if (write_pid(config->state, &err) && daemon_start(d, &err)) {
		ok = run(d);
	} else {
		daemon_ready(d, false, err.text);
		if (!daemon_leaves_all(d))
			state_remove(config->state);
	}
	free(d);
	return ok;
}
