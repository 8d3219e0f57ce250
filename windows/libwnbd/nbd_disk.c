/*
 * nbd_disk.c - an NBD device in this process: the engine, its connections, a thread.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nbd_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "nbd_dialer.h"
#include "nbd_link.h"
#include "os.h"

#define DEPTH		128		/* commands in flight on one connection */
#define BACKOFF_MIN_MS	100
#define BACKOFF_MAX_MS	5000
#define DRAIN_MS	5000		/* at the end, for the flush */
#define NS_PER_MS	UINT64_C(1000000)
#define IDLE_MS		60000

struct nbd_disk {
	CRITICAL_SECTION lock;
	struct nbd_config config;
	struct nbe_dev	*dev;
	void		*dev_mem;
	struct nbe_export given;
	struct nbd_link	link[NBE_MAX_CONNS];
	struct nbd_io	*free_io;
	int		bell;		/* wakes the thread */
	bool		woken;
	nbe_time	wake;		/* nbe_tick is due then */
	struct nbd_dialer *dialer;
	unsigned	path;		/* that was up last */
	char		problem[NBE_MAX_PATHS][256];	/* why it cannot be dialed */
	NBD_SERVERS	servers, told;	/* the thread's; told: to whom it concerns */
	bool		stopped, resized;
	HANDLE		thread;
};

/* It stands still while the machine sleeps: then no time-out goes on. */
static nbe_time
now(void)
{
	ULONGLONG t;

	QueryUnbiasedInterruptTime(&t);
	return t * 100;
}

static void
wake_thread(struct nbd_disk *d)
{
	if (!d->woken)
		nbd_bell_ring(d->bell);
	d->woken = true;
}

/* ---- making connections -------------------------------------------------- */

static void
attempt_ended(void *arg)
{
	wake_thread(arg);
}

static void
dial(struct nbd_disk *d, unsigned conn)
{
	if (!nbd_dialer_dials(d->dialer, conn) && !nbd_dialer_dial(d->dialer, conn,
	    nbe_conn_path(d->dev, conn)))
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now());
}

/* A server that the engine wants to know of: does it shake hands?  Without a thread for
 * that it is asked again. */
static void
probe(struct nbd_disk *d, unsigned path)
{
	unsigned seat = NBE_MAX_CONNS + path;

	if (!nbd_dialer_dials(d->dialer, seat))
		(void)nbd_dialer_dial(d->dialer, seat, path);
}

/* With several servers: which one it is now. */
static void
say_path(struct nbd_disk *d, unsigned path)
{
	const struct nbc_target *t = &d->config.targets[path];

	if (path != d->path)
		LOG(Warning, "the server is %s port %s now", t->host,
		    t->port != NULL ? t->port : NBC_DEFAULT_PORT);
	d->path = path;
	d->problem[path][0] = '\0';
}

/* A connection that is made joins the device. */
static void
take(struct nbd_disk *d, unsigned conn, struct nbc_conn *nbc)
{
	struct nbd_link *l = &d->link[conn];
	unsigned path = nbe_conn_path(d->dev, conn);
	enum nbe_why why = nbe_conn_up(d->dev, conn, &nbc->exp, now());

	if (why != NBE_WHY_NONE) {
		LOG(Warning, "connection %u was refused: %s", conn,
		    nbe_why_text(why));
		nbc_close(nbc, true);
	} else if (!nbd_link_up(l, nbc)) {
		nbc_close(nbc, true);
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now());
	} else {
		LOG(Info, "connection %u is up", conn);
		say_path(d, path);
	}
}

static void
not_made(struct nbd_disk *d, const struct nbd_attempt *a)
{
	char *problem = d->problem[a->path];

	/* Once, not at each try; and not what nobody wanted any more. */
	if (a->error.kind != NBC_CANCELLED &&
	    strncmp(problem, a->error.text, sizeof(d->problem[0]) - 1) != 0) {
		LOG(Warning, "connection %u cannot be made: %s", a->seat,
		    a->error.text);
		snprintf(problem, sizeof(d->problem[0]), "%.255s", a->error.text);
	}
	nbe_conn_down(d->dev, a->seat, NBE_WHY_CLOSED, now());
}

static void
probed(struct nbd_disk *d, struct nbd_attempt *a)
{
	if (a->ok)
		nbc_close(&a->nbc, true);
	else
		LOG(Info, "server %u is tried: %s", a->path + 1, a->error.text);
	nbe_probed(d->dev, a->path, a->ok ? NBE_WHY_NONE : NBE_WHY_CLOSED, now());
}

static void
take_results(struct nbd_disk *d)
{
	struct nbd_attempt *a;

	while ((a = nbd_dialer_take(d->dialer)) != NULL) {
		if (a->seat >= NBE_MAX_CONNS)
			probed(d, a);
		else if (a->ok)
			take(d, a->seat, &a->nbc);
		else
			not_made(d, a);
		free(a);
	}
}

/* ---- the round ----------------------------------------------------------- */

static bool
complete(struct nbe_req *r)
{
	bool any = r != NULL;

	while (r != NULL) {
		struct nbe_req *next = r->next;

		SetEvent(((struct nbd_io *)(void *)((char *)r -
		    offsetof(struct nbd_io, req)))->done);
		r = next;
	}
	return any;
}

/* True: the engine has heard of it; else it will, when the attempt has ended. */
static bool
close_link(struct nbd_disk *d, unsigned conn)
{
	struct nbd_link *l = &d->link[conn];
	enum nbe_why why = nbe_conn_why(d->dev, conn);

	if (nbd_dialer_dials(d->dialer, conn)) {
		nbd_dialer_cancel(d->dialer, conn);
		return false;
	}
	if (l->nbc.fd >= 0) {
		lib_log(why == NBE_WHY_STOPPED ? WnbdLogLevelInfo :
		    WnbdLogLevelWarning, __FILE__, __LINE__, __func__,
		    "connection %u is closed: %s", conn,
		    l->problem[0] != '\0' ? l->problem : nbe_why_text(why));
		/* The engine has said goodbye; else TCP is to forget what is sent. */
		if (nbe_conn_in_order(d->dev, conn))
			nbc_end_in_order(l->nbc.fd);
		nbd_link_close(l, false);
	}
	nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, now());
	return true;
}

/* True: the engine may have something to say about it. */
static bool
tend(struct nbd_disk *d, const struct nbe_work *w)
{
	bool closed = false;

	for (unsigned i = 0; i < d->config.connections; i++) {
		uint32_t bit = 1u << i;

		if ((w->close & bit) != 0) {
			closed |= close_link(d, i);
		} else if ((w->tx & bit) != 0) {
			nbd_link_send(&d->link[i], now());
		} else if ((w->open & bit) != 0) {
			dial(d, i);
		}
	}
	for (unsigned i = 0; i < d->config.servers; i++)
		if ((w->probe & 1u << i) != 0)
			probe(d, i);
	return closed;
}

/* What the engine wants done, until it wants nothing more that can be done now. */
static void
work(struct nbd_disk *d)
{
	struct nbe_work w;
	bool again;

	take_results(d);
	for (unsigned i = 0; i < d->config.connections; i++)
		nbd_link_progress(&d->link[i], now());
	if (now() >= d->wake)
		nbe_tick(d->dev, now());
	do {
		nbe_work(d->dev, &w, now());
		again = complete(w.done);
		again |= tend(d, &w);
		d->resized |= w.resized;
		d->stopped |= w.stopped;
	} while (again);
}

/* Sending goes on at once while the socket takes something. */
static bool
has_more_work(struct nbd_disk *d)
{
	struct nbe_work w;
	bool any = false;

	nbe_work(d->dev, &w, now());
	(void)complete(w.done);
	d->resized |= w.resized;
	d->stopped |= w.stopped;
	for (unsigned i = 0; i < d->config.connections; i++) {
		any |= (w.tx & 1u << i) != 0 && !d->link[i].blocked;
		any |= ((w.open | w.close) & 1u << i) != 0 &&
		    !nbd_dialer_dials(d->dialer, i);
	}
	return any;
}

static unsigned
poll_set(struct nbd_disk *d, struct pollfd *p)
{
	unsigned n = 0;

	p[n++] = (struct pollfd){ .fd = (SOCKET)d->bell, .events = POLLIN };
	for (unsigned i = 0; i < d->config.connections; i++) {
		const struct nbd_link *l = &d->link[i];

		p[n++] = (struct pollfd){
			.fd = l->nbc.fd < 0 ? INVALID_SOCKET : (SOCKET)l->nbc.fd,
			.events = (short)(POLLIN | (l->blocked ? POLLOUT : 0)),
		};
	}
	return n;
}

static int
time_to_wait(struct nbd_disk *d)
{
	nbe_time t = now(), left;

	if (nbd_dialer_has_ended(d->dialer) || has_more_work(d))
		return 0;
	d->wake = nbe_wake(d->dev, t);
	if (d->wake <= t)
		return 0;
	if (d->wake == NBE_NEVER)
		return IDLE_MS;
	left = (d->wake - t + NS_PER_MS - 1) / NS_PER_MS;
	if (left > d->config.request_timeout_ms / 3)	/* for nbd_link_progress */
		left = d->config.request_timeout_ms / 3 + 1;
	return left > IDLE_MS ? IDLE_MS : (int)left;
}

static void
serve_sockets(struct nbd_disk *d, const struct pollfd *p)
{
	if (p[0].revents != 0) {
		nbd_bell_answer(d->bell);
		d->woken = false;
	}
	for (unsigned i = 0; i < d->config.connections; i++) {
		struct nbd_link *l = &d->link[i];

		if (l->nbc.fd < 0 || p[i + 1].revents == 0)
			continue;
		if ((p[i + 1].revents & POLLOUT) != 0) {
			l->blocked = false;
			nbd_link_send(l, now());
		}
		nbd_link_receive(l, now());
	}
}

static void
tell_size(struct nbd_disk *d)
{
	bool resized = d->resized;

	d->resized = false;
	if (!resized || d->config.resized == NULL)
		return;
	LeaveCriticalSection(&d->lock);
	d->config.resized(d->config.arg);
	EnterCriticalSection(&d->lock);
}

static void
note_servers(struct nbd_disk *d)
{
	struct nbe_path p;

	d->servers.Count = d->config.servers;
	for (unsigned i = 0; i < d->config.servers; i++) {
		nbe_path(d->dev, i, &p);
		d->servers.Server[i] = (NBD_SERVER_INFO){
			.State = (UINT8)p.state, .Fencing = p.fencing,
			.Tried = p.tried,
		};
	}
}
WNBD_STATIC_ASSERT((int)NBE_PATH_STANDBY == NbdServerStandby &&
    (int)NBE_PATH_ACTIVE == NbdServerActive &&
    (int)NBE_PATH_FAILED == NbdServerFailed && NBD_MAX_SERVERS <= NBE_MAX_PATHS,
    "the states of servers");

static void
tell_servers(struct nbd_disk *d)
{
	if (d->config.servers < 2 || d->config.servers_changed == NULL)
		return;
	note_servers(d);
	if (memcmp(&d->servers, &d->told, sizeof(d->told)) == 0)
		return;
	LeaveCriticalSection(&d->lock);
	if (d->config.servers_changed(d->config.arg, &d->servers))
		d->told = d->servers;
	EnterCriticalSection(&d->lock);
}

static DWORD WINAPI
disk_thread(void *arg)
{
	struct nbd_disk *d = arg;
	struct pollfd p[NBE_MAX_CONNS + 1];

	EnterCriticalSection(&d->lock);
	for (;;) {
		unsigned n;
		int wait_ms;

		work(d);
		tell_size(d);
		tell_servers(d);
		if (d->stopped && nbd_dialer_idle(d->dialer))
			break;
		n = poll_set(d, p);
		wait_ms = time_to_wait(d);
		LeaveCriticalSection(&d->lock);
		(void)nbc_os_poll(p, n, wait_ms);
		EnterCriticalSection(&d->lock);
		serve_sockets(d, p);
	}
	LeaveCriticalSection(&d->lock);
	return 0;
}

/* ---- I/O ----------------------------------------------------------------- */

/* Under the lock.  NULL: out of memory. */
static struct nbd_io *
get_io(struct nbd_disk *d)
{
	struct nbd_io *io = d->free_io;

	if (io != NULL) {
		d->free_io = io->next_free;
		return io;
	}
	io = calloc(1, sizeof(*io));
	if (io == NULL)
		return NULL;
	io->done = CreateEventA(NULL, FALSE, FALSE, NULL);
	if (io->done != NULL)
		return io;
	free(io);
	return NULL;
}

enum nbe_err
nbd_disk_io(struct nbd_disk *d, enum nbe_op op, uint64_t offset, uint64_t length,
    uint8_t *data, unsigned flags)
{
	struct nbd_io *io;
	enum nbe_err error;

	EnterCriticalSection(&d->lock);
	io = get_io(d);
	if (io == NULL) {
		LeaveCriticalSection(&d->lock);
		return NBE_ENOMEM;
	}
	io->data = data;
	io->req = (struct nbe_req){
		.op = (uint8_t)op, .flags = (uint8_t)flags, .offset = offset,
		.length = length,
	};
	nbe_submit(d->dev, &io->req, now());
	wake_thread(d);
	LeaveCriticalSection(&d->lock);
	WaitForSingleObject(io->done, INFINITE);
	error = (enum nbe_err)io->req.error;
	EnterCriticalSection(&d->lock);
	io->next_free = d->free_io;
	d->free_io = io;
	LeaveCriticalSection(&d->lock);
	return error;
}

struct nbe_export
nbd_disk_export(struct nbd_disk *d)
{
	struct nbe_export exp;

	EnterCriticalSection(&d->lock);
	exp = *nbe_dev_export(d->dev);
	LeaveCriticalSection(&d->lock);
	return exp;
}

/* ---- life ---------------------------------------------------------------- */

static bool
make_device(struct nbd_disk *d, const struct nbe_export *exp)
{
	struct nbe_dev_config dev = {
		.conns_max = (uint16_t)d->config.connections,
		.conns = (uint16_t)d->config.connections, .depth = DEPTH,
		.timeout = d->config.request_timeout_ms * NS_PER_MS,
		.dead_timeout = d->config.dead_timeout_ms * NS_PER_MS,
		.fence = d->config.fence_ms * NS_PER_MS,
		.backoff_min = BACKOFF_MIN_MS * NS_PER_MS,
		.backoff_max = BACKOFF_MAX_MS * NS_PER_MS,
		.unflushed = NBE_UNFLUSHED_FAIL, .seed = GetTickCount64(),
		.paths = (uint8_t)d->config.servers, .path = (uint8_t)d->path,
		.fence_by = d->config.fence_by,
		.path_timeout = d->config.path_timeout_ms * NS_PER_MS,
		.failback = d->config.failback_ms * NS_PER_MS,
	};

	d->dev_mem = _aligned_malloc(nbe_dev_size(&dev), 16);
	if (d->dev_mem == NULL)
		return false;
	d->dev = nbe_dev_init(d->dev_mem, &dev, exp, now());
	for (unsigned i = 0; i < d->config.connections; i++)
		d->link[i] = (struct nbd_link){ .dev = d->dev, .conn = i,
			.nbc.fd = -1 };
	return true;
}

static void
free_disk(struct nbd_disk *d)
{
	while (d->free_io != NULL) {
		struct nbd_io *io = d->free_io;

		d->free_io = io->next_free;
		CloseHandle(io->done);
		free(io);
	}
	if (d->bell >= 0)
		nbc_os_close(d->bell);
	if (d->dialer != NULL)
		nbd_dialer_free(d->dialer);
	if (d->thread != NULL)
		CloseHandle(d->thread);
	_aligned_free(d->dev_mem);
	DeleteCriticalSection(&d->lock);
	free(d);
}

/* To each server once, by order. */
static bool
open_first(struct nbd_disk *d, struct nbc_conn *nbc, struct nbc_error *error)
{
	for (d->path = 0; ; d->path++) {
		if (nbd_dialer_open(d->dialer, d->path, nbc, error))
			return true;
		if (d->path + 1 == d->config.servers)
			return false;
		LOG(Warning, "%s", error->text);
	}
}

/* The first connection tells what the device is. */
static bool
start(struct nbd_disk *d, struct nbc_error *error)
{
	struct nbc_conn first;

	if (!open_first(d, &first, error))
		return false;
	if (d->config.connections > 1 &&
	    (first.exp.flags & NBE_FLAG_CAN_MULTI_CONN) == 0) {
		LOG(Warning, "the server allows one connection only");
		d->config.connections = 1;
	}
	if (!make_device(d, &first.exp)) {
		nbc_close(&first, true);
		return nbc_fail_no_memory(error);
	}
	take(d, 0, &first);
	d->thread = CreateThread(NULL, 0, disk_thread, d, 0, NULL);
	if (d->thread != NULL)
		return true;
	nbd_link_close(&d->link[0], true);
	return nbc_fail_no_memory(error);
}

struct nbd_disk *
nbd_disk_open(const struct nbd_config *config, struct nbc_error *error)
{
	struct nbd_disk *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		nbc_fail_no_memory(error);
		return NULL;
	}
	InitializeCriticalSection(&d->lock);
	d->config = *config;
	if (config->given != NULL)
		d->given = *config->given;
	d->config.given = config->given != NULL ? &d->given : NULL;
	d->dialer = nbd_dialer_new(&d->config, &d->lock, attempt_ended, d);
	d->bell = nbd_bell_open();
	if (d->bell < 0) {
		nbc_fail(error, NBC_INTERNAL, "no socket: %s",
		    strerror(nbc_os_errno()));
	} else if (d->dialer == NULL) {
		nbc_fail_no_memory(error);
	} else if (start(d, error)) {
		return d;
	}
	free_disk(d);
	return NULL;
}

static void
stop(struct nbd_disk *d, bool drain)
{
	EnterCriticalSection(&d->lock);
	nbe_stop(d->dev, drain, now());
	for (unsigned i = 0; i < NBD_DIALER_SEATS && !drain; i++)
		nbd_dialer_cancel(d->dialer, i);
	wake_thread(d);
	LeaveCriticalSection(&d->lock);
}

void
nbd_disk_close(struct nbd_disk *d)
{
	stop(d, true);
	if (WaitForSingleObject(d->thread, DRAIN_MS) != WAIT_OBJECT_0) {
		stop(d, false);
		WaitForSingleObject(d->thread, INFINITE);
	}
	free_disk(d);
}
