/*
 * attachment.c - between a file that FUSE serves and what users open.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "attachment.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuse.h"
#include "loopdev.h"
#include "mounts.h"
#include "openers.h"

#define LINKS		"/dev/nbdisk"
#define POLL_MS		20
#define RESIZE_MS	2000	/* the kernel asks anew when fuse_resize told it to */
#define RELEASE_MS	1000	/* loop closes its file a little after it detached;
				 * and udev looks into new devices for a moment */
#define FORCE_MS	1000

static void
sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static const char *
backing_path(const struct state *s, char *buf)
{
	return state_path(s, "mnt/" FUSE_DISK_NAME, buf);
}

static void
link_path(const struct state *s, char *buf)
{
	snprintf(buf, STATE_PATH_MAX, LINKS "/%s", s->name);
}

const char *
attachment_path(const struct state *s, const struct attachment *a, char *buf)
{
	if (a->has_loop)
		link_path(s, buf);
	else
		backing_path(s, buf);
	return buf;
}

/* ---- make -------------------------------------------------------------------- */

static bool
make_link(const struct state *s, unsigned loop, struct errtext *err)
{
	char path[STATE_PATH_MAX], to[32];

	link_path(s, path);
	snprintf(to, sizeof(to), "../loop%u", loop);
	if (mkdir(LINKS, 0755) < 0 && errno != EEXIST)
		return errtext_set(err, LINKS ": %s", strerror(errno));
	/* One that a dead machine or daemon left. */
	(void)unlink(path);
	if (symlink(to, path) < 0)
		return errtext_set(err, "%s: %s", path, strerror(errno));
	return true;
}

static void
remove_link(const struct state *s)
{
	char path[STATE_PATH_MAX];

	link_path(s, path);
	(void)unlink(path);
	(void)rmdir(LINKS);
	(void)unlink(state_path(s, "device", path));
}

static bool
write_number(const struct state *s, unsigned loop, struct errtext *err)
{
	char number[16];

	snprintf(number, sizeof(number), "%u\n", loop);
	return state_write(s, "device", number) ||
	    errtext_set(err, "%s/device: %s", s->dir, strerror(errno));
}

static bool
make_loop(const struct state *s, const struct loopdev_config *config,
    struct attachment *a, struct errtext *err)
{
	struct errtext ignored;

	if (!loopdev_attach(&a->loop, config, err))
		return false;
	if (make_link(s, a->loop, err) && write_number(s, a->loop, err)) {
		a->has_loop = true;
		return true;
	}
	(void)loopdev_detach(a->loop, FORCE_MS, &ignored);
	remove_link(s);
	return false;
}

bool
attachment_make(const struct state *s, uint32_t block_min, bool read_only,
    struct attachment *a, struct errtext *err)
{
	char path[STATE_PATH_MAX];
	struct loopdev_config config = {
		.backing = backing_path(s, path), .block_min = block_min,
		.read_only = read_only,
	};

	*a = (struct attachment){ .has_loop = false };
	if (geteuid() == 0)
		return make_loop(s, &config, a, err);
	if (access(path, R_OK) < 0)
		return errtext_set(err, "%s: %s", path, strerror(errno));
	return true;
}

void
attachment_find(const struct state *s, struct attachment *a)
{
	char path[STATE_PATH_MAX];

	*a = (struct attachment){ .has_loop = false };
	a->has_loop = loopdev_find(&a->loop, backing_path(s, path));
}

bool
attachment_resize(const struct state *s, const struct attachment *a, uint64_t size,
    struct errtext *err)
{
	char path[STATE_PATH_MAX];
	struct stat st;

	backing_path(s, path);
	for (unsigned ms = 0; ms < RESIZE_MS; ms += POLL_MS) {
		if (stat(path, &st) == 0 && (uint64_t)st.st_size == size)
			return !a->has_loop || loopdev_resize(a->loop, path, err);
		sleep_ms(POLL_MS);
	}
	return errtext_set(err, "%s: the kernel does not see the new size", path);
}

/* ---- undo -------------------------------------------------------------------- */

static bool
is_mounted(const char *point)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;
	bool found = false;

	if (mounts == NULL)
		return true;
	while (!found && (m = getmntent(mounts)) != NULL)
		found = strcmp(m->mnt_dir, point) == 0;
	endmntent(mounts);
	return found;
}

static bool
unmount(const struct state *s, bool lazy, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	state_path(s, "mnt", path);
	return !is_mounted(path) || fuse_unmount(path, lazy, err);
}

static bool
unmount_soon(const struct state *s, struct errtext *err)
{
	char path[STATE_PATH_MAX];
	struct errtext why, users;

	for (unsigned ms = 0; ms < RELEASE_MS; ms += POLL_MS) {
		if (unmount(s, false, &why))
			return true;
		sleep_ms(POLL_MS);
	}
	if (openers_find(backing_path(s, path), false, &users))
		return errtext_set(err, "it is in use:\n%.900s", users.text);
	return errtext_set(err, "it is in use:\n%.900s", why.text);
}

static bool
loop_in_use(unsigned loop, struct errtext *users)
{
	char node[32];
	struct stat st;

	snprintf(node, sizeof(node), "/dev/loop%u", loop);
	return (stat(node, &st) == 0 && mounts_in_use(st.st_rdev, users)) ||
	    openers_find(node, true, users);
}

static bool
loop_stays_in_use(unsigned loop, struct errtext *users)
{
	for (unsigned ms = 0; ms < RELEASE_MS; ms += POLL_MS) {
		if (!loop_in_use(loop, users))
			return false;
		sleep_ms(POLL_MS);
	}
	return true;
}

/* A detach that does not happen soon is taken back: else it would happen behind
 * the back of whoever opened the device just now, in the middle of its work. */
static bool
detach(unsigned loop, unsigned timeout_ms, struct errtext *err)
{
	return loopdev_detach(loop, timeout_ms, err) || !loopdev_keep(loop);
}

bool
attachment_undo(const struct state *s, struct attachment *a, unsigned timeout_ms,
    struct errtext *err)
{
	struct errtext users;

	if (a->has_loop && loop_stays_in_use(a->loop, &users))
		return errtext_set(err, "it is in use:\n%.900s", users.text);
	if (a->has_loop && !detach(a->loop, timeout_ms, err))
		return false;
	if (a->has_loop)
		remove_link(s);
	a->has_loop = false;
	return unmount_soon(s, err);
}

void
attachment_undo_by_force(const struct state *s, struct attachment *a,
    struct errtext *err)
{
	struct errtext ignored;

	err->text[0] = '\0';
	if (a->has_loop) {
		(void)loop_in_use(a->loop, err);
		(void)loopdev_detach(a->loop, FORCE_MS, &ignored);
		remove_link(s);
	}
	a->has_loop = false;
	(void)unmount(s, true, &ignored);
}
