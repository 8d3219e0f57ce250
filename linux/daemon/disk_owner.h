/*
 * disk_owner.h - one attached NBD device, as the daemon that owns it sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The engine and its connections on a ring.  All calls come from the ring's
 * thread.  Connections are made in threads of their own (dialer.h), because
 * names, TCP and TLS may take long.
 */
#ifndef DISK_OWNER_H
#define DISK_OWNER_H

#include "connect.h"
#include "dialer.h"
#include "disk.h"
#include "disk_info.h"
#include "kept.h"
#include "note.h"
#include "ring.h"

/* What the disk tells its owner, from the ring's loop. */
struct disk_events {
	void	(*resized)(void *arg);		/* disk_export has a new size */
	void	(*stopped)(void *arg);		/* after disk_stop: may be freed */
	void	(*moved)(void *arg);		/* to another server: disk_path */
	/* Of which servers the next process would have to know, should this one end
	 * now: nbe_old_paths; path is the active one.  NULL: nobody takes its place. */
	void	(*left)(void *arg, uint32_t paths, unsigned path);
	/* A connection has a socket that could be used after this process; or, with
	 * NULL, it has none any more; NULL, too. */
	void	(*conn)(void *arg, unsigned conn, const struct kept_conn *);
	/* nbe_epoch has changed; flushed: all that was acknowledged is, and there is no
	 * other server that could have a piece of anything.  NULL, too. */
	void	(*epoch)(void *arg, bool flushed);
	/* disk_past is known. */
	void	(*past)(void *arg);
	/* May be asked again and again; see nbe_work.fence. */
	void	(*fence)(void *arg, unsigned path);
	/* One line for the log: a connection came, went, was refused. */
	void	(*log)(void *arg, const char *line);
	void	*arg;
};

struct disk_config {
	struct nbe_dev_config dev;	/* sizes and times; keep_size included */
	uint8_t		*keep;		/* REPLAY: so many bytes, which outlive the
					 * disk; NULL: they are its own */
	const struct dialer_server *server;	/* by path; these outlive the disk */
	struct disk_events events;
	/* SAFE, or LOST: which it is not where dev.records hold, or where disk_old_conn
	 * finds that it is not. */
	enum disk_past	past;
	/* By connection: struct link's; NULL. */
	volatile struct note_conn *notes;
};

/* Takes over the connections in first[0..count), count at least 1, all to dev.path;
 * their exports are alike (else they are closed and made again).  NULL: out of memory,
 * and the connections are still the caller's. */
struct disk *disk_new(struct ring *, const struct disk_config *,
	    struct nbc_conn *first, unsigned count);
/*
 * A connection of the process before, which was killed; the disk takes its socket.
 * left: the server may be asked there whether all that was acknowledged is safe, as
 * docs/architecture.md, "A daemon that may die", has it; or NULL.
 */
void	disk_old_conn(struct disk *, const struct kept_conn *,
	    const struct note_conn *left);
/* After events.stopped. */
void	disk_free(struct disk *);
/* ns until disk_turn wants to be called again; UINT64_MAX: only on an event.  The
 * idle function of ring_run calls it once per round. */
uint64_t disk_turn(struct disk *);

/* More than one needs CAN_MULTI_CONN: false without. */
bool	disk_scale(struct disk *, unsigned conns);
/* Make the missing connections now. */
void	disk_reconnect(struct disk *);
/* One that is up is still to be made anew. */
bool	disk_renewing(const struct disk *);
/* Go to another server, in order; see nbe_move. */
void	disk_move(struct disk *, unsigned path);
/* The answer to events.fence. */
void	disk_fenced(struct disk *, unsigned path, bool certain);
/* Take no more I/O; drain: finish and flush what there is, else fail it. */
void	disk_stop(struct disk *, bool drain);

/* Since a request began or ended last.  What ended in this round may still be on its
 * way to the kernel. */
nbe_time disk_idle_for(struct disk *);
/* How long no connection has been up, in the engine's time; 0: one is. */
nbe_time disk_down_for(struct disk *);
void	disk_stats(const struct disk *, struct nbe_stats *);
void	disk_conn_info(const struct disk *, unsigned conn, struct disk_conn_info *);
/* The one that is active, or was last. */
unsigned disk_path(const struct disk *);
void	disk_path_info(const struct disk *, unsigned path, struct disk_path_info *);

#endif
