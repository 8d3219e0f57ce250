/*
 * udev_names.c - what udev names a device by.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "udev_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PATH_ROOM	200	/* a name in a directory, with what stands around it */

/* The server chooses the export's name, perhaps, and a link of it lies in /dev: one
 * component, without what a shell or udev takes for more than a letter. */
static void
put_plain(char *path, const char *text)
{
	size_t len = strlen(path);

	for (; *text != '\0' && len < PATH_ROOM - 1; text++) {
		bool plain = isalnum((unsigned char)*text) ||
		    strchr(".:_@+-", *text) != NULL;

		path[len++] = plain ? *text : '_';
	}
	path[len] = '\0';
}

/* As other network disks have it: "nbd-server:10809-export". */
static void
make_path(char *path, const struct nbc_target *t)
{
	snprintf(path, PATH_ROOM, "nbd-");
	put_plain(path, t->host);
	if (t->family != NBC_UNIX) {
		put_plain(path, ":");
		put_plain(path, t->port != NULL ? t->port : NBC_DEFAULT_PORT);
	}
	if (t->export_name != NULL && t->export_name[0] != '\0') {
		put_plain(path, "-");
		put_plain(path, t->export_name);
	}
}

bool
udev_names_write(const struct state *s, const struct nbc_target *t)
{
	char path[PATH_ROOM], text[PATH_ROOM + DEVICE_NAME_MAX + 64];

	make_path(path, t);
	snprintf(text, sizeof(text), "NBDISK_NAME=%s\nNBDISK_PATH=%s\n", s->name, path);
	return state_write(s, "udev", text);
}
