/*
 * named.c - the device that the command line names.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a path leads to is asked last: the file of a disk whose server is gone does not
 * answer.
 */
#include "named.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "attachment.h"

/* What a path may be compared with, of one device after the other. */
struct wanted {
	const char	*path;
	char		node[NODE_NAME_MAX];
};

static bool
is_printed(const struct state *s, const struct wanted *w)
{
	static const struct attachment with_node = { .node.kind = NODE_LOOP }, as_file;
	char path[STATE_PATH_MAX];

	return strcmp(w->path, attachment_path(s, &with_node, path)) == 0 ||
	    strcmp(w->path, attachment_path(s, &as_file, path)) == 0;
}

static bool
is_on_node(const struct state *s, const struct wanted *w)
{
	return attachment_is_on(s, w->node);
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

/* Of a block device and of its partitions. */
static bool
find_node(const char *path, char *node)
{
	const size_t len = strlen("/dev/");
	char to[PATH_MAX];

	return realpath(path, to) != NULL && strncmp(to, "/dev/", len) == 0 &&
	    node_whole(node, to + len);
}

bool
named_open(struct state *s, const char *operand, struct errtext *err)
{
	struct wanted w = { .path = operand };

	if (strchr(operand, '/') == NULL)
		return state_open(s, operand, err);
	if (find(s, is_printed, &w) ||
	    (find_node(operand, w.node) && find(s, is_on_node, &w)))
		return true;
	errtext_set(err, "%s: there is no such device; see \"nbdisk status\"", operand);
	errno = ENOENT;
	return false;
}
