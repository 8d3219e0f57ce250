/*
 * disk_info.h - what a disk tells of each of its connections.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DISK_INFO_H
#define DISK_INFO_H

#include <stdbool.h>
#include <stdint.h>

enum disk_conn_state {
	DISK_CONN_UNUSED,	/* more than are wanted */
	DISK_CONN_WAITING,	/* for its turn to be tried again */
	DISK_CONN_OPENING,
	DISK_CONN_UP,
};
struct disk_conn_info {
	enum disk_conn_state state;
	bool	tls, ktls;
	char	problem[256];	/* why it was lost or could not be made; "" */
};

/* And of each of its servers. */
enum disk_path_state { DISK_PATH_STANDBY, DISK_PATH_ACTIVE, DISK_PATH_FAILED };
struct disk_path_info {
	enum disk_path_state state;
	bool	tried;		/* just now: no server has a connection */
	bool	moving;		/* the disk is about to move there */
	bool	fencing;	/* it was left; changes may wait until it is fenced */
	uint64_t since_ms;	/* for so long */
	char	uri[512];
	char	problem[256];	/* why it is not active; "" */
};

#endif
