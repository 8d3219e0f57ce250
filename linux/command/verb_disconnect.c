/*
 * verb_disconnect.c - detach a device, and clean up after a daemon that died.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A daemon that lives does it by itself, and is watched.  Whatever is left when it
 * is gone is undone here, so that the verb ends with nothing left, however it went.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attachment.h"
#include "clock.h"
#include "control_client.h"
#include "named.h"
#include "options.h"
#include "progress.h"

#define FORCE_MS	15000	/* a daemon that ends by force takes less */
#define REMAINS_MS	5000
#define AGAIN_NS	100000000
#define MS		(NBE_SECOND / 1000)

struct ending {
	const struct options *options;
	struct state	state;
	pid_t		pid;
	int		pidfd;		/* readable when it has ended */
	bool		unheard;	/* there was nobody who could be asked */
	nbe_time	until;		/* it is tried again */
	struct errtext	why;
	struct errtext	loss;		/* what the daemon could not save; "" */
};

/* ---- a daemon that lives ------------------------------------------------------ */

static int
wait_ms(const struct options *o)
{
	if (o->force)
		return FORCE_MS;
	return o->wait / MS < INT32_MAX ? (int)(o->wait / MS) : -1;
}

/* What it still waits for, when time is up. */
static bool
explain_late(struct ending *e)
{
	static struct control_reply reply;
	const struct nbe_stats *st = &reply.snapshot.stats;
	const char *name = e->state.name;
	struct errtext ignored;

	if (control_ask(&e->state, CONTROL_SNAPSHOT, 0, &reply, &ignored) &&
	    st->conns_up == 0)
		return errtext_set(&e->why, "%s: the server is gone; requests that "
		    "wait for it: %" PRIu32 ".\nIt ends when they are done; "
		    "\"nbdisk disconnect --force %s\" fails them now.", name,
		    st->queued + st->active, name);
	return errtext_set(&e->why, "%s: it is not done yet, and goes on.\n\"nbdisk "
	    "disconnect --force %s\" ends it now and fails what is under way.",
	    name, name);
}

static bool
await_end(struct ending *e)
{
	struct pollfd ended = { .fd = e->pidfd, .events = POLLIN };

	return e->pidfd < 0 || poll(&ended, 1, FORCE_MS) > 0;
}

/* In the place of its helper, which was killed.  The daemon sees that, and ends. */
static bool
detach_for_it(struct ending *e)
{
	struct attachment attachment;
	struct errtext why;

	attachment_find(&e->state, &attachment);
	attachment.dead = false;
	if (!attachment_undo(&e->state, &attachment, false, REMAINS_MS, &why))
		return errtext_set(&e->why, "%s: %.900s", e->state.name, why.text);
	e->unheard = true;
	return errtext_set(&e->why, "%s: it is detached, and its daemon does not end",
	    e->state.name);
}

/* True: it has ended, or is dead. */
static bool
ask_to_end(struct ending *e)
{
	static struct control_reply reply;
	enum control_answer answer;
	int sock = control_connect(&e->state, &e->why);

	e->unheard = sock < 0;
	if (sock < 0 || !control_send(sock, CONTROL_DISCONNECT, e->options->force,
	    &e->why)) {
		if (sock >= 0)
			close(sock);
		return state_pid(&e->state) == 0;
	}
	answer = control_receive(sock, &reply, wait_ms(e->options));
	close(sock);
	if (answer == ANSWER_LATE)
		return explain_late(e);
	if (answer == ANSWER_REFUSED && reply.head.status == CONTROL_NO_HELPER)
		return detach_for_it(e);
	if (answer == ANSWER_REFUSED)
		return errtext_set(&e->why, "%s: %.900s", e->state.name,
		    reply.head.why.text);
	if (answer == ANSWER_OK)
		errtext_set(&e->loss, "%s: %.900s", e->state.name,
		    reply.head.why.text);
	return await_end(e) || explain_late(e);
}

/* It does not do as it is told: it is stopped, or stuck. */
static bool
kill_it(struct ending *e)
{
	if (kill(e->pid, SIGKILL) < 0 && errno != ESRCH)
		return false;
	/* Its helper may be faster: then the next one is ended, too. */
	e->until = clock_after(FORCE_MS * MS);
	return await_end(e);
}

/* ---- what a dead one left ----------------------------------------------------- */

static bool
clean_up(struct ending *e)
{
	struct attachment attachment;
	struct errtext ignored;
	struct state now;

	/* An orderly end leaves nothing, not even the name. */
	if (!state_open(&now, e->state.name, &ignored))
		return true;
	e->unheard = !state_lock_dead(&e->state);
	if (e->unheard)
		return errtext_set(&e->why, "%s: it is still in use by a process",
		    e->state.name);
	attachment_find(&e->state, &attachment);
	if (e->options->force) {
		attachment_undo_by_force(&e->state, &attachment, &e->why);
	} else if (!attachment_undo(&e->state, &attachment, false, REMAINS_MS,
	    &ignored)) {
		state_close(&e->state);
		return errtext_set(&e->why, "%s: %.900s", e->state.name,
		    ignored.text);
	}
	state_remove(&e->state);
	return true;
}

static bool
end_once(struct ending *e)
{
	e->pid = state_pid(&e->state);
	if (e->pid != 0) {
		e->pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
		if (!ask_to_end(e) && !(e->options->force && kill_it(e)))
			return false;
	}
	e->why.text[0] = '\0';
	return clean_up(e);
}

/* Not that process, or its child, if that has taken its place.  One that has ended may
 * have its number in the lock still, when the next one has just got that. */
static bool
is_stuck(const struct ending *e)
{
	struct pollfd ended = { .fd = e->pidfd, .events = POLLIN };

	if (e->pid == 0 || (e->pidfd >= 0 && poll(&ended, 1, 0) > 0))
		return false;
	return state_pid(&e->state) == e->pid && kill(e->pid, 0) == 0;
}

/* What is just being attached is waited for: by the next daemon, perhaps, in the place
 * of one that was killed.  By force that is ended, too. */
static bool
end(struct ending *e)
{
	const struct timespec pause = { .tv_nsec = AGAIN_NS };
	const struct options *o = e->options;
	bool ok, again;

	e->until = clock_after(o->force ? FORCE_MS * MS : o->wait);
	do {
		ok = end_once(e);
		again = !ok && (o->force ? !is_stuck(e) : e->unheard) &&
		    clock_now() < e->until;
		if (e->pidfd >= 0)
			close(e->pidfd);
		e->pidfd = -1;
		if (again)
			(void)nanosleep(&pause, NULL);
	} while (again);
	return ok;
}

enum exit_status
verb_disconnect(const struct options *o)
{
	struct ending e = { .options = o, .pidfd = -1 };
	struct progress progress;
	bool ok = false;

	if (named_open(&e.state, o->operand[0], &e.why)) {
		progress_begin(&progress, "finishing what is under way");
		ok = end(&e);
		progress_end(&progress);
	} else if (o->if_exists && errno == ENOENT) {
		return EXIT_OK;
	}
	if (ok && e.why.text[0] != '\0')
		complain("it was in use; a loop device goes when its user has gone:");
	if (e.why.text[0] != '\0')
		complain(e.why.text);
	if (e.loss.text[0] != '\0')
		complain(e.loss.text);
	return ok && e.loss.text[0] == '\0' ? EXIT_OK : EXIT_FAILED;
}
