/*
 * verb_wait.c - wait until a device is as somebody wants it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "control_client.h"
#include "devices.h"
#include "json.h"
#include "named.h"
#include "options.h"
#include "progress.h"
#include "snapshot_fields.h"

#define POLL_NS		100000000

/* What there is to see of it, at one moment. */
struct seen {
	bool		exists;
	const char	*state;		/* NULL: it comes or goes just now */
	uint64_t	size;		/* 0: it is not attached */
	unsigned	path;		/* its server, by number and by name */
	char		uri[512];
};

/* False: it is not to be known, and will not be. */
static bool
look(struct seen *seen, const char *operand, struct errtext *err)
{
	static struct device d;
	struct state state;

	*seen = (struct seen){ .exists = named_open(&state, operand, err) };
	if (!seen->exists)
		return errno == ENOENT;
	if (!device_get(&d, &state, err))
		return true;
	seen->size = d.alive ? d.snapshot.device_size : 0;
	if (d.alive) {
		seen->path = snapshot_path(&d.snapshot);
		snprintf(seen->uri, sizeof(seen->uri), "%s",
		    d.snapshot.path[seen->path].uri);
	}
	/* Before it is attached it has no size. */
	if (!d.alive || seen->size != 0)
		seen->state = device_state(&d);
	return true;
}

static bool
is_up(const struct seen *first, const struct seen *now)
{
	(void)first;
	return now->state != NULL && !state_is_down(now->state);
}

static bool
is_gone(const struct seen *first, const struct seen *now)
{
	(void)first;
	return !now->exists;
}

static bool
is_down(const struct seen *first, const struct seen *now)
{
	return is_gone(first, now) ||
	    (now->state != NULL && state_is_down(now->state));
}

static bool
is_resized(const struct seen *first, const struct seen *now)
{
	return now->size != 0 && now->size != first->size;
}

static bool
is_moved(const struct seen *first, const struct seen *now)
{
	return now->size != 0 && now->path != first->path;
}

/* In the order of wait_words. */
static bool (*const is_reached[])(const struct seen *, const struct seen *) = {
	is_up, is_down, is_gone, is_resized, is_moved,
};
#define FOR_SIZE	3
#define FOR_MOVED	4

static bool
wait_for(const struct options *o, struct seen *now, struct errtext *err)
{
	const struct timespec poll = { .tv_nsec = POLL_NS };
	nbe_time end = clock_after(o->wait);
	struct seen first;

	if (!look(&first, o->operand[0], err))
		return false;
	/* There is nothing that could change. */
	if (o->wait_for >= FOR_SIZE && first.size == 0)
		return errtext_set(err, "%s: it is not attached", o->operand[0]);
	*now = first;
	while (!is_reached[o->wait_for](&first, now)) {
		if (clock_now() >= end)
			return errtext_set(err, "%s: it is %s", o->operand[0],
			    !now->exists ? "not there" : now->state != NULL ?
			    now->state : "being attached or detached");
		(void)nanosleep(&poll, NULL);
		if (!look(now, o->operand[0], err))
			return false;
		if (o->wait_for >= FOR_SIZE && !now->exists)
			return errtext_set(err, "%s: it is gone", o->operand[0]);
	}
	return true;
}

static void
print_seen(const struct options *o, const struct seen *now)
{
	struct json j;

	if (!o->json) {
		if (o->wait_for == FOR_SIZE)
			printf("%" PRIu64 "\n", now->size);
		if (o->wait_for == FOR_MOVED)
			printf("%s\n", now->uri);
		return;
	}
	json_start(&j, stdout, false);
	json_open(&j, NULL, '{');
	json_text(&j, "name", o->operand[0]);
	json_text(&j, "state", now->state);
	json_number(&j, "size", now->size);
	json_text(&j, "uri", now->uri[0] != '\0' ? now->uri : NULL);
	json_close(&j, '}');
	json_finish(&j);
}

enum exit_status
verb_wait(const struct options *o)
{
	struct progress progress;
	struct errtext err;
	struct seen now;
	bool ok;

	if (o->wait_for == WAIT_UNSAID) {
		complain("wait: --for is missing: up, down, gone, size or moved");
		return EXIT_USAGE;
	}
	progress_begin(&progress, "waiting");
	ok = wait_for(o, &now, &err);
	progress_end(&progress);
	if (ok) {
		print_seen(o, &now);
		return EXIT_OK;
	}
	complain(err.text);
	return EXIT_FAILED;
}
