/*
 * verb_change.c - scale and reconnect.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Both are done when the connections are there, so both wait for them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "control_client.h"
#include "named.h"
#include "options.h"
#include "progress.h"

#define POLL_NS		50000000

/* What keeps a connection away; the first one that knows. */
static const char *
problem(const struct control_snapshot *s)
{
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++)
		if ((s->conn[i].state == DISK_CONN_WAITING ||
		    s->conn[i].state == DISK_CONN_OPENING) &&
		    s->conn[i].problem[0] != '\0')
			return s->conn[i].problem;
	return "the server does not answer";
}

static bool
wait_for_all(const struct state *s, nbe_time wait, struct errtext *err)
{
	static struct control_reply reply;
	const struct nbe_stats *st = &reply.snapshot.stats;
	const struct timespec poll = { .tv_nsec = POLL_NS };
	nbe_time end = clock_after(wait);

	do {
		if (!control_ask(s, CONTROL_SNAPSHOT, 0, &reply, err))
			return false;
		if (st->conns_up == st->conns_wanted && !reply.snapshot.renewing)
			return true;
		(void)nanosleep(&poll, NULL);
	} while (clock_now() < end);
	if (st->conns_up == st->conns_wanted)
		return errtext_set(err, "%s: a connection has not finished yet what it "
		    "has; it is made anew when it has.", s->name);
	return errtext_set(err, "%s: %" PRIu32 " of %" PRIu32 " connections are up; "
	    "it goes on trying.\n%s", s->name, st->conns_up, st->conns_wanted,
	    problem(&reply.snapshot));
}

static enum exit_status
change(const struct options *o, enum control_verb verb, uint64_t number)
{
	static struct control_reply reply;
	struct progress progress;
	struct errtext err;
	struct state state;
	bool ok = named_open(&state, o->operand[0], &err);

	progress_begin(&progress, "waiting for the connections");
	if (ok)
		ok = control_ask(&state, verb, number, &reply, &err) &&
		    wait_for_all(&state, o->wait, &err);
	progress_end(&progress);
	if (ok)
		return EXIT_OK;
	complain(err.text);
	return EXIT_FAILED;
}

enum exit_status
verb_scale(const struct options *o)
{
	if (o->connections == 0) {
		complain("scale: --connections is missing: a number from 1 to 32");
		return EXIT_USAGE;
	}
	return change(o, CONTROL_SCALE, o->connections);
}

enum exit_status
verb_reconnect(const struct options *o)
{
	return change(o, CONTROL_RECONNECT, 0);
}
