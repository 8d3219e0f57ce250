/*
 * server.h - an NBD server of this process, with faults.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * On a port of the loopback interface.  Fixed newstyle, simple replies.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct server;

struct server_config {
	uint64_t size;
	uint32_t block_min, block_pref;	/* 0: not told */
	bool	 read_only;
};

enum fault {
	FAULT_NONE,
	FAULT_SLOW,		/* each answer takes 100 ms */
	FAULT_SILENT,		/* one command is never answered; then as ever */
	FAULT_CUT,		/* one connection is cut at a command; then as ever */
	FAULT_DEAF,		/* nothing is answered any more */
	FAULT_REFUSE,		/* reads and writes end in EIO */
};

/* Commands, ever. */
struct server_counts {
	long	reads, writes, fua, flushes, trims, zeroes, connections;
};

struct server *server_start(const struct server_config *);	/* NULL: it cannot */
void	server_stop(struct server *);
unsigned server_port(const struct server *);
void	server_fault(struct server *, enum fault);
/* All connections are cut, and nobody listens; then somebody does again. */
void	server_kill(struct server *);
bool	server_revive(struct server *);
struct server_counts server_counts(const struct server *);

/* One that takes connections and says nothing. */
struct silent_server;
struct silent_server *silent_start(void);	/* NULL: it cannot */
void	silent_stop(struct silent_server *);	/* cuts them */
unsigned silent_port(const struct silent_server *);

#endif
