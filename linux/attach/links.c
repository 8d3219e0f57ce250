/*
 * links.c - /dev/nbdisk/NAME, which leads to a block device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where there is udev, it makes the same link, and either may be first.
 */
#include "links.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"
#include "state.h"

/* Another process may remove what is in the way, or the directory, at any time. */
#define LINK_TRIES	8
#define UP		"../"

void
links_path(const char *name, char *buf)
{
	snprintf(buf, STATE_PATH_MAX, STATE_LINKS "/%s", name);
}

/* node: of NODE_NAME_MAX. */
static bool
leads_to(const char *path, char *node)
{
	char to[NODE_NAME_MAX + sizeof(UP)];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n <= 0)
		return false;
	to[n] = '\0';
	return strncmp(to, UP, strlen(UP)) == 0 &&
	    snprintf(node, NODE_NAME_MAX, "%s", to + strlen(UP)) < NODE_NAME_MAX;
}

/* A directory for all users of the device, whatever this process hides else. */
static bool
make_directory(void)
{
	if (mkdir(STATE_LINKS, 0755) == 0)
		return chmod(STATE_LINKS, 0755) == 0;
	return errno == EEXIST;
}

/* One that a dead machine or daemon left is no obstacle, one of a living disk, which
 * keeps its state elsewhere, is. */
static bool
clear_way(const char *path, struct errtext *err)
{
	char node[NODE_NAME_MAX];

	if (leads_to(path, node) && node_in_use(node))
		return errtext_set(err, "%s leads to %s, which is in use; choose "
		    "another name", path, node);
	return unlink(path) == 0 || errno == ENOENT ||
	    errtext_set(err, "%s: %s", path, strerror(errno));
}

bool
links_make(const char *name, const char *node, struct errtext *err)
{
	char path[STATE_PATH_MAX], to[NODE_NAME_MAX + sizeof(UP)];
	char there[NODE_NAME_MAX];

	links_path(name, path);
	snprintf(to, sizeof(to), UP "%s", node);
	for (unsigned i = 0; i < LINK_TRIES; i++) {
		if (!make_directory())
			return errtext_set(err, STATE_LINKS ": %s", strerror(errno));
		/* udev may have been faster. */
		if (symlink(to, path) == 0 ||
		    (leads_to(path, there) && strcmp(there, node) == 0))
			return true;
		/* dd makes a file of a name that is not there: somebody's data. */
		if (errno == EINVAL)
			return errtext_set(err, "%s is in the way, and is no link; "
			    "remove it", path);
		if (errno != EEXIST && errno != ENOENT)
			break;
		if (errno == EEXIST && !clear_way(path, err))
			return false;
	}
	return errtext_set(err, "%s: %s", path, strerror(errno));
}

void
links_remove(const char *name, const char *node)
{
	char path[STATE_PATH_MAX], there[NODE_NAME_MAX];

	links_path(name, path);
	if (leads_to(path, there) && strcmp(there, node) == 0)
		(void)unlink(path);
	(void)rmdir(STATE_LINKS);
}
