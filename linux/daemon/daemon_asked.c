/*
 * daemon_asked.c - what the command asks of the daemon, and what signals do.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "daemon_impl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* ---- the command ------------------------------------------------------------ */

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
	front_leave(&d->front, daemon_has_left, d);
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
		daemon_stop_by_force(d);
		return;
	}
	if (d->stage == RUNNING && !helper_is_there(&d->helper)) {
		head->status = CONTROL_NO_HELPER;
		errtext_set(&head->why, "its helper process has died");
		control_answer(c, false);
		return;
	}
	if ((d->stage == RUNNING || d->stage == DETACHING) && d->asker == NULL) {
		d->asker = c;
		daemon_stop_softly(d);
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

bool
daemon_serve_control(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	state_path(d->config->state, "control", path);
	if (d->config->takes_over)
		(void)unlink(path);
	return control_server_start(&d->control, &d->ring, path, asked, forget_asker,
	    d, err);
}

/* ---- signals, and the command that waits for us ----------------------------- */

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
		daemon_stop_by_force(d);
	else
		daemon_stop_softly(d);
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
	daemon_stop_by_force(d);
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

bool
daemon_catch_signals(struct daemon *d, struct errtext *err)
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

void
daemon_listen(struct daemon *d)
{
	read_signal(d);
	watch(d);
	helper_watch(&d->helper);
}
