/*
 * named.c - the device that the command line names.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a path leads to is asked last: the file of a disk whose server is gone does not
 * answer.
 */
#include "named.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attachment.h"

/* What a path may be compared with, of one device after the other. */
struct wanted {
	const char	*path;
	unsigned	loop;
};

static bool
is_printed(const struct state *s, const struct wanted *w)
{
	static const struct attachment with_loop = { .has_loop = true }, as_file;
	char path[STATE_PATH_MAX];

	return strcmp(w->path, attachment_path(s, &with_loop, path)) == 0 ||
	    strcmp(w->path, attachment_path(s, &as_file, path)) == 0;
}

static bool
is_on_loop(const struct state *s, const struct wanted *w)
{
	return attachment_is_on(s, w->loop);
}

static bool
find(struct state *s, bool (*is_it)(const struct state *, const struct wanted *),
    const struct wanted *w)
{
	struct errtext ignored;
	bool found = false;
	size_t count;
	char **names = state_names(&count);

	for (size_t i = 0; !found && i < count; i++)
		found = state_open(s, names[i], &ignored) && is_it(s, w);
	state_names_free(names, count);
	return found;
}

/* Of a loop device and of its partitions. */
static bool
loop_number(const char *path, unsigned *number)
{
	char to[PATH_MAX];
	int len = 0;

	return realpath(path, to) != NULL &&
	    sscanf(to, "/dev/loop%u%n", number, &len) == 1 && (to[len] == '\0' ||
	    (to[len] == 'p' && isdigit((unsigned char)to[len + 1])));
}

bool
named_open(struct state *s, const char *operand, struct errtext *err)
{
	struct wanted w = { .path = operand };

	if (strchr(operand, '/') == NULL)
		return state_open(s, operand, err);
	if (find(s, is_printed, &w) ||
	    (loop_number(operand, &w.loop) && find(s, is_on_loop, &w)))
		return true;
	errtext_set(err, "%s: there is no such device; see \"nbdisk status\"", operand);
	errno = ENOENT;
	return false;
}
