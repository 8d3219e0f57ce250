/*
 * attachment.c - between what serves a disk and what users open.
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
#include "kept.h"
#include "links.h"
#include "mounts.h"
#include "openers.h"
#include "privilege.h"
#include "text_file.h"
#include "note.h"

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

const char *
attachment_path(const struct state *s, const struct attachment *a, char *buf)
{
	if (a->node.kind != NODE_NONE)
		links_path(s->name, buf);
	else
		backing_path(s, buf);
	return buf;
}

uint32_t
attachment_sector_size(const struct attachment *a, uint32_t wanted)
{
	if (a->node.kind != NODE_NONE)
		return loopdev_sector_size(wanted);
	return wanted > SECTOR_MIN ? wanted : SECTOR_MIN;
}

/* ---- make -------------------------------------------------------------------- */

/* For those who find it when its daemon is dead. */
static bool
note(const struct state *s, const struct node *n, struct errtext *err)
{
	char text[NOTE_MAX];

	node_print(n, text, sizeof(text));
	return state_write(s, "device", text) ||
	    errtext_set(err, "%s/device: %s", s->dir, strerror(errno));
}

static bool
read_note(const struct state *s, struct node *n)
{
	char path[STATE_PATH_MAX];
	char *text = text_file_read(state_path(s, "device", path), NOTE_MAX, NULL);
	bool ok = text != NULL && node_parse(n, text);

	free(text);
	return ok;
}

/* What leads to it. */
static void
forget(const struct state *s, const struct node *n)
{
	char path[STATE_PATH_MAX], name[NODE_NAME_MAX];

	links_remove(s->name, node_name(n, name));
	(void)unlink(state_path(s, "device", path));
}

static bool
publish(const struct state *s, const struct node *n, struct errtext *err)
{
	char name[NODE_NAME_MAX];

	return note(s, n, err) && links_make(s->name, node_name(n, name), err);
}

static void
drop(const struct state *s, struct node *n)
{
	node_detach_by_force(n, FORCE_MS);
	forget(s, n);
	node_init(n);
}

static bool
make_loop(const struct state *s, const struct loopdev_config *config,
    struct node *n, struct errtext *err)
{
	if (!loopdev_attach(&n->loop, config, err))
		return false;
	n->kind = NODE_LOOP;
	if (publish(s, n, err))
		return true;
	drop(s, n);
	return false;
}

static bool
take(const struct state *s, const struct ublkdev_config *config, struct node *n,
    struct errtext *err)
{
	struct node noted;

	if (!read_note(s, &noted) || noted.kind != NODE_UBLK)
		return errtext_set(err, "%s left no device that can be taken over",
		    s->name);
	if (!ublkdev_take(&noted.ublk, config, err))
		return false;
	*n = noted;
	return true;
}

/* Noted before it is started: by that udev knows whose it is. */
bool
attachment_add(const struct state *s, const struct attachment_config *c,
    struct attachment *a, struct errtext *err)
{
	const struct ublkdev_config config = {
		.size = c->size, .sector_size = loopdev_sector_size(c->sector_size),
		.block_pref = c->block_pref, .flags = c->flags,
		.read_only = c->read_only, .discard_max = c->discard_max,
	};

	node_init(&a->node);
	/* Nothing is made whole on this way. */
	if (config.sector_size < c->block_min)
		return errtext_set(err, "ublk: sectors of %" PRIu32 " bytes are less "
		    "than a block of the server, %" PRIu32, config.sector_size,
		    c->block_min);
	if (c->takes_over)
		return take(s, &config, &a->node, err);
	if (!ublkdev_add(&a->node.ublk, &config, err))
		return false;
	a->node.kind = NODE_UBLK;
	if (note(s, &a->node, err))
		return true;
	drop(s, &a->node);
	return false;
}

static bool
start_ublk(const struct state *s, pid_t server, struct node *n, struct errtext *err)
{
	if (ublkdev_start(&n->ublk, server, err) && publish(s, n, err))
		return true;
	drop(s, n);
	return false;
}

static bool
take_loop(const struct state *s, struct node *n, struct errtext *err)
{
	if (!read_note(s, n) || n->kind != NODE_LOOP || !node_hold(n)) {
		node_init(n);
		return errtext_set(err, "somebody has detached the block device");
	}
	return publish(s, n, err);
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

	if (a->node.kind == NODE_UBLK && c->takes_over)
		return ublkdev_resume(&a->node.ublk, c->server, err) &&
		    publish(s, &a->node, err);
	if (a->node.kind == NODE_UBLK)
		return start_ublk(s, c->server, &a->node, err);
	node_init(&a->node);
	if (c->takes_over)
		return take_loop(s, &a->node, err);
	if (privilege_is_root())
		return make_loop(s, &config, &a->node, err);
	if (access(path, R_OK) < 0)
		return errtext_set(err, "%s: %s", path, strerror(errno));
	return true;
}

void
attachment_find(const struct state *s, struct attachment *a)
{
	node_init(&a->node);
	a->dead = true;
	if (!read_note(s, &a->node) || node_hold(&a->node))
		return;
	forget(s, &a->node);
	node_init(&a->node);
}

bool
attachment_is_on(const struct state *s, const char *node)
{
	char name[NODE_NAME_MAX];
	struct node noted;

	return read_note(s, &noted) && strcmp(node_name(&noted, name), node) == 0 &&
	    node_is(&noted);
}

bool
attachment_outlives(const struct state *s, enum attach_kind *way)
{
	struct node noted;

	if (!read_note(s, &noted) || !node_is(&noted))
		return false;
	*way = noted.kind == NODE_UBLK ? ATTACH_UBLK : ATTACH_FUSE;
	return noted.kind == NODE_UBLK || kept_is_there(s);
}

unsigned
attachment_last_path(const struct state *s)
{
	char path[STATE_PATH_MAX];

	return note_read(state_path(s, "unflushed", path)).active;
}

bool
attachment_is_there(const struct attachment *a)
{
	return node_is_there(&a->node);
}

bool
attachment_check(const struct state *s, struct attachment *a)
{
	if (node_is(&a->node))
		return true;
	forget(s, &a->node);
	node_release(&a->node);
	node_init(&a->node);
	return false;
}

static bool
has_size(const char *path, uint64_t size)
{
	struct stat st;

	for (unsigned ms = 0; ms < RESIZE_MS; ms += POLL_MS) {
		if (stat(path, &st) == 0 && (uint64_t)st.st_size == size)
			return true;
		sleep_ms(POLL_MS);
	}
	return false;
}

bool
attachment_resize(const struct state *s, const struct attachment_config *c,
    struct attachment *a, struct errtext *err)
{
	uint32_t sector = loopdev_sector_size(c->sector_size);
	char path[STATE_PATH_MAX];

	if (!attachment_check(s, a))
		return errtext_set(err, "somebody has detached the block device");
	backing_path(s, path);
	if (a->node.kind != NODE_UBLK && !has_size(path, c->size))
		return errtext_set(err, "%s: the kernel does not see the new size",
		    path);
	return node_resize(&a->node, path, c->size - c->size % sector, err);
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
unmount_soon(const struct state *s, bool had_node, struct errtext *err)
{
	struct errtext why;

	for (unsigned ms = 0; ms < RELEASE_MS; ms += POLL_MS) {
		if (unmount(s, false, &why))
			return true;
		sleep_ms(POLL_MS);
	}
	if (had_node)
		return unmount(s, true, err);
	return errtext_set(err, "it is in use:\n%.900s", why.text);
}

/* In buf of STATE_PATH_MAX; false: there is none. */
static bool
node_path(const struct attachment *a, char *buf)
{
	char name[NODE_NAME_MAX];

	snprintf(buf, STATE_PATH_MAX, "/dev/%s", node_name(&a->node, name));
	return a->node.kind != NODE_NONE;
}

/* Not for a moment only: a mount, or another device. */
static bool
is_kept(const struct attachment *a, struct errtext *users)
{
	char path[STATE_PATH_MAX];
	struct stat st;

	return node_path(a, path) && stat(path, &st) == 0 &&
	    mounts_in_use(st.st_rdev, users);
}

static bool
is_opened(const struct state *s, const struct attachment *a, struct errtext *users)
{
	char path[STATE_PATH_MAX];

	return (node_path(a, path) && openers_find(path, OPENERS_OF_DISK, users)) ||
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

/* Where somebody keeps /dev/fuse open, what nobody answers would be waited for. */
static void
fail_all(const struct state *s)
{
	char path[STATE_PATH_MAX];

	fuse_abort(state_path(s, "mnt", path));
}

bool
attachment_undo(const struct state *s, struct attachment *a, bool is_open,
    unsigned timeout_ms, struct errtext *err)
{
	bool had_node = attachment_check(s, a) && a->node.kind != NODE_NONE;
	struct errtext users;

	if (stays_in_use(s, a, &users))
		return errtext_set(err, "it is in use:\n%.900s", users.text);
	if (is_open)
		return errtext_set(err, "it is in use:\nits file is open, in a "
		    "container or by a process that cannot be seen from here");
	if (a->dead)
		fail_all(s);
	else if (had_node && !node_write_back(&a->node, err))
		return false;
	if (had_node && !node_detach(&a->node, timeout_ms, err))
		return false;
	if (had_node)
		forget(s, &a->node);
	node_init(&a->node);
	return unmount_soon(s, had_node, err);
}

void
attachment_undo_by_force(const struct state *s, struct attachment *a,
    struct errtext *err)
{
	struct errtext ignored;

	err->text[0] = '\0';
	if (attachment_check(s, a) && a->node.kind != NODE_NONE) {
		(void)(is_kept(a, err) || is_opened(s, a, err));
		if (a->dead)
			fail_all(s);
		node_detach_by_force(&a->node, FORCE_MS);
		forget(s, &a->node);
	}
	node_init(&a->node);
	(void)unmount(s, true, &ignored);
}
