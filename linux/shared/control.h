/*
 * control.h - what the command and a daemon say to each other.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Over a UNIX SEQPACKET socket: one request, one reply, each one packet of a fixed
 * size; then perhaps another request.  The head of a request and of a reply never
 * changes, so that a newer command can still end an older daemon; the snapshot
 * does, with CONTROL_VERSION.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdint.h>

#include "disk_info.h"
#include "errtext.h"
#include "nbe.h"
#include "values.h"

#define CONTROL_VERSION	10

enum control_verb {
	CONTROL_SNAPSHOT,
	CONTROL_SCALE,		/* number: connections */
	CONTROL_RECONNECT,
	CONTROL_DISCONNECT,	/* number: 1 by force.  When it is done, the end of
				 * the socket; a reply before that tells why it was
				 * refused, or OK with why: done, but data was lost */
	CONTROL_MOVE,		/* number: of the server */
	CONTROL_UPGRADE,	/* number: ns; refused when it is not left by then.
				 * Else the end of the socket, and another daemon */
};

struct control_request {
	uint32_t	version;
	uint32_t	verb;
	uint64_t	number;
};

enum control_status {
	CONTROL_OK,
	CONTROL_REFUSED,
	CONTROL_NO_HELPER	/* of DISCONNECT: nobody is there to detach it, but who
				 * asks; then the daemon ends, and is asked again */
};

struct control_head {
	uint32_t	version;
	uint32_t	status;
	struct errtext	why;
};

/* All that list, status, show, stats and top print. */
struct control_snapshot {
	char		name[DEVICE_NAME_MAX + 1];
	char		device[256];	/* what users open */
	char		node[32];	/* "loop3", "ublkb0"; "" without */
	char		uri[512];
	char		host[256], port[32];
	char		export_name[512], description[512];
	int64_t		pid;
	nbe_time	now, started;	/* clock_now */
	struct nbe_export export;
	/* the settings */
	nbe_time	timeout, dead_timeout, fence;
	uint64_t	keep_size;
	uint32_t	unflushed;	/* enum nbe_unflushed */
	uint32_t	depth;
	uint32_t	front_state;	/* enum front_state */
	uint32_t	front_in_flight;
	uint64_t	front_straight;
	uint32_t	sector_size;
	uint64_t	device_size;	/* what users see; the export may have more */
	uint8_t		read_only, tls;
	uint8_t		detached;	/* somebody else has detached the node */
	uint32_t	takeovers;	/* daemons before this one */
	uint8_t		outlives;	/* the device, its daemon */
	uint32_t	paths;		/* servers */
	uint32_t	fence_by;	/* enum nbe_fence_by */
	nbe_time	path_timeout, failback;	/* 0: no failback */
	char		fence_command[256];
	uint8_t		shared;
	uint8_t		renewing;	/* nbe_renewing */
	struct disk_path_info path[NBE_MAX_PATHS];
	struct disk_conn_info conn[NBE_MAX_CONNS];
	struct nbe_stats stats;
};

/* The snapshot is there after CONTROL_SNAPSHOT only. */
struct control_reply {
	struct control_head	head;
	struct control_snapshot	snapshot;
};

#endif
