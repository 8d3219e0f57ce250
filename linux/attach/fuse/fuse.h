/*
 * fuse.h - a disk as one regular file, served over the kernel's FUSE protocol.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file system has one directory and in it one file, FUSE_DISK_NAME, whose
 * bytes are the device.  Under it a loop device (loopdev.h) makes a block
 * device; without root it is used as it is.  Requests come over io_uring where
 * the kernel offers that, else over /dev/fuse.
 *
 * The file system is there as long as somebody has its /dev/fuse open (fuse_to_keep),
 * so it may outlive the process that serves it.  Another one then goes on (taken): it
 * knows what the kernel was told (fuse_agreed.h), and asks for all requests that were
 * not answered (FUSE_NOTIFY_RESEND, Linux 6.9).  Those whose answer the kernel has do
 * not come again; the others do, whether they were carried out or not, which is what
 * the disk has its fence for.  FORGET and INTERRUPT want no answer and mean nothing
 * here.  What the entries of io_uring had Linux does not resend, so there the file
 * system ends with its process.
 *
 * All calls but fuse_unmount, fuse_abort and fuse_uring_support come from the ring's
 * thread.  That thread serves the file system, so it must never use it: no open, stat
 * or unmount of anything below the mount point, and no ioctl of a loop device.
 */
#ifndef FUSE_H
#define FUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "disk.h"
#include "errtext.h"
#include "handover.h"
#include "ring.h"

#define FUSE_DISK_NAME	"disk"
#define FUSE_FS_TYPE	"fuse.nbdisk"	/* in /proc/mounts */

struct fuse;

struct fuse_config {
	const char	*mountpoint;	/* absolute path of a directory */
	const char	*source;	/* first column of /proc/mounts; no commas */
	bool		read_only;	/* also when the export is */
	bool		zero_slowly;	/* punch holes by writing zeroes, if need be */
	bool		want_uring;	/* use it if offered; ring has SQE128 */
	unsigned	depth;		/* requests in flight (io_uring: per CPU) */
	uid_t		uid;		/* of the file; as root, these three decide */
	gid_t		gid;		/* who may use it, as for a device node; */
	mode_t		mode;		/* without root only the mounting user may */
	const char	*agreed;	/* a file that outlives this process; NULL: the
					 * file system does not */
	int		taken;		/* -1, or: /dev/fuse of one whose process is
					 * dead; is closed if that fails */
	struct handover_config handover;
};

enum fuse_state {
	FUSE_STARTING,	/* mounted; the kernel has not said hello yet */
	FUSE_CLASSIC,	/* serving over /dev/fuse */
	FUSE_URING,	/* serving over io_uring */
	FUSE_ENDED,	/* unmounted, or aborted by somebody */
};

struct fuse_status {
	enum fuse_state	state;
	unsigned	in_flight;	/* requests at the disk, or waiting for it, or
					 * being copied beside this thread */
	unsigned	opens;		/* of the file; a loop device is one */
	uint64_t	requests;	/* since the start */
	bool		quiet;		/* nothing of it is in the ring or the disk */
};

/* Strings of the config are not kept.  Serves as soon as the ring runs. */
bool	fuse_start(struct fuse **, const struct fuse_config *, struct ring *,
	    struct disk *, struct errtext *);
void	fuse_status(const struct fuse *, struct fuse_status *);
/* With no request here for a while: buffers give their memory back. */
void	fuse_rest(struct fuse *);
/* What somebody must have open for the file system to outlive this process; -1: it
 * cannot.  Once it is attached. */
int	fuse_to_keep(const struct fuse *);
/* As handover_leave and handover_stay; of one that outlives this process. */
void	fuse_leave(struct fuse *, void (*done)(void *arg), void *arg);
void	fuse_stay(struct fuse *);
/* From now on nothing is answered, for another process will; those at the disk finish
 * as the disk says. */
void	fuse_abandon(struct fuse *);
/* Whether the disk has grown since its users last saw its size; and that they have. */
bool	fuse_has_grown(const struct fuse *);
void	fuse_size_seen(struct fuse *);
/* disk_export has a new size: make the kernel ask for it. */
void	fuse_resize(struct fuse *);
/*
 * From now on answer every request with ENOTCONN; those at the disk finish as
 * the disk says.  Then unmount (not from the ring's thread) and wait for quiet.
 * Where the mount stays because somebody holds it, ring_free ends it.
 */
void	fuse_stop(struct fuse *);
/* When it is quiet, or after ring_free with no request at the disk. */
void	fuse_free(struct fuse *);

/* Everything on the mount fails from now on, whoever has its /dev/fuse open: for one
 * whose process is dead. */
void	fuse_abort(const char *mountpoint);
/* May be called from any thread or process but the one that serves; works on a
 * mount whose server was killed as well.  lazy: detach now, end when the last
 * user has gone. */
bool	fuse_unmount(const char *mountpoint, bool lazy, struct errtext *);

enum fuse_uring_support {
	FUSE_URING_UNKNOWN_TO_KERNEL,	/* too old, or fuse is not loaded yet */
	FUSE_URING_OFF,		/* FUSE_URING_SWITCH is N: an administrator may
				 * write Y there, before the mount */
	FUSE_URING_ON,
};
#define FUSE_URING_SWITCH	"/sys/module/fuse/parameters/enable_uring"
enum fuse_uring_support fuse_uring_support(void);

#endif
