/*
 * verb_recover.c - a new daemon takes over what one that was killed left.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>

#include "config_file.h"
#include "connect_again.h"
#include "named.h"

static bool
lock(struct state *s, const char *name, struct errtext *err)
{
	if (!named_open(s, name, err))
		return false;
	if (state_pid(s) != 0)
		return errtext_set(err, "%s: its daemon lives", s->name);
	return state_lock_dead(s) ||
	    errtext_set(err, "%s: somebody else is at it", s->name);
}

enum exit_status
verb_recover(const struct options *given)
{
	/* The daemon goes on using them. */
	static struct options o;
	static struct state dead;
	char path[STATE_PATH_MAX], *text = NULL;
	enum exit_status status;
	struct errtext err;

	if (!lock(&dead, given->operand[0], &err)) {
		complain(err.text);
		return EXIT_FAILED;
	}
	options_init(&o);
	state_path(&dead, "config", path);
	status = config_load(&o, VERB_CONNECT, path, &text);
	o.device = dead.name;
	o.json = given->json;
	o.foreground = given->foreground;
	if (status == EXIT_OK)
		status = connect_again(&o, &dead);
	free(text);
	state_close(&dead);
	return status;
}
