/*
 * disk_info.h - what a disk tells of each of its connections.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DISK_INFO_H
#define DISK_INFO_H

#include <stdbool.h>

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

#endif
