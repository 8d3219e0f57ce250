/*
 * verb_move.c - go to another server of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon first looks whether that one answers; then what is under way is finished
 * and flushed.  Done when the disk is there.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "connect.h"
#include "control_client.h"
#include "named.h"
#include "options.h"
#include "progress.h"
#include "snapshot_fields.h"
#include "values.h"

#define POLL_NS		50000000

/* As show has it, or as connect was told. */
static bool
is_called(const struct disk_path_info *p, const char *server)
{
	struct nbc_target t = { 0 };
	struct nbc_error ignored;
	char uri[sizeof(p->uri)];

	if (strcmp(p->uri, server) == 0)
		return true;
	uri[0] = '\0';
	if (nbc_target_parse(&t, server, &ignored))
		nbc_target_print(&t, uri, sizeof(uri));
	nbc_target_free(&t);
	return strcmp(p->uri, uri) == 0;
}

/* NULL: the one behind the active one. */
static bool
choose(const struct control_snapshot *s, const char *server, unsigned *path,
    struct errtext *err)
{
	unsigned number;

	if (s->paths < 2)
		return errtext_set(err, "%s has one server; connect it with several",
		    s->name);
	if (server == NULL) {
		*path = (snapshot_path(s) + 1) % s->paths;
		return true;
	}
	if (value_count(server, 0, s->paths - 1, &number)) {
		*path = number;
		return true;
	}
	for (*path = 0; *path < s->paths; ++*path)
		if (is_called(&s->path[*path], server))
			return true;
	return errtext_set(err, "%s has no server \"%s\"; \"nbdisk show %s\" lists "
	    "them", s->name, server, s->name);
}

static bool
has_arrived(const struct control_snapshot *s, unsigned path)
{
	return s->path[path].state == DISK_PATH_ACTIVE && !s->path[path].tried &&
	    s->stats.conns_up > 0;
}

/* Under way: it is to move there, or all servers are away and this one's turn comes. */
static bool
has_failed(const struct control_snapshot *s, unsigned path)
{
	return !s->path[path].moving && !s->path[path].tried && s->stats.conns_up > 0 &&
	    !has_arrived(s, path);
}

static bool
await(const struct state *state, unsigned path, nbe_time wait, struct errtext *err)
{
	static struct control_reply reply;
	const struct control_snapshot *s = &reply.snapshot;
	const struct timespec poll = { .tv_nsec = POLL_NS };
	nbe_time end = clock_after(wait);

	do {
		if (!control_ask(state, CONTROL_SNAPSHOT, 0, &reply, err))
			return false;
		if (has_arrived(s, path))
			return true;
		if (has_failed(s, path))
			return errtext_set(err, "%s stays with %s:\n%s", s->name,
			    s->uri, s->path[path].problem);
		(void)nanosleep(&poll, NULL);
	} while (clock_now() < end);
	return errtext_set(err, "%s has not arrived at %s yet; it goes on trying",
	    s->name, s->path[path].uri);
}

static bool
move(const struct options *o, struct errtext *err)
{
	static struct control_reply reply;
	struct state state;
	unsigned path = 0;

	return named_open(&state, o->operand[0], err) &&
	    control_ask(&state, CONTROL_SNAPSHOT, 0, &reply, err) &&
	    choose(&reply.snapshot, o->operands > 1 ? o->operand[1] : NULL, &path,
	    err) &&
	    control_ask(&state, CONTROL_MOVE, path, &reply, err) &&
	    await(&state, path, o->wait, err);
}

enum exit_status
verb_move(const struct options *o)
{
	struct progress progress;
	struct errtext err;
	bool ok;

	progress_begin(&progress, "moving");
	ok = move(o, &err);
	progress_end(&progress);
	if (ok)
		return EXIT_OK;
	complain(err.text);
	return EXIT_FAILED;
}
