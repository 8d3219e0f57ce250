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
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMM_MAX	32

struct search {
	const char	*path;
	enum openers_of	of;
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
	if (s->of == OPENERS_OF_TREE)
		return open_path[len] == '/';
	return open_path[len] == 'p' && isdigit((unsigned char)open_path[len + 1]);
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
say(struct search *s, const char *pid, const char *has, const char *path,
    const char *open)
{
	size_t room = sizeof(s->who->text) - s->len;
	char command[COMM_MAX];
	int n;

	read_command(pid, command);
	n = snprintf(s->who->text + s->len, room, "%s%s (process %.20s) %s %s%s",
	    s->len > 0 ? "\n" : "", command, pid, has, path, open);
	if (n > 0 && (size_t)n < room)
		s->len += (size_t)n;
	else
		s->who->text[s->len] = '\0';
}

/* Whether a link of /proc leads there; then target has where. */
static bool
leads_there(const struct search *s, int dir, const char *name, char *target)
{
	ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return is_it(s, target);
}

static bool
search_files(struct search *s, const char *pid, char *target)
{
	const struct dirent *entry;
	char dir_path[64];
	bool found = false;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "/proc/%.20s/fd", pid);
	dir = opendir(dir_path);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = leads_there(s, dirfd(dir), entry->d_name, target);
	closedir(dir);
	return found;
}

/* One line per process, however often it has the file open. */
static bool
search_process(struct search *s, const char *pid)
{
	static const char *const places[] = { "cwd", "root" };
	char path[64], target[PATH_MAX];

	if (atol(pid) == (long)getpid())
		return false;
	if (search_files(s, pid, target)) {
		say(s, pid, "has", target, " open");
		return true;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, places[i]);
		if (leads_there(s, AT_FDCWD, path, target)) {
			say(s, pid, "stands in", target, "");
			return true;
		}
	}
	return false;
}

bool
openers_find(const char *path, enum openers_of of, struct errtext *who)
{
	struct search s = { .path = path, .of = of, .who = who };
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
