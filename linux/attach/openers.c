/*
 * openers.c - which processes have a file open.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel says under what name each file was opened; that is compared, because
 * to stat what lies on a dead server's file system would wait for ever.
 */
#include "openers.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMM_MAX	32

struct search {
	const char	*path;
	bool		partitions;
	struct errtext	*who;
	size_t		len;
};

static bool
is_it(const struct search *s, const char *open_path)
{
	size_t len = strlen(s->path);

	if (strncmp(open_path, s->path, len) != 0)
		return false;
	if (open_path[len] == '\0')
		return true;
	return s->partitions && open_path[len] == 'p' &&
	    isdigit((unsigned char)open_path[len + 1]);
}

static void
read_command(const char *pid, char *command)
{
	char path[64];
	FILE *file;

	snprintf(command, COMM_MAX, "a program");
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(command, COMM_MAX, file) != NULL)
		command[strcspn(command, "\n")] = '\0';
	fclose(file);
}

static void
say(struct search *s, const char *pid, const char *path)
{
	size_t room = sizeof(s->who->text) - s->len;
	char command[COMM_MAX];
	int n;

	read_command(pid, command);
	n = snprintf(s->who->text + s->len, room, "%s%s (process %.20s) has %s open",
	    s->len > 0 ? "\n" : "", command, pid, path);
	if (n > 0 && (size_t)n < room)
		s->len += (size_t)n;
	else
		s->who->text[s->len] = '\0';
}

/* One line per process, however often it has the file open. */
static bool
search_process(struct search *s, const char *pid)
{
	char dir_path[64], target[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "/proc/%.20s/fd", pid);
	dir = opendir(dir_path);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target,
		    sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = is_it(s, target);
	}
	closedir(dir);
	if (found)
		say(s, pid, target);
	return found;
}

bool
openers_find(const char *path, bool partitions, struct errtext *who)
{
	struct search s = { .path = path, .partitions = partitions, .who = who };
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool found = false;

	who->text[0] = '\0';
	if (proc == NULL)
		return false;
	while ((entry = readdir(proc)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			found |= search_process(&s, entry->d_name);
	closedir(proc);
	return found;
}
