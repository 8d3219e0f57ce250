/*
 * dial_windows.c - sockets that lead nowhere beyond this machine: UNIX, since Windows
 * 10 version 1803.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

#include <afunix.h>

/* The path is UTF-8, there as here; abstract sockets there are not. */
static int
dial_unix(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct nbc_address to = { AF_UNIX, (const struct sockaddr *)&un, sizeof un };
	size_t len = strlen(target->host);
	int fd, error;

	if (len >= sizeof un.sun_path || target->host[0] == '@') {
		nbc_fail(err, NBC_USAGE, "%s: the path of a socket has at most %zu "
		    "bytes, and does not begin with @", target->host,
		    sizeof un.sun_path - 1);
		return -1;
	}
	memcpy(un.sun_path, target->host, len);
	fd = nbc_connect_address(&to, limit, &error);
	if (fd >= 0)
		return fd;
	if (error == EAFNOSUPPORT)
		nbc_fail(err, NBC_USAGE, "%s: this Windows has no UNIX sockets; "
		    "they come with Windows 10, version 1803", target->host);
	else
		nbc_fail_connect(err, target, error);
	return -1;
}

int
nbc_dial_local(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	if (target->family == NBC_UNIX)
		return dial_unix(target, limit, err);
	nbc_fail(err, NBC_USAGE, "vsock exists only on Linux; use TCP");
	return -1;
}
