/*
 * mounts.c - who uses a block device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * First the set of devices: the disk, its partitions, and all that stands on
 * them, as sysfs shows it.  Then each place that may name one of the set: mounts of all
 * mount name spaces, swap, file systems over several devices.
 */
#include "mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "openers.h"

#define DEVICES_MAX	256
#define SPACES_MAX	1024	/* mount name spaces that are looked into */
#define COMM_MAX	32

struct device {
	dev_t	dev;
	char	name[NAME_MAX + 1];
	char	alias[128];		/* " (vg-root)" of device mapper; "" */
	const struct device *holder;	/* one of the set that stands on it */
	bool	named;			/* some use of it is in the text */
};

struct search {
	struct device	device[DEVICES_MAX];
	unsigned	count;
	struct errtext	*users;
	size_t		len;
	ino_t		space[SPACES_MAX];	/* ours is the first */
	unsigned	spaces;
	char		elsewhere[COMM_MAX + 64];	/* whose mounts are read; "" */
};

/* One line more; what no longer fits is left out. */
static void
say(struct search *s, struct device *d, const char *use, const char *where)
{
	size_t room = sizeof(s->users->text) - s->len;
	int n = snprintf(s->users->text + s->len, room, "%s%s%s is %s%s%s",
	    s->len > 0 ? "\n" : "", d->name, d->alias, use, where, s->elsewhere);

	d->named = true;
	if (n > 0 && (size_t)n < room)
		s->len += (size_t)n;
	else
		s->users->text[s->len] = '\0';
}

static struct device *
find(struct search *s, dev_t dev)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->device[i].dev == dev)
			return &s->device[i];
	return NULL;
}

/* ---- the set ----------------------------------------------------------------- */

static bool
read_dev(const char *dir, dev_t *dev)
{
	char path[PATH_MAX];
	unsigned major, minor;
	FILE *file;
	bool ok;

	if (snprintf(path, sizeof(path), "%s/dev", dir) >= (int)sizeof(path))
		return false;
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	ok = fscanf(file, "%u:%u", &major, &minor) == 2;
	fclose(file);
	*dev = makedev(major, minor);
	return ok;
}

/* What people call a mapping. */
static void
read_alias(struct device *d)
{
	char path[NAME_MAX + 32], name[100];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/dm/name", d->name);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fscanf(file, "%99s", name) == 1)
		snprintf(d->alias, sizeof(d->alias), " (%s)", name);
	fclose(file);
}

static bool
add(struct search *s, const char *dir)
{
	struct device *d = &s->device[s->count];
	const char *slash;
	char path[PATH_MAX];
	dev_t dev;

	if (s->count == DEVICES_MAX || !read_dev(dir, &dev) || find(s, dev) != NULL ||
	    realpath(dir, path) == NULL)
		return false;
	slash = strrchr(path, '/');
	*d = (struct device){ .dev = dev };
	snprintf(d->name, sizeof(d->name), "%s", slash + 1);
	read_alias(d);
	s->count++;
	return true;
}

/* Adds the devices in a directory of sysfs; false: there is none. */
static bool
add_all(struct search *s, const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char child[PATH_MAX];
	bool any = false;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) <
		    (int)sizeof(child))
			any |= add(s, child);
	}
	closedir(dir);
	return any;
}

static struct device *
find_node(struct search *s, const char *path)
{
	struct stat st;

	/* Only what is in /dev: stat of any other path might hang. */
	if (strncmp(path, "/dev/", 5) != 0 || stat(path, &st) < 0 ||
	    !S_ISBLK(st.st_mode))
		return NULL;
	return find(s, st.st_rdev);
}

/* A loop device is no holder in sysfs: it only has a path open. */
static void
add_loop(struct search *s, const char *name)
{
	char path[NAME_MAX + 32], backing[PATH_MAX];
	struct device *below = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(backing, sizeof(backing), file) != NULL) {
		backing[strcspn(backing, "\n")] = '\0';
		below = find_node(s, backing);
	}
	fclose(file);
	snprintf(path, sizeof(path), "/sys/block/%s", name);
	if (below != NULL && add(s, path))
		below->holder = &s->device[s->count - 1];
}

static void
add_loops(struct search *s)
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, "loop", 4) == 0)
			add_loop(s, entry->d_name);
	closedir(dir);
}

/* The list grows while it is walked. */
static void
collect(struct search *s, dev_t disk)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(disk), minor(disk));
	(void)add(s, path);
	for (unsigned i = 0; i < s->count; i++) {
		dev_t dev = s->device[i].dev;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev),
		    minor(dev));
		(void)add_all(s, path);
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders",
		    major(dev), minor(dev));
		if (add_all(s, path))
			s->device[i].holder = &s->device[s->count - 1];
		add_loops(s);
	}
}

/* ---- the uses ---------------------------------------------------------------- */

static bool
is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' &&
	    s[2] >= '0' && s[2] <= '7';
}

/* Undoes \ooo, which stands for space, tab, newline and backslash. */
static void
unescape(char *s)
{
	char *to = s;

	while (*s != '\0') {
		if (s[0] == '\\' && is_octal(s + 1)) {
			*to++ = (char)((s[1] & 3) << 6 | (s[2] & 7) << 3 | (s[3] & 7));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Who would have to leave first.  In the root all stand. */
static void
say_openers(struct search *s, const char *point)
{
	size_t room = sizeof(s->users->text) - s->len;
	struct errtext who;
	int n;

	if (strcmp(point, "/") == 0 || !openers_find(point, OPENERS_OF_TREE, &who))
		return;
	n = snprintf(s->users->text + s->len, room, "\n%s", who.text);
	s->len += n > 0 && (size_t)n < room ? (size_t)n : room - 1;
}

/* proc(5), mountinfo: "id parent major:minor root point options ... - type
 * source ...".  Where a file system spans devices (btrfs), the numbers are its
 * own and only the source names one of them. */
static void
check_mount(struct search *s, char *line)
{
	unsigned major, minor;
	char *point, *source = strstr(line, " - ");
	struct device *d;
	int at = 0;

	if (sscanf(line, "%*u %*u %u:%u %*s %n", &major, &minor, &at) != 2 || at == 0)
		return;
	if (source != NULL && (source = strchr(source + 3, ' ')) != NULL)
		source[1 + strcspn(source + 1, " \n")] = '\0';
	point = line + at;
	point[strcspn(point, " ")] = '\0';
	d = find(s, makedev(major, minor));
	if (d == NULL && source != NULL)
		d = find_node(s, source + 1);
	if (d == NULL)
		return;
	unescape(point);
	say(s, d, "mounted on ", point);
	if (s->elsewhere[0] == '\0')
		say_openers(s, point);
}

static void
check_swap(struct search *s, char *line)
{
	struct device *d;

	line[strcspn(line, " \t\n")] = '\0';
	unescape(line);
	d = find_node(s, line);
	if (d != NULL)
		say(s, d, "swap space", "");
}

static void
each_line(struct search *s, const char *path, void (*check)(struct search *, char *))
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (file == NULL)
		return;
	while (getline(&line, &size, file) > 0)
		check(s, line);
	free(line);
	fclose(file);
}

/* ---- other mount name spaces --------------------------------------------------- */

/* Whether nobody has looked into it yet. */
static bool
is_new_space(struct search *s, const char *pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", pid);
	if (stat(path, &st) < 0 || s->spaces == SPACES_MAX)
		return false;
	for (unsigned i = 0; i < s->spaces; i++)
		if (s->space[i] == st.st_ino)
			return false;
	s->space[s->spaces++] = st.st_ino;
	return true;
}

static void
check_space(struct search *s, const char *pid)
{
	char path[64], command[COMM_MAX] = "a program";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (file != NULL) {
		if (fgets(command, sizeof(command), file) != NULL)
			command[strcspn(command, "\n")] = '\0';
		fclose(file);
	}
	snprintf(s->elsewhere, sizeof(s->elsewhere), ", where %s (process %.20s) is",
	    command, pid);
	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	each_line(s, path, check_mount);
	s->elsewhere[0] = '\0';
}

/* Containers have copies of mounts, and mounts of their own. */
static void
check_spaces(struct search *s)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	if (proc == NULL)
		return;
	(void)is_new_space(s, "self");
	while ((entry = readdir(proc)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    is_new_space(s, entry->d_name))
			check_space(s, entry->d_name);
	closedir(proc);
}

/* ---- file systems over several devices ------------------------------------------ */

/* Only one of them is named by the mount. */
static void
check_btrfs(struct search *s, const char *uuid)
{
	char path[NAME_MAX + 32], member[2 * NAME_MAX + 64];

	snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices", uuid);
	for (unsigned i = 0; i < s->count; i++) {
		struct device *d = &s->device[i];

		snprintf(member, sizeof(member), "%s/%s", path, d->name);
		if (!d->named && access(member, F_OK) == 0)
			say(s, d, "a member of the btrfs ", uuid);
	}
}

static void
check_all_btrfs(struct search *s)
{
	DIR *dir = opendir("/sys/fs/btrfs");
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			check_btrfs(s, entry->d_name);
	closedir(dir);
}

/* ---- what nothing tells ---------------------------------------------------------- */

/* Whoever uses a device keeps it exclusively; what no list named shows here. */
static void
check_exclusive(struct search *s, struct device *d)
{
	char path[NAME_MAX + 8];
	int fd;

	if (d->named || d->holder != NULL)
		return;
	snprintf(path, sizeof(path), "/dev/%s", d->name);
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (errno == EBUSY)
		say(s, d, "in exclusive use, by a program or a driver", "");
}

/* What stands on a device keeps it, used or not. */
static void
check_holder(struct search *s, struct device *d)
{
	char holder[sizeof(d->name) + sizeof(d->alias)];

	if (d->holder != NULL) {
		snprintf(holder, sizeof(holder), "%s%s", d->holder->name,
		    d->holder->alias);
		say(s, d, "under ", holder);
	}
}

bool
mounts_in_use(dev_t disk, struct errtext *users)
{
	struct search *s = calloc(1, sizeof(*s));
	bool in_use;

	users->text[0] = '\0';
	if (s == NULL)
		return !errtext_set(users, "out of memory");
	s->users = users;
	collect(s, disk);
	each_line(s, "/proc/self/mountinfo", check_mount);
	check_spaces(s);
	each_line(s, "/proc/swaps", check_swap);
	check_all_btrfs(s);
	/* The disk last: a partition in use makes it look used as well. */
	for (unsigned i = 1; i < s->count; i++)
		check_exclusive(s, &s->device[i]);
	if (s->len == 0 && s->count > 0)
		check_exclusive(s, &s->device[0]);
	for (unsigned i = 0; s->len == 0 && i < s->count; i++)
		check_holder(s, &s->device[i]);
	in_use = s->len > 0;
	free(s);
	return in_use;
}
