/*
 * state.c - what is known of a device on disk: one directory each.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"
#include "privilege.h"
#include "text_file.h"

#define ROOT_BASE	"/run/nbdisk"
#define NAMES_MAX	4096	/* nbd0 .. */
#define REMOVE_TRIES	10

static const char *const files[] = {
	"control", "device", "config", "udev", "unflushed", "takeovers", "fuse", "kept",
};

/* ---- where ------------------------------------------------------------------- */

/* Where nothing else may lead astray, the path as the kernel tells it: that is what
 * it says of a file that somebody has open. */
static void
make_plain(char *base, size_t size)
{
	struct stat st;
	char *plain;

	if (lstat(base, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	plain = realpath(base, NULL);
	if (plain != NULL && strlen(plain) < size)
		memcpy(base, plain, strlen(plain) + 1);
	free(plain);
}

/* Not the environment of a program that has more rights than who called it. */
static bool
base_path(char *base, size_t size, struct errtext *err)
{
	const char *own = secure_getenv("NBDISK_STATE_DIR");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (own != NULL && own[0] == '/')
		n = snprintf(base, size, "%s", own);
	else if (own != NULL && own[0] != '\0')
		return errtext_set(err, "NBDISK_STATE_DIR: \"%s\": must begin with /",
		    own);
	else if (privilege_is_root())
		n = snprintf(base, size, ROOT_BASE);
	else if (runtime != NULL && runtime[0] == '/')
		n = snprintf(base, size, "%s/nbdisk", runtime);
	else
		n = snprintf(base, size, "/tmp/nbdisk-%u", (unsigned)geteuid());
	if (n < 0 || (size_t)n >= size)
		return errtext_set(err, "the path of the state directory is too long");
	make_plain(base, size);
	return true;
}

/* Others may write to /tmp: what they put there is not trusted. */
static bool
base_make(char *base, size_t size, struct errtext *err)
{
	struct stat st;

	if (mkdir(base, 0700) < 0 && errno != EEXIST)
		return errtext_set(err, "%s: %s", base, strerror(errno));
	if (lstat(base, &st) < 0)
		return errtext_set(err, "%s: %s", base, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return errtext_set(err, "%s: must be a directory of yours that only "
		    "you may use; remove it", base);
	make_plain(base, size);
	return true;
}

/* The path of the control socket must fit into a socket address. */
static bool
set_dir(struct state *s, const char *base, const char *name, struct errtext *err)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) -
	    sizeof("/control");
	int n = snprintf(s->dir, sizeof(s->dir), "%s/%s", base, name);

	return (n > 0 && (size_t)n <= most) || errtext_set(err, "%s/%s: the path is "
	    "too long by %zu", base, name, (size_t)n - most);
}

const char *
state_path(const struct state *s, const char *file, char *buf)
{
	snprintf(buf, STATE_PATH_MAX, "%s/%s", s->dir, file);
	return buf;
}

bool
state_write(const struct state *s, const char *file, const char *text)
{
	char path[STATE_PATH_MAX];

	return text_file_write(state_path(s, file, path), text);
}

/* ---- the lock ---------------------------------------------------------------- */

/* Longer than any process id; what is not needed is newlines, so that writing a
 * new one is one write, and nobody finds the file empty. */
#define PID_TEXT	16

bool
state_write_pid(const struct state *s)
{
	char text[PID_TEXT];

	memset(text, '\n', sizeof(text));
	text[snprintf(text, sizeof(text), "%ld", (long)getpid())] = '\n';
	return pwrite(s->lock, text, sizeof(text), 0) == (ssize_t)sizeof(text);
}

static int
open_lock(const struct state *s, int flags)
{
	char path[STATE_PATH_MAX];

	return open(state_path(s, "lock", path), flags | O_RDWR | O_CLOEXEC, 0600);
}

pid_t
state_pid(const struct state *s)
{
	int fd = open_lock(s, 0);
	char text[PID_TEXT + 1] = "";
	bool alive;

	if (fd < 0)
		return 0;
	alive = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (alive && read(fd, text, sizeof(text) - 1) <= 0)
		alive = false;
	close(fd);
	return alive ? (pid_t)atol(text) : 0;
}

bool
state_lock_dead(struct state *s)
{
	/* One that could not wait for its helper took its lock away, no more. */
	s->lock = open_lock(s, O_CREAT);
	/* Else the number of a stranger would be taken for who is at it. */
	if (s->lock >= 0 && flock(s->lock, LOCK_EX | LOCK_NB) == 0 &&
	    state_write_pid(s))
		return true;
	state_close(s);
	return false;
}

void
state_close(struct state *s)
{
	if (s->lock >= 0)
		close(s->lock);
	s->lock = -1;
}

/* ---- make and remove --------------------------------------------------------- */

/* In a directory that nobody looks for yet. */
static bool
make_new(struct state *s, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	if (mkdir(s->dir, 0700) < 0 ||
	    mkdir(state_path(s, "mnt", path), 0700) < 0)
		return errtext_set(err, "%s: %s", s->dir, strerror(errno));
	s->lock = open_lock(s, O_CREAT | O_EXCL);
	if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return errtext_set(err, "%s/lock: %s", s->dir, strerror(errno));
	return state_write_pid(s) ||
	    errtext_set(err, "%s/lock: %s", s->dir, strerror(errno));
}

/* False with errno EEXIST: the name is taken. */
static bool
name_it(struct state *s, const char *base, const char *name)
{
	char dir[sizeof(s->dir)];

	snprintf(dir, sizeof(dir), "%s/%s", base, name);
	if (call_rename_new(s->dir, dir) < 0)
		return false;
	memcpy(s->dir, dir, sizeof(dir));
	snprintf(s->name, sizeof(s->name), "%s", name);
	return true;
}

/* By a disk that has its state elsewhere: a container's, perhaps. */
static bool
is_linked(const char *name)
{
	char path[STATE_PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), STATE_LINKS "/%s", name);
	return privilege_is_root() && lstat(path, &st) == 0;
}

static bool
name_lowest(struct state *s, const char *base)
{
	char name[16];

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "nbd%u", i);
		if (is_linked(name))
			continue;
		if (name_it(s, base, name))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

static bool
explain_taken(const char *name, struct errtext *err)
{
	struct state other;
	int error = errno;

	if (error != EEXIST || !state_open(&other, name, err))
		return errtext_set(err, "%s: %s", name, strerror(error));
	if (state_pid(&other) != 0)
		return errtext_set(err, "%s is connected already", name);
	return errtext_set(err, "%s is what a dead daemon left; \"nbdisk recover %s\" "
	    "may start a new one,\n\"nbdisk disconnect %s\" removes it", name, name,
	    name);
}

bool
state_create(struct state *s, const char *wanted, struct errtext *err)
{
	char base[sizeof(s->dir)], new[32];
	bool named;

	*s = (struct state){ .lock = -1 };
	snprintf(new, sizeof(new), ".new-%ld", (long)getpid());
	if (!base_path(base, sizeof(base), err) ||
	    !base_make(base, sizeof(base), err) ||
	    (wanted != NULL && !set_dir(s, base, wanted, err)) ||
	    !set_dir(s, base, new, err))
		return false;
	if (!make_new(s, err)) {
		state_remove(s);
		return false;
	}
	named = wanted != NULL ? name_it(s, base, wanted) : name_lowest(s, base);
	if (named)
		return true;
	if (wanted != NULL)
		explain_taken(wanted, err);
	else
		errtext_set(err, "%s: no name is free: %s", base, strerror(errno));
	state_remove(s);
	return false;
}

bool
state_open(struct state *s, const char *name, struct errtext *err)
{
	char base[sizeof(s->dir)];
	struct stat st;

	*s = (struct state){ .lock = -1 };
	errno = 0;
	if (!value_device_name(name))
		return errtext_set(err, "\"%s\" is not the name of a device", name);
	if (!base_path(base, sizeof(base), err) || !set_dir(s, base, name, err))
		return false;
	snprintf(s->name, sizeof(s->name), "%s", name);
	if (lstat(s->dir, &st) < 0) {
		errtext_set(err, "%s: there is no such device; see \"nbdisk status\"",
		    name);
		errno = ENOENT;
		return false;
	}
	return st.st_uid == geteuid() || errtext_set(err, "%s: not yours", s->dir);
}

void
state_remove(struct state *s)
{
	char path[STATE_PATH_MAX];
	bool mounted;

	mounted = rmdir(state_path(s, "mnt", path)) < 0 && errno != ENOENT;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		/* What is still there must be found. */
		if (!mounted || strcmp(files[i], "device") != 0)
			(void)unlink(state_path(s, files[i], path));
	/* Who looks for the remains of a dead one may just have made a lock. */
	for (unsigned i = 0; i < REMOVE_TRIES; i++) {
		(void)unlink(state_path(s, "lock", path));
		if (rmdir(s->dir) == 0 || errno != ENOTEMPTY || mounted)
			break;
	}
	state_close(s);
}

bool
state_first_time(const char *what)
{
	char base[STATE_PATH_MAX / 2], path[STATE_PATH_MAX];
	struct errtext ignored;
	int fd;

	if (!base_path(base, sizeof(base), &ignored))
		return false;
	/* No device has a name that begins so. */
	snprintf(path, sizeof(path), "%s/.%s", base, what);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* ---- all of them ------------------------------------------------------------- */

static int
is_name(const struct dirent *entry)
{
	return value_device_name(entry->d_name);
}

char **
state_names(size_t *count)
{
	struct dirent **entries;
	struct errtext err;
	char base[STATE_PATH_MAX / 2], **names;
	int n = -1;

	*count = 0;
	if (base_path(base, sizeof(base), &err))
		n = scandir(base, &entries, is_name, versionsort);
	if (n < 0)
		return NULL;
	names = calloc((size_t)n + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		if (names != NULL)
			names[(*count)++] = strdup(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return names;
}

void
state_names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
