/*
 * nbd_dialer.c - makes connections to the servers of a disk, in threads.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nbd_dialer.h"

#include <stdlib.h>

#include "dial.h"
#include "os.h"

/* One try, in a thread of its own. */
struct running {
	struct nbd_attempt a;		/* first */
	struct nbd_dialer *dialer;
	int		cancel_fd;	/* a bell */
};

struct nbd_dialer {
	const struct nbd_config *config;
	CRITICAL_SECTION *lock;
	void		(*ended)(void *arg);
	void		*arg;
	struct running	*seat[NBD_DIALER_SEATS];
	unsigned	running;
	struct nbd_attempt *results;
};

/* ---- a socket to wake somebody with -------------------------------------- */

int
nbd_bell_open(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	SOCKET s = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0,
	    WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	int len = sizeof(addr);
	u_long on = 1;

	if (s == INVALID_SOCKET)
		return -1;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(s, (struct sockaddr *)&addr, len) == 0 &&
	    getsockname(s, (struct sockaddr *)&addr, &len) == 0 &&
	    connect(s, (struct sockaddr *)&addr, len) == 0 &&
	    ioctlsocket(s, FIONBIO, &on) == 0)
		return (int)s;
	closesocket(s);
	return -1;
}

void
nbd_bell_ring(int bell)
{
	(void)send((SOCKET)bell, "", 1, 0);
}

void
nbd_bell_answer(int bell)
{
	char dropped[16];

	while (recv((SOCKET)bell, dropped, sizeof(dropped), 0) > 0)
		continue;
}

/* ---- one attempt --------------------------------------------------------- */

/* Without negotiation the next byte after connecting is transmission. */
static bool
open_without_negotiation(const struct nbd_config *c, const struct nbc_target *target,
    const struct nbc_options *options, struct nbc_conn *nbc, struct nbc_error *error)
{
	struct nbc_limit limit = { nbc_now_ms() + options->timeout_ms,
		options->cancel_fd };

	*nbc = (struct nbc_conn){ .fd = -1, .exp = *c->given };
	nbc->fd = nbc_dial(target, &limit, error);
	return nbc->fd >= 0;
}

static bool
open_connection(const struct nbd_config *c, unsigned path, int cancel_fd,
    struct nbc_conn *nbc, struct nbc_error *error)
{
	const struct nbc_target *target = &c->targets[path];
	struct nbc_options options = c->options;

	options.cancel_fd = cancel_fd;
	if (c->given != NULL)
		return open_without_negotiation(c, target, &options, nbc, error);
	return nbc_open(nbc, target, c->tls, &options, error);
}

bool
nbd_dialer_open(struct nbd_dialer *d, unsigned path, struct nbc_conn *nbc,
    struct nbc_error *error)
{
	return open_connection(d->config, path, -1, nbc, error);
}

static DWORD WINAPI
attempt_thread(void *arg)
{
	struct running *r = arg;
	struct nbd_dialer *d = r->dialer;
	CRITICAL_SECTION *lock = d->lock;

	r->a.ok = open_connection(d->config, r->a.path, r->cancel_fd, &r->a.nbc,
	    &r->a.error);
	EnterCriticalSection(lock);
	r->a.next = d->results;
	d->results = &r->a;
	d->ended(d->arg);
	LeaveCriticalSection(lock);
	return 0;
}

static bool
start(struct running *r)
{
	HANDLE thread;

	r->cancel_fd = nbd_bell_open();
	if (r->cancel_fd < 0)
		return false;
	thread = CreateThread(NULL, 0, attempt_thread, r, 0, NULL);
	if (thread != NULL)
		CloseHandle(thread);
	else
		nbc_os_close(r->cancel_fd);
	return thread != NULL;
}

bool
nbd_dialer_dial(struct nbd_dialer *d, unsigned seat, unsigned path)
{
	struct running *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->dialer = d;
	r->a.seat = seat;
	r->a.path = path;
	if (!start(r)) {
		free(r);
		return false;
	}
	d->seat[seat] = r;
	d->running++;
	return true;
}

bool
nbd_dialer_dials(const struct nbd_dialer *d, unsigned seat)
{
	return d->seat[seat] != NULL;
}

bool
nbd_dialer_idle(const struct nbd_dialer *d)
{
	return d->running == 0;
}

void
nbd_dialer_cancel(struct nbd_dialer *d, unsigned seat)
{
	if (d->seat[seat] != NULL)
		nbd_bell_ring(d->seat[seat]->cancel_fd);
}

bool
nbd_dialer_has_ended(const struct nbd_dialer *d)
{
	return d->results != NULL;
}

struct nbd_attempt *
nbd_dialer_take(struct nbd_dialer *d)
{
	struct nbd_attempt *a = d->results;

	if (a == NULL)
		return NULL;
	d->results = a->next;
	nbc_os_close(d->seat[a->seat]->cancel_fd);
	d->seat[a->seat] = NULL;
	d->running--;
	return a;
}

/* ---- life ---------------------------------------------------------------- */

struct nbd_dialer *
nbd_dialer_new(const struct nbd_config *config, CRITICAL_SECTION *lock,
    void (*ended)(void *arg), void *arg)
{
	struct nbd_dialer *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->config = config;
	d->lock = lock;
	d->ended = ended;
	d->arg = arg;
	return d;
}

void
nbd_dialer_free(struct nbd_dialer *d)
{
	free(d);
}
