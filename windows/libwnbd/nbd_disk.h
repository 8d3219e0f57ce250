/*
 * nbd_disk.h - an NBD device in this process: the engine, its connections, a thread.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread moves all bytes and keeps the time.  Whoever has I/O to do waits for it
 * in nbd_disk_io, so that data goes between the socket and the caller's buffer without
 * a copy in between.  Connections are made in threads of their own.
 */
#ifndef NBD_DISK_H
#define NBD_DISK_H

#include "connect.h"
#include "lib.h"

struct nbd_disk;

struct nbd_config {
	/* Of each server.  They outlive the disk; so does tls, which may be NULL. */
	const struct nbc_target *targets;
	unsigned servers;		/* 1 to NBE_MAX_PATHS */
	const struct nbc_tls_context *tls;
	struct nbc_options options;
	unsigned connections;
	DWORD	request_timeout_ms, dead_timeout_ms, fence_ms;
	/* Of several servers: see nbe.h. */
	enum nbe_fence_by fence_by;
	DWORD	path_timeout_ms, failback_ms;
	/* Not negotiated: this is what the server has.  NULL: it says so itself. */
	const struct nbe_export *given;
	/* From the disk's thread: nbd_disk_export has a new size. */
	void	(*resized)(void *arg);
	/* From the disk's thread, with several servers: the state of one is new.
	 * False: it is to be told again. */
	bool	(*servers_changed)(void *arg, const NBD_SERVERS *);
	void	*arg;
};

/* Connects, to the first server that is there.  NULL: it cannot, error filled;
 * transient is the only sort of error that another attempt could cure. */
struct nbd_disk *nbd_disk_open(const struct nbd_config *, struct nbc_error *);
/* Finishes and flushes what there is, says goodbye.  Nobody may be in nbd_disk_io. */
void	nbd_disk_close(struct nbd_disk *);

/* Of now; flags and block sizes never change. */
struct nbe_export nbd_disk_export(struct nbd_disk *);

/* One request, from any thread; returns when it is done. */
enum nbe_err nbd_disk_io(struct nbd_disk *, enum nbe_op, uint64_t offset,
	    uint64_t length, uint8_t *data, unsigned flags);

#endif
