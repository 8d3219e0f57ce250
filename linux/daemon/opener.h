/*
 * opener.h - the files of TLS, opened by somebody who may.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Certificates, keys and lists are read again for each connection, but the daemon has
 * given up what it takes to read another user's file.  So the helper opens them and
 * passes descriptors: those that the target names, for reading, and no others.  It does
 * so in a thread, for its other work may wait for the disk, which waits for the file.
 */
#ifndef OPENER_H
#define OPENER_H

#include <pthread.h>

#include "connect.h"
#include "errtext.h"

struct opener {
	const struct nbc_tls_context *tls[NBE_MAX_PATHS];	/* NULL: no files */
	int		ask, serve;		/* the daemon's end, the helper's */
	uint32_t	asked;			/* numbers of questions, and answers */
	pthread_mutex_t	lock;			/* of ask: one question at a time */
	/* One for the files of each server. */
	struct opener_seat {
		struct opener	*opener;
		uint32_t	server;
	} seat[NBE_MAX_PATHS];
};

/* Before the helper is forked; tls is then set for the servers that have it. */
bool	opener_init(struct opener *, struct errtext *);
/* In the daemon, when it is. */
void	opener_forked(struct opener *);
/* In the helper, whose descriptor of serve is fd. */
void	opener_serve(struct opener *, int fd);
/* In the daemon, by any thread: nbc_options.open_file, with a seat as open_arg. */
int	opener_open(void *seat, enum nbc_tls_file);
void	opener_end(struct opener *);

#endif
