/*
 * dial.c - from a target to a connected socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Every address of a name is tried.  Each gets an equal share of the time that is
 * left, so that one that swallows packets does not use up the others' time.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/vm_sockets.h>
#endif

#include "internal.h"

/* A peer that vanished is noticed after IDLE + COUNT * INTERVAL seconds. */
#define KEEPALIVE_IDLE_S	30
#define KEEPALIVE_INTERVAL_S	10
#define KEEPALIVE_COUNT		3

#define BUSY_PAUSE_MS	10	/* between tries on a full UNIX socket backlog */

struct address {
	int	family;
	const struct sockaddr *addr;
	socklen_t len;
};

static bool
set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return false;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) == 0;
}

static int
io_errno(enum nbc_io io)
{
	return io == NBC_IO_TIMED_OUT ? ETIMEDOUT : ECANCELED;
}

static int
finish_connect(int fd, const struct nbc_limit *limit)
{
	enum nbc_io io = nbc_wait(fd, POLLOUT, limit);
	int error = 0;
	socklen_t len = sizeof error;

	if (io != NBC_IO_OK)
		return io_errno(io);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

/* 0 or an errno.  A UNIX socket with a full backlog says EAGAIN. */
static int
connect_within(int fd, const struct address *to, const struct nbc_limit *limit)
{
	for (;;) {
		if (connect(fd, to->addr, to->len) == 0)
			return 0;
		if (errno == EINPROGRESS || errno == EINTR)
			return finish_connect(fd, limit);
		if (errno != EAGAIN)
			return errno;
		if (nbc_now_ms() >= limit->deadline_ms)
			return ETIMEDOUT;
		if (nbc_pause(BUSY_PAUSE_MS, limit->cancel_fd) != NBC_IO_OK)
			return ECANCELED;
	}
}

/* Not worth failing for: they make a working connection better. */
static void
tune_tcp(int fd)
{
	static const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
	};
	size_t i;

	for (i = 0; i < sizeof options / sizeof options[0]; i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
		    &options[i].value, sizeof options[i].value);
}

/* A socket, or -1 with the reason in *error. */
static int
connect_address(const struct address *to, const struct nbc_limit *limit, int *error)
{
	int fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*error = errno;
		return -1;
	}
	if (!set_nonblocking(fd, true)) {
		*error = errno;
		goto fail;
	}
	*error = connect_within(fd, to, limit);
	if (*error != 0)
		goto fail;
	if (!set_nonblocking(fd, false)) {
		*error = errno;
		goto fail;
	}
	if (to->family == AF_INET || to->family == AF_INET6)
		tune_tcp(fd);
	return fd;
fail:
	close(fd);
	return -1;
}

/* What to do about an errno of connect; NULL when the errno says it all. */
static const char *
connect_hint(const struct nbc_target *target, int error)
{
	switch (error) {
	case ECONNREFUSED:
		return target->family == NBC_UNIX ?
		    "No server listens on this socket; is it running?" :
		    "No server listens there; is it running, and is the port right?";
	case ETIMEDOUT:
		return "No answer came; check the address, the route and firewalls.";
	case ENOENT:
		return "There is no such socket; check the path, start the server.";
	case EACCES:
	case EPERM:
		return "Check the permissions of the socket and the firewall.";
	default:
		return NULL;
	}
}

static bool
is_out_of_resources(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	    error == ENOBUFS;
}

static void
fail_connect(struct nbc_error *err, const struct nbc_target *target, int error)
{
	const char *hint = connect_hint(target, error);
	char name[512];

	nbc_target_print(target, name, sizeof name);
	if (error == ECANCELED)
		nbc_fail(err, NBC_CANCELLED, "%s: interrupted", name);
	else if (is_out_of_resources(error))
		nbc_fail(err, NBC_INTERNAL, "%s: %s", name, strerror(error));
	else
		nbc_fail_for_now(err, NBC_UNREACHABLE, "%s: cannot connect: %s", name,
		    strerror(error));
	if (hint != NULL)
		nbc_add(err, "\n%s", hint);
}

/* ---- TCP ----------------------------------------------------------------- */

static unsigned
count_addresses(const struct addrinfo *a)
{
	unsigned n = 0;

	for (; a != NULL; a = a->ai_next)
		n++;
	return n;
}

static int
connect_any(const struct addrinfo *list, const struct nbc_limit *limit, int *error)
{
	unsigned left = count_addresses(list);
	const struct addrinfo *a;

	for (a = list; a != NULL; a = a->ai_next, left--) {
		struct address to = { a->ai_family, a->ai_addr, a->ai_addrlen };
		int64_t now = nbc_now_ms();
		struct nbc_limit share = { now + (limit->deadline_ms - now) / left,
			limit->cancel_fd };
		int fd = connect_address(&to, &share, error);

		if (fd >= 0 || *error == ECANCELED)
			return fd;
	}
	return -1;
}

static void
fail_resolve(struct nbc_error *err, const struct nbc_target *target, int gai)
{
	const char *port = target->port != NULL ? target->port : NBC_DEFAULT_PORT;

	if (gai == EAI_SERVICE)
		nbc_fail(err, NBC_USAGE, "%s: no such port or service", port);
	else
		nbc_fail_for_now(err, NBC_RESOLVE, "%s: no such host: %s\n"
		    "Check the name and the name service.", target->host,
		    gai == EAI_SYSTEM ? strerror(errno) : gai_strerror(gai));
}

static int
dial_tcp(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	const char *port = target->port != NULL ? target->port : NBC_DEFAULT_PORT;
	struct addrinfo *list;
	int gai, fd, error = 0;

	gai = getaddrinfo(target->host, port, &hints, &list);
	if (gai != 0) {
		fail_resolve(err, target, gai);
		return -1;
	}
	fd = connect_any(list, limit, &error);
	freeaddrinfo(list);
	if (fd < 0)
		fail_connect(err, target, error);
	return fd;
}

/* ---- UNIX ---------------------------------------------------------------- */

static int
dial_unix(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(target->host);
	bool is_abstract = target->host[0] == '@';
	struct address to = { AF_UNIX, (const struct sockaddr *)&un, 0 };
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
	fd = connect_address(&to, limit, &error);
	if (fd < 0)
		fail_connect(err, target, error);
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
	struct address to = { AF_VSOCK, (const struct sockaddr *)&vm, sizeof vm };
	const char *port = target->port != NULL ? target->port : NBC_DEFAULT_PORT;
	int fd, error;

	if (!parse_u32(target->host, &vm.svm_cid) || !parse_u32(port, &vm.svm_port)) {
		nbc_fail(err, NBC_USAGE, "%s:%s: a vsock address is two numbers, "
		    "cid:port", target->host, port);
		return -1;
	}
	fd = connect_address(&to, limit, &error);
	if (fd < 0)
		fail_connect(err, target, error);
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
nbc_dial(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	switch (target->family) {
	case NBC_UNIX:
		return dial_unix(target, limit, err);
	case NBC_VSOCK:
		return dial_vsock(target, limit, err);
	case NBC_TCP:
		break;
	}
	return dial_tcp(target, limit, err);
}
