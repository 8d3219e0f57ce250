/*
 * verb_upgrade.c - another daemon, of the program as it is installed now.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon does it with its helper, so that the next one has the same place among the
 * machine's processes; here it is asked for and waited for.
 */
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "control_client.h"
#include "named.h"
#include "options.h"
#include "progress.h"

#define POLL_NS		10000000
#define MS		(NBE_SECOND / 1000)
#define SPARE_MS	5000	/* until a refusal is here */

static struct control_reply reply;

/* True: it has ended, and left the device. */
static bool
ask(const struct state *s, nbe_time wait, struct errtext *err)
{
	enum control_answer answer = ANSWER_ENDED;
	int sock = control_connect(s, err);
	bool ok = sock >= 0 && control_send(sock, CONTROL_UPGRADE, wait, err);

	if (ok)
		answer = control_receive(sock, &reply, wait / MS < INT32_MAX / 2 ?
		    (int)(wait / MS) + SPARE_MS : -1);
	if (sock >= 0)
		close(sock);
	if (answer == ANSWER_LATE)
		return errtext_set(err, "%s: its daemon does not answer", s->name);
	if (answer == ANSWER_REFUSED)
		return errtext_set(err, "%s: %.900s", s->name, reply.head.why.text);
	return ok;
}

static bool
await_next(const struct state *s, int64_t before, nbe_time wait, struct errtext *err)
{
	const struct timespec poll = { .tv_nsec = POLL_NS };
	nbe_time end = clock_after(wait);
	struct errtext ignored;

	do {
		if (control_ask(s, CONTROL_SNAPSHOT, 0, &reply, &ignored) &&
		    reply.snapshot.pid != before && reply.snapshot.device_size != 0)
			return true;	/* before it serves it has no size */
		(void)nanosleep(&poll, NULL);
	} while (clock_now() < end);
	return errtext_set(err, "%s: there is no next daemon yet, and requests wait "
	    "for it; the log says why", s->name);
}

static bool
upgrade(const struct state *s, nbe_time wait, struct errtext *err)
{
	int64_t pid;

	if (!control_ask(s, CONTROL_SNAPSHOT, 0, &reply, err))
		return false;
	pid = reply.snapshot.pid;
	return ask(s, wait, err) && await_next(s, pid, wait, err);
}

enum exit_status
verb_upgrade(const struct options *o)
{
	struct progress progress;
	struct errtext err;
	struct state state;
	bool ok = named_open(&state, o->operand[0], &err);

	progress_begin(&progress, "another daemon takes over");
	ok = ok && upgrade(&state, o->wait, &err);
	progress_end(&progress);
	if (ok)
		return EXIT_OK;
	complain(err.text);
	return EXIT_FAILED;
}
