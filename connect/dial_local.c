/*
 * dial_local.c - sockets that lead nowhere beyond this machine: UNIX and vsock.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#ifdef __linux__
#include <linux/vm_sockets.h>
#endif

#include "internal.h"

/* ---- UNIX ---------------------------------------------------------------- */

static int
dial_unix(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(target->host);
	bool is_abstract = target->host[0] == '@';
	struct nbc_address to = { AF_UNIX, (const struct sockaddr *)&un, 0 };
	int fd, error;

	/* The name of an abstract socket is its length, a path ends with a NUL. */
	if (len + !is_abstract > sizeof un.sun_path) {
		nbc_fail(err, NBC_USAGE, "%s: longer than a socket path can be (%zu)",
		    target->host, sizeof un.sun_path - 1);
		return -1;
	}
	memcpy(un.sun_path, target->host, len);
	if (is_abstract)
		un.sun_path[0] = '\0';
	to.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	    !is_abstract);
	fd = nbc_connect_address(&to, limit, &error);
	if (fd < 0)
		nbc_fail_connect(err, target, error);
	return fd;
}

/* ---- vsock --------------------------------------------------------------- */

#ifdef __linux__
static bool
parse_u32(const char *text, uint32_t *value)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
	    v > UINT32_MAX)
		return false;
	*value = (uint32_t)v;
	return true;
}

static int
dial_vsock(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK };
	struct nbc_address to = { AF_VSOCK, (const struct sockaddr *)&vm, sizeof vm };
	const char *port = target->port != NULL ? target->port : NBC_DEFAULT_PORT;
	int fd, error;

	if (!parse_u32(target->host, &vm.svm_cid) || !parse_u32(port, &vm.svm_port)) {
		nbc_fail(err, NBC_USAGE, "%s:%s: a vsock address is two numbers, "
		    "cid:port", target->host, port);
		return -1;
	}
	fd = nbc_connect_address(&to, limit, &error);
	if (fd < 0)
		nbc_fail_connect(err, target, error);
	return fd;
}
#else
static int
dial_vsock(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	(void)target;
	(void)limit;
	nbc_fail(err, NBC_USAGE, "vsock exists only on Linux");
	return -1;
}
#endif

int
nbc_dial_local(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	return target->family == NBC_UNIX ? dial_unix(target, limit, err) :
	    dial_vsock(target, limit, err);
}
