/*
 * dial.c - from a target to a connected socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Every address of a name is tried.  Each gets an equal share of the time that is
 * left, so that one that swallows packets does not use up the others' time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* A peer that vanished is noticed after IDLE + COUNT * INTERVAL seconds. */
#define KEEPALIVE_IDLE_S	30
#define KEEPALIVE_INTERVAL_S	10
#define KEEPALIVE_COUNT		3

#define BUSY_PAUSE_MS	10	/* between tries on a full UNIX socket backlog */

static int
io_errno(enum nbc_io io)
{
	return io == NBC_IO_TIMED_OUT ? ETIMEDOUT : ECANCELED;
}

static int
finish_connect(int fd, const struct nbc_limit *limit)
{
	enum nbc_io io = nbc_wait(fd, POLLOUT, limit);

	return io == NBC_IO_OK ? nbc_os_connected(fd) : io_errno(io);
}

/* 0 or an errno.  A UNIX socket with a full backlog says EAGAIN. */
static int
connect_within(int fd, const struct nbc_address *to, const struct nbc_limit *limit)
{
	for (;;) {
		int error = nbc_os_connect(fd, to->addr, to->len);

		if (error == EINPROGRESS)
			return finish_connect(fd, limit);
		if (error != EAGAIN)
			return error;
		if (nbc_now_ms() >= limit->deadline_ms)
			return ETIMEDOUT;
		if (nbc_pause(BUSY_PAUSE_MS, limit->cancel_fd) != NBC_IO_OK)
			return ECANCELED;
	}
}

static void
reset_at_close(int fd, bool on)
{
	struct linger l = { .l_onoff = on, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, (const char *)&l, sizeof l);
}

/*
 * Not worth failing for: they make a working connection better.
 *
 * No TCP_USER_TIMEOUT: who uses the connection sees whether bytes move, and gives it up
 * by time-outs of its own.  Keepalive is for a connection that is owed nothing.
 */
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
		    (const char *)&options[i].value, sizeof options[i].value);
	reset_at_close(fd, true);
}

/*
 * On a UNIX or a vsock socket there is nothing to take back or to reset: SO_LINGER
 * throws nothing away there.  What was sent over a UNIX socket is in the peer's queue
 * already, and what was sent over vsock is the hypervisor's: the peer reads it,
 * whatever becomes of this end.  A lost connection of these kinds is the fence's
 * business alone.
 */
void
nbc_end_in_order(int fd)
{
	reset_at_close(fd, false);
}

int
nbc_connect_address(const struct nbc_address *to, const struct nbc_limit *limit,
    int *error)
{
	int fd = nbc_os_socket(to->family);

	if (fd < 0) {
		*error = nbc_os_errno();
		return -1;
	}
	*error = connect_within(fd, to, limit);
	if (*error == 0 && !nbc_os_settle(fd))
		*error = nbc_os_errno();
	if (*error != 0) {
		nbc_os_close(fd);
		return -1;
	}
	if (to->family == AF_INET || to->family == AF_INET6)
		tune_tcp(fd);
	return fd;
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
	case EDESTADDRREQ:
		return "A link-local address needs its interface: fe80::1%eth0, in a "
		    "URI [fe80::1%25eth0].";
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

void
nbc_fail_connect(struct nbc_error *err, const struct nbc_target *target, int error)
{
	const char *hint = connect_hint(target, error);
	char name[512];

	nbc_target_print(target, name, sizeof name);
	if (error == ECANCELED)
		nbc_fail(err, NBC_CANCELLED, "%s: interrupted", name);
	else if (is_out_of_resources(error))
		nbc_fail(err, NBC_INTERNAL, "%s: %s", name, strerror(error));
	else if (error == EDESTADDRREQ)
		nbc_fail(err, NBC_USAGE, "%s: the address is not whole", name);
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

/* Each interface has a network of such addresses of its own. */
static bool
lacks_interface(const struct addrinfo *a)
{
	struct sockaddr_in6 in6;

	if (a->ai_family != AF_INET6 || a->ai_addrlen < sizeof in6)
		return false;
	memcpy(&in6, a->ai_addr, sizeof in6);
	return IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) && in6.sin6_scope_id == 0;
}

static int
connect_one(const struct addrinfo *a, const struct nbc_limit *limit, int *error)
{
	struct nbc_address to = { a->ai_family, a->ai_addr, (socklen_t)a->ai_addrlen };

	if (lacks_interface(a)) {
		*error = EDESTADDRREQ;
		return -1;
	}
	return nbc_connect_address(&to, limit, error);
}

static int
connect_any(const struct addrinfo *list, const struct nbc_limit *limit, int *error)
{
	unsigned left = count_addresses(list);
	const struct addrinfo *a;

	for (a = list; a != NULL; a = a->ai_next, left--) {
		int64_t now = nbc_now_ms();
		struct nbc_limit share = { now + (limit->deadline_ms - now) / left,
			limit->cancel_fd };
		int fd = connect_one(a, &share, error);

		if (fd >= 0 || *error == ECANCELED)
			return fd;
	}
	return -1;
}

static void
fail_resolve(struct nbc_error *err, const struct nbc_target *target, const char *port,
    int gai)
{
	if (gai == EAI_SERVICE)
		nbc_fail(err, NBC_USAGE, "%s: no such port or service", port);
	else
		nbc_fail_for_now(err, NBC_RESOLVE, "%s: no such host: %s\n"
		    "Check the name and the name service.", target->host,
		    nbc_os_resolver_error(gai));
}

/* What time, or somebody, has ended. */
static void
fail_lookup(struct nbc_error *err, const struct nbc_target *target, enum nbc_io io)
{
	if (io == NBC_IO_CANCELLED)
		nbc_fail_connect(err, target, ECANCELED);
	else
		nbc_fail_for_now(err, NBC_RESOLVE, "%s: the name service does not "
		    "answer\nCheck it, or name the server by its address.",
		    target->host);
}

static int
dial_tcp(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	const char *port = target->port != NULL ? target->port : NBC_DEFAULT_PORT;
	struct addrinfo *list;
	int gai, fd, error = 0;
	enum nbc_io io;

	if (!nbc_check_port(NBC_TCP, port, err))
		return -1;
	io = nbc_resolve(target->host, port, limit, &list, &gai);
	if (io != NBC_IO_OK || gai != 0) {
		if (io != NBC_IO_OK)
			fail_lookup(err, target, io);
		else
			fail_resolve(err, target, port, gai);
		return -1;
	}
	fd = connect_any(list, limit, &error);
	freeaddrinfo(list);
	if (fd < 0)
		nbc_fail_connect(err, target, error);
	return fd;
}

int
nbc_dial(const struct nbc_target *target, const struct nbc_limit *limit,
    struct nbc_error *err)
{
	return target->family == NBC_TCP ? dial_tcp(target, limit, err) :
	    nbc_dial_local(target, limit, err);
}
