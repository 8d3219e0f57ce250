/*
 * server.h - a server that the command line names.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef SERVER_H
#define SERVER_H

#include "connect.h"
#include "options.h"

struct server {
	struct nbc_target	target;
	struct nbc_tls_context	*tls;		/* NULL: TLS is off */
	struct nbc_options	options;
	char			*uri;		/* with what options say of all but TLS;
						 * the same from any directory */
};

/* On failure it has been said on stderr, and there is nothing to close. */
enum exit_status server_init(struct server *, const struct options *,
	    const char *operand);
void	server_free(struct server *);
/* All operands of connect, at most NBE_MAX_PATHS; count is how many are to be freed,
 * also on failure. */
enum exit_status servers_init(struct server *, unsigned *count, const struct options *);
/* Says it on stderr; EXIT_USAGE where the user typed something wrong. */
enum exit_status server_complain(const struct nbc_error *);

#endif
