/*
 * fuse_agreed.h - what the kernel was told, and holds a file system to.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * It lies in a page of a file in memory, so that it outlives the daemon, and is right
 * however that ends: each change is made before its answer is given.  Nodes have fixed
 * numbers and are never forgotten, so of them there is nothing to keep.
 */
#ifndef FUSE_AGREED_H
#define FUSE_AGREED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "errtext.h"

#define FUSE_AGREED_VERSION	1u
#define FUSE_HANDLES_MAX	500u	/* of the file, open at a time */

struct fuse_agreed {
	uint32_t	version;
	uint32_t	max_write;	/* bytes of payload that a request may have */
	int64_t		started_s;	/* the file's times */
	uint64_t	size;		/* of the disk, as its users see it */
	uint32_t	block_min, flags;	/* struct nbe_export's */
	/* Each is the number of the request that opened it; 0: not in use.  So to open
	 * or close again, for a daemon that died before its answer, changes nothing. */
	uint64_t	handle[FUSE_HANDLES_MAX];
};

/* Of a new file system.  path NULL: it ends with this process.  Memory for
 * fuse_agreed_free; NULL with err. */
struct fuse_agreed *fuse_agreed_new(const char *path, const struct nbe_export *,
	    int64_t started_s, struct errtext *err);
/* What a daemon has left there, for a disk that is the same or has grown. */
struct fuse_agreed *fuse_agreed_take(const char *path, const struct nbe_export *,
	    struct errtext *err);
void	fuse_agreed_free(struct fuse_agreed *);
/* The part of it that needs no file: whether len bytes are of this version, and fit. */
bool	fuse_agreed_check(const void *bytes, size_t len, const struct nbe_export *,
	    struct errtext *err);

/* False: there are too many. */
bool	fuse_agreed_open(struct fuse_agreed *, uint64_t unique);
void	fuse_agreed_release(struct fuse_agreed *, uint64_t handle);
unsigned fuse_agreed_opens(const struct fuse_agreed *);

#endif
