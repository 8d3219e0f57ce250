/*
 * devices.c - snapshots of the devices that the command line names, or of all.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "attachment.h"
#include "control_client.h"
#include "named.h"
#include "snapshot_fields.h"

/* The next daemon has the lock already, and looks for a server, which may take long. */
static bool
waits_for_daemon(const struct state *s)
{
	enum attach_kind way;

	return control_is_left(s) && attachment_outlives(s, &way);
}

bool
device_get(struct device *d, const struct state *s, struct errtext *err)
{
	static struct control_reply reply;

	snprintf(d->name, sizeof(d->name), "%s", s->name);
	d->alive = state_pid(s) != 0;
	if (!d->alive)
		return true;
	if (!control_ask(s, CONTROL_SNAPSHOT, 0, &reply, err)) {
		/* It may have ended just now. */
		d->alive = false;
		return state_pid(s) == 0 || waits_for_daemon(s);
	}
	d->snapshot = reply.snapshot;
	return true;
}

const char *
device_state(const struct device *d)
{
	return d->alive ? snapshot_state(&d->snapshot) : STATE_DEAD;
}

/* Attached or detached just now: nobody can be asked about it. */
static bool
comes_or_goes(const struct state *s)
{
	char path[STATE_PATH_MAX];

	return state_pid(s) != 0 && access(state_path(s, "control", path), F_OK) < 0;
}

static void
add(struct devices *d, const char *name, bool named)
{
	struct errtext err;
	struct state state;

	if (!named_open(&state, name, &err)) {
		/* One that nobody named may be gone since we looked. */
		if (!named)
			return;
	} else if (!named && comes_or_goes(&state)) {
		return;
	} else if (device_get(&d->item[d->count], &state, &err)) {
		d->count++;
		return;
	}
	complain(err.text);
	d->failed = true;
}

bool
devices_get(struct devices *d, const struct options *o)
{
	size_t count = o->operands;
	char **names = o->operand;

	if (o->operands == 0)
		names = state_names(&count);
	*d = (struct devices){ .item = calloc(count + 1, sizeof(*d->item)) };
	for (size_t i = 0; d->item != NULL && i < count; i++)
		add(d, names[i], o->operands > 0);
	if (o->operands == 0)
		state_names_free(names, count);
	if (d->item == NULL)
		complain("out of memory");
	return d->item != NULL;
}

void
devices_free(struct devices *d)
{
	free(d->item);
}
