/*
 * resolve_windows.c - a host's name as addresses.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "internal.h"

/* The resolver has time-outs of its own, some ten seconds; the limit does not bound
 * them. */
enum nbc_io
nbc_resolve(const char *host, const char *port, const struct nbc_limit *limit,
    struct addrinfo **list, int *gai)
{
	struct addrinfo wanted = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

	(void)limit;
	*gai = getaddrinfo(host, port, &wanted, list);
	return NBC_IO_OK;
}
