/*
 * state.h - what is known of a device on disk: one directory each.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /run/nbdisk/NAME for root, $XDG_RUNTIME_DIR/nbdisk/NAME or /tmp/nbdisk-UID/NAME
 * for others, or $NBDISK_STATE_DIR/NAME:
 *	lock	locked (flock) as long as the daemon lives; holds its process id, and
 *		before there is a daemon that of the command
 *	control	the daemon's socket (control.h)
 *	mnt	where FUSE is mounted
 *	device	the block device (node.h), once it is attached
 *	config	URI and settings, as lines of nbdisk.conf(5); no secrets
 *	udev	what udev names the device by
 *	unflushed	what the next daemon must know (note.h)
 *	fuse	what it must know of a file system (fuse_agreed.h)
 *	kept	a socket, where it gets what makes that stay (kept.h)
 *	takeovers	how many daemons were killed, and how many of these soon
 * A directory appears complete and locked, by a rename, and so its name is taken.
 */
#ifndef STATE_H
#define STATE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "errtext.h"
#include "values.h"

#define STATE_PATH_MAX	256

/* Where the block devices of all state directories have their names. */
#define STATE_LINKS	"/dev/nbdisk"

struct state {
	char	name[DEVICE_NAME_MAX + 1];
	char	dir[STATE_PATH_MAX / 2];
	int	lock;		/* -1: not ours */
};

/* wanted NULL: the lowest free one of nbd0, nbd1, ...  Locked. */
bool	state_create(struct state *, const char *wanted, struct errtext *);
/* One that exists; not locked.  errno is ENOENT where there is none. */
bool	state_open(struct state *, const char *name, struct errtext *);
void	state_close(struct state *);
/* The daemon's process id, 0: none lives.  For a state that is not locked here. */
pid_t	state_pid(const struct state *);
/* Of a locked one: this process is its daemon now. */
bool	state_write_pid(const struct state *);
/* Locks the remains of a dead one, with this process's id; false: a daemon lives, or
 * somebody was faster. */
bool	state_lock_dead(struct state *);
/* Takes the directory away, when it is locked here; what is mounted stays. */
void	state_remove(struct state *);

/* The path of a file of it, in buf of STATE_PATH_MAX. */
const char *state_path(const struct state *, const char *file, char *buf);
bool	state_write(const struct state *, const char *file, const char *text);

/* Whether nobody has asked this before, since the machine was booted (or, of a user,
 * since the directory of all devices was made). */
bool	state_first_time(const char *what);

/* All names, sorted; to be freed with state_names_free. */
char	**state_names(size_t *count);
void	state_names_free(char **, size_t count);

#endif
