/*
 * attachment.c - between a file that FUSE serves and what users open.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "fuse.h"
#include "loopdev.h"
#include "mounts.h"
#include "openers.h"
#include "privilege.h"
#include "text_file.h"

#define POLL_MS		20
#define RESIZE_MS	2000	/* the kernel asks anew when fuse_resize told it to */
#define RELEASE_MS	1000	/* loop closes its file a little after it detached;
				 * and udev looks into new devices for a moment */
#define FORCE_MS	1000
#define NOTE_MAX	64
#define SECTOR_MIN	512u

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
	snprintf(buf, STATE_PATH_MAX, STATE_LINKS "/%s", s->name);
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

uint32_t
attachment_sector_size(const struct attachment *a, uint32_t wanted)
{
	if (a->has_loop)
		return loopdev_sector_size(wanted);
	return wanted > SECTOR_MIN ? wanted : SECTOR_MIN;
}

/* ---- the link ---------------------------------------------------------------- */

/* Another process may remove what is in the way, or the directory, at any time. */
#define LINK_TRIES	8

static bool
leads_to(const char *path, unsigned *loop)
{
	char to[32];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n <= 0)
		return false;
	to[n] = '\0';
	return sscanf(to, "../loop%u", loop) == 1;
}

/* A directory for all users of the device, whatever this process hides else. */
static bool
make_links(void)
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
	unsigned loop;

	if (leads_to(path, &loop) && loopdev_in_use(loop))
		return errtext_set(err, "%s leads to loop%u, which is in use; choose "
		    "another name", path, loop);
	return unlink(path) == 0 || errno == ENOENT ||
	    errtext_set(err, "%s: %s", path, strerror(errno));
}

static bool
make_link(const struct state *s, unsigned loop, struct errtext *err)
{
	char path[STATE_PATH_MAX], to[32];
	unsigned there;

	link_path(s, path);
	snprintf(to, sizeof(to), "../loop%u", loop);
	for (unsigned i = 0; i < LINK_TRIES; i++) {
		if (!make_links())
			return errtext_set(err, STATE_LINKS ": %s", strerror(errno));
		/* udev may have been faster. */
		if (symlink(to, path) == 0 || (leads_to(path, &there) && there == loop))
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

static void
remove_link(const struct state *s, const struct attachment *a)
{
	char path[STATE_PATH_MAX];
	unsigned loop;

	link_path(s, path);
	if (leads_to(path, &loop) && loop == a->loop.number)
		(void)unlink(path);
	(void)rmdir(STATE_LINKS);
	(void)unlink(state_path(s, "device", path));
}

/* ---- make -------------------------------------------------------------------- */

/* For those who find it when its daemon is dead. */
static bool
note(const struct state *s, const struct loopdev *loop, struct errtext *err)
{
	char text[48];

	snprintf(text, sizeof(text), "%u %" PRIu64 "\n", loop->number,
	    loop->sequence);
	return state_write(s, "device", text) ||
	    errtext_set(err, "%s/device: %s", s->dir, strerror(errno));
}

static bool
make_loop(const struct state *s, const struct loopdev_config *config,
    struct attachment *a, struct errtext *err)
{
	struct errtext ignored;

	if (!loopdev_attach(&a->loop, config, err))
		return false;
	if (note(s, &a->loop, err) && make_link(s, a->loop.number, err)) {
		a->has_loop = true;
		return true;
	}
	(void)loopdev_detach(&a->loop, FORCE_MS, &ignored);
	remove_link(s, a);
	return false;
}

bool
attachment_make(const struct state *s, const struct attachment_config *c,
    struct attachment *a, struct errtext *err)
{
	char path[STATE_PATH_MAX];
	struct loopdev_config config = {
		.backing = backing_path(s, path), .sector_size = c->sector_size,
		.read_only = c->read_only, .discard_max = c->discard_max,
	};

	*a = (struct attachment){ .loop.held = -1 };
	if (privilege_is_root())
		return make_loop(s, &config, a, err);
	if (access(path, R_OK) < 0)
		return errtext_set(err, "%s: %s", path, strerror(errno));
	return true;
}

static bool
read_note(const struct state *s, struct loopdev *loop)
{
	char path[STATE_PATH_MAX];
	char *text = text_file_read(state_path(s, "device", path), NOTE_MAX, NULL);
	bool ok = text != NULL && sscanf(text, "%u %" SCNu64, &loop->number,
	    &loop->sequence) == 2;

	free(text);
	return ok;
}

void
attachment_find(const struct state *s, struct attachment *a)
{
	*a = (struct attachment){ .loop.held = -1 };
	if (!read_note(s, &a->loop))
		return;
	a->has_loop = loopdev_hold(&a->loop);
	if (!a->has_loop)
		remove_link(s, a);
}

bool
attachment_is_on(const struct state *s, unsigned loop)
{
	struct loopdev noted;

	return read_note(s, &noted) && noted.number == loop && loopdev_is(&noted);
}

bool
attachment_is_there(const struct attachment *a)
{
	return !a->has_loop || loopdev_is(&a->loop);
}

bool
attachment_check(const struct state *s, struct attachment *a)
{
	if (attachment_is_there(a))
		return true;
	remove_link(s, a);
	loopdev_release(&a->loop);
	a->has_loop = false;
	return false;
}

bool
attachment_resize(const struct state *s, struct attachment *a, uint64_t size,
    struct errtext *err)
{
	char path[STATE_PATH_MAX];
	struct stat st;

	if (!attachment_check(s, a))
		return errtext_set(err, "somebody has detached the loop device");
	backing_path(s, path);
	for (unsigned ms = 0; ms < RESIZE_MS; ms += POLL_MS) {
		if (stat(path, &st) == 0 && (uint64_t)st.st_size == size)
			return !a->has_loop || loopdev_resize(&a->loop, path, err);
		sleep_ms(POLL_MS);
	}
	return errtext_set(err, "%s: the kernel does not see the new size", path);
}

/* ---- undo -------------------------------------------------------------------- */

/* Asks nobody who might not answer: a dead file system is one, too. */
static bool
is_mounted(const char *point)
{
	struct call_statx st;

	if (call_statx(point, &st) < 0)
		return errno != ENOENT;
	return (st.attributes & CALL_STATX_MOUNT_ROOT) != 0;
}

static bool
unmount(const struct state *s, bool lazy, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	state_path(s, "mnt", path);
	return !is_mounted(path) || fuse_unmount(path, lazy, err);
}

/* Loop closes its file a little after it is detached.  Nobody whom we could name uses
 * it: who stays gets errors, and is no reason for a device that is half there. */
static bool
unmount_soon(const struct state *s, bool had_loop, struct errtext *err)
{
	struct errtext why;

	for (unsigned ms = 0; ms < RELEASE_MS; ms += POLL_MS) {
		if (unmount(s, false, &why))
			return true;
		sleep_ms(POLL_MS);
	}
	if (had_loop)
		return unmount(s, true, err);
	return errtext_set(err, "it is in use:\n%.900s", why.text);
}

/* Not for a moment only: a mount, or another device. */
static bool
is_kept(const struct attachment *a, struct errtext *users)
{
	char node[32];
	struct stat st;

	snprintf(node, sizeof(node), "/dev/loop%u", a->loop.number);
	return a->has_loop && stat(node, &st) == 0 && mounts_in_use(st.st_rdev, users);
}

static bool
is_opened(const struct state *s, const struct attachment *a, struct errtext *users)
{
	char path[STATE_PATH_MAX];

	snprintf(path, sizeof(path), "/dev/loop%u", a->loop.number);
	return (a->has_loop && openers_find(path, OPENERS_OF_DISK, users)) ||
	    openers_find(state_path(s, "mnt", path), OPENERS_OF_TREE, users);
}

static bool
stays_in_use(const struct state *s, const struct attachment *a, struct errtext *users)
{
	for (unsigned ms = 0; ms < RELEASE_MS; ms += POLL_MS) {
		if (is_kept(a, users))
			return true;
		if (!is_opened(s, a, users))
			return false;
		sleep_ms(POLL_MS);
	}
	return true;
}

/* A detach that does not happen soon is taken back: else it would happen behind
 * the back of whoever opened the device just now, in the middle of its work. */
static bool
detach(struct loopdev *loop, unsigned timeout_ms, struct errtext *err)
{
	return loopdev_detach(loop, timeout_ms, err) || !loopdev_keep(loop);
}

bool
attachment_undo(const struct state *s, struct attachment *a, bool is_open,
    unsigned timeout_ms, struct errtext *err)
{
	bool had_loop = attachment_check(s, a) && a->has_loop;
	struct errtext users;

	if (stays_in_use(s, a, &users))
		return errtext_set(err, "it is in use:\n%.900s", users.text);
	if (is_open)
		return errtext_set(err, "it is in use:\nits file is open, in a "
		    "container or by a process that cannot be seen from here");
	if (had_loop && !detach(&a->loop, timeout_ms, err))
		return false;
	if (had_loop)
		remove_link(s, a);
	a->has_loop = false;
	return unmount_soon(s, had_loop, err);
}

void
attachment_undo_by_force(const struct state *s, struct attachment *a,
    struct errtext *err)
{
	struct errtext ignored;

	err->text[0] = '\0';
	if (attachment_check(s, a) && a->has_loop) {
		(void)(is_kept(a, err) || is_opened(s, a, err));
		(void)loopdev_detach(&a->loop, FORCE_MS, &ignored);
		remove_link(s, a);
	}
	a->has_loop = false;
	(void)unmount(s, true, &ignored);
}
