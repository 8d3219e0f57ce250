/*
 * daemon.h - the one process behind a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "dialer.h"
#include "kept.h"
#include "node.h"
#include "settings.h"
#include "state.h"
#include "ways.h"

struct daemon_report {
	bool		ok;
	char		device[STATE_PATH_MAX];	/* what users open */
	char		node[NODE_NAME_MAX];	/* "loop3"; "" without */
	bool		over_fuse;
	struct errtext	why;
};

struct daemon_config {
	struct state		*state;		/* locked; removed at the end */
	struct dialer_server	server[NBE_MAX_PATHS];
	unsigned		servers;
	unsigned		path;		/* the server of conn */
	struct settings		settings;
	struct nbc_conn		*conn;		/* taken over */
	unsigned		conns;
	const char		*hook;		/* a program's absolute path; NULL */
	const char		*about;		/* what the server says of the export */
	bool			log_to_stderr;
	enum attach_kind	via;		/* as attach_choose says */
	bool			via_only;	/* else ATTACH_FUSE, if that fails */
	bool			takes_over;	/* what the dead daemon of state left;
						 * where that fails it stays as it
						 * was */
	struct kept		*taken;		/* of that; the daemon has it then */
	/* Called once: the device is there, or never will be. */
	void			(*ready)(void *arg, const struct daemon_report *);
	void			*arg;
	int			watch;		/* -1, or: until ready, its end means
						 * that nobody wants the device */
};

/* Serves until it is disconnected.  False: there was no device, io_uring failed, or
 * writes that were acknowledged are lost. */
bool	daemon_run(const struct daemon_config *);

#endif
