/*
 * nbd.c - a disk whose server is an NBD server: the engine's rounds.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * HwStartIo submits to the engine under disk.lock and wakes the disk's thread,
 * which does all the rest in rounds: what ended since the last one goes to the
 * engine, and nbe_work says what to complete, send, open and close.  Everything
 * outside of the engine happens without the lock.
 *
 * An assertion of the engine that does not hold costs the disk: the engine is left on
 * the spot (enter) and never called again, its sockets are reset, and when no buffer is
 * in the network's hands any more, every request fails (collapse).
 */
#include "driver.h"
#include "guard.h"
#include "link.h"
#include "log.h"

#define DEPTH		128		/* commands in flight per connection */
#define BACKOFF_MIN	(NBE_SECOND / 5)
#define BACKOFF_MAX	(10 * NBE_SECOND)
#define GOODBYE_TIME	(5 * NBE_SECOND)	/* for what an idle disk still has
						 * to flush at its removal */

struct nbd {
	struct nbe_dev	*dev;		/* (d) */
	void		*dev_mem;
	uint8_t		*waste;
	unsigned	 conns_max;
	WNBD_SERVER	 server[NBD_MAX_SERVERS];	/* (c) by path; see props */
	unsigned	 servers;	/* (c) */
	unsigned	 path;		/* (t) that was up last */
	struct dial	*probe;		/* (t) of a server that is only tried */
	unsigned	 probed;	/* (t) its path */
	bool		 failed;	/* (d) an assertion of the engine did */
	bool		 told;		/* (t) nbe_stop was called */
	nbe_time	 hard_at;	/* (t) when it is called once more */
	nbe_time	 wake;		/* (t) */
	struct link	 link[NBE_MAX_CONNS];	/* (t) */
};

/* ---- into the engine ------------------------------------------------------- */

/* One call of it. */
struct call {
	struct disk	*d;
	struct io	*io;
	struct link	*link;
	struct nbe_work	*work;
	struct nbe_stats *stats;
	nbe_time	 now;
	enum nbe_why	 why;
	unsigned	 path;
	bool		 any;
};

/* (d) False: the engine has failed, now or before; c has no results. */
static bool
enter(void (*body)(void *), struct call *c)
{
	struct nbd *n = c->d->nbd;

	if (n->failed)
		return false;
	n->failed = !guarded(body, c);
	if (n->failed) {
		log_error("%s: a fault of the driver's own, see above: the disk is "
		    "taken away", c->d->props.InstanceName);
		disk_stop(c->d);
	}
	return !n->failed;
}

/* ---- requests -------------------------------------------------------------- */

static const uint8_t op_of[] = {
	[SCSI_WORK_READ] = NBE_READ,
	[SCSI_WORK_WRITE] = NBE_WRITE,
	[SCSI_WORK_FLUSH] = NBE_FLUSH,
	[SCSI_WORK_UNMAP] = NBE_TRIM,
	[SCSI_WORK_ZERO] = NBE_ZERO,
	[SCSI_WORK_EXTENTS] = NBE_EXTENTS,
};

/* What a server's refusal is in SCSI. */
static const struct {
	uint8_t	 key;
	uint16_t asc;
} sense_of[NBE_ERRS] = {
	[NBE_EPERM] = { SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED },
	[NBE_EIO] = { SCSI_KEY_MEDIUM_ERROR, 0 },
	[NBE_ENOMEM] = { SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_INTERNAL_FAILURE },
	[NBE_EINVAL] = { SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD },
	[NBE_ENOSPC] = { SCSI_KEY_DATA_PROTECT, SCSI_ASC_SPACE_EXHAUSTED },
	[NBE_EOVERFLOW] = { SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD },
	[NBE_ENOTSUP] = { SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE },
	[NBE_ESHUTDOWN] = { SCSI_KEY_NOT_READY, SCSI_ASC_NOT_READY },
	[NBE_ETIMEDOUT] = { SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_NO_ANSWER },
	[NBE_EABORTED] = { SCSI_KEY_ABORTED_COMMAND, 0 },
};

static struct io *
io_of(struct nbe_req *r)
{
	return CONTAINING_RECORD(r, struct io, req);
}

uint8_t *
link_data(struct nbe_req *r, uint64_t off)
{
	return io_of(r)->data + off;
}

static void
fill_request(struct disk *d, struct io *io)
{
	const struct scsi_cmd *cmd = &io->cmd;
	uint64_t block = cmd->block, count = cmd->count;
	struct nbe_req *r = &io->req;

	memset(r, 0, sizeof(*r));
	if (cmd->work == SCSI_WORK_UNMAP) {
		block = io->ranges[io->range].block;
		count = io->ranges[io->range].count;
	}
	r->op = op_of[cmd->work];
	if (r->op != NBE_FLUSH) {
		r->offset = block * d->unit.block_size;
		r->length = count * d->unit.block_size;
	}
	if (cmd->fua)
		r->flags |= NBE_FUA;
	if (cmd->no_hole)
		r->flags |= NBE_NO_HOLE;
	r->extents = io->extents;
	r->extents_max = cmd->ranges;
}

static void
submit(void *arg)
{
	struct call *c = arg;

	nbe_submit(c->d->nbd->dev, &c->io->req, time_now());
}

/* (d) */
static void
nbd_submit(struct disk *d, struct io *io)
{
	fill_request(d, io);
	(void)enter(submit, &(struct call){ .d = d, .io = io });
	KeSetEvent(&d->wake, IO_DISK_INCREMENT, FALSE);
}

static void
abort_request(void *arg)
{
	struct call *c = arg;

	nbe_abort(c->d->nbd->dev, &c->io->req, time_now());
}

/* (d) */
static void
nbd_abort(struct disk *d, struct io *io)
{
	(void)enter(abort_request, &(struct call){ .d = d, .io = io });
	KeSetEvent(&d->wake, IO_DISK_INCREMENT, FALSE);
}

static void
say_error(struct io *io, uint8_t error)
{
	enum scsi_asc asc = (enum scsi_asc)sense_of[error].asc;

	if (asc == 0)
		asc = io->cmd.work == SCSI_WORK_READ ? SCSI_ASC_READ_ERROR :
		    SCSI_ASC_WRITE_ERROR;
	io->cmd.aborted = error == NBE_EABORTED || error == NBE_ESHUTDOWN;
	scsi_fail(&io->cmd, (enum scsi_key)sense_of[error].key, asc);
}

/* True: the request has another range to unmap. */
static bool
next_range(struct disk *d, struct io *io)
{
	KIRQL irql;

	if (io->cmd.work != SCSI_WORK_UNMAP || ++io->range >= io->cmd.ranges)
		return false;
	KeAcquireSpinLock(&d->lock, &irql);
	nbd_submit(d, io);
	KeReleaseSpinLock(&d->lock, irql);
	return true;
}

static void
complete(struct disk *d, struct nbe_req *r)
{
	struct io *io = io_of(r);

	if (r->error != NBE_OK)
		say_error(io, r->error);
	else if (next_range(d, io))
		return;
	else if (io->cmd.work == SCSI_WORK_EXTENTS)
		scsi_extents(&d->unit, &io->cmd, io->extents, r->extents_count);
	else if (io->cmd.work == SCSI_WORK_READ)
		io->cmd.transferred = (uint32_t)r->length;
	else if (io->cmd.work == SCSI_WORK_WRITE)
		io->cmd.transferred = (uint32_t)r->length;
	io_complete(io);
}

/* The engine's time as interrupt time, in 100 ns; 0 is "never" in both. */
static uint64_t
interrupt_time(nbe_time t)
{
	if (t == 0)
		return 0;
	return KeQueryInterruptTime() - (time_now() - t) / 100;
}

static void
get_stats(void *arg)
{
	struct call *c = arg;

	nbe_stats(c->d->nbd->dev, c->stats);
}

/* (d) */
static void
nbd_stats(struct disk *d, WNBD_DRV_STATS *out)
{
	struct nbe_stats *s = mem_alloc(sizeof(*s));

	if (s == NULL)
		return;
	(void)enter(get_stats, &(struct call){ .d = d, .stats = s });
	out->TotalSubmittedIORequests = (INT64)s->started;
	out->TotalReceivedIOReplies = (INT64)s->replied;
	out->UnsubmittedIORequests = s->queued;
	out->PendingSubmittedIORequests = s->active;
	out->AbortedSubmittedIORequests = (INT64)s->aborted_started;
	out->AbortedUnsubmittedIORequests = (INT64)s->aborted_queued;
	out->CompletedAbortedIORequests = (INT64)s->aborted_done;
	out->LastSubmittedReqTimestamp = interrupt_time(s->last_started);
	out->LastReplyTimestamp = interrupt_time(s->last_replied);
	mem_free(s);
}

/* ---- connections ----------------------------------------------------------- */

static void
free_dial(struct dial **at)
{
	dial_free(*at);
	*at = NULL;
}

static void
say_failed(struct disk *d, const struct dial *dl)
{
	if (dl->status == STATUS_CANCELLED)	/* it is not wanted any more */
		return;
	log_warn("%s: %ls port %ls: %s (%08lx)", d->props.InstanceName, dl->host,
	    dl->port, dl->why != NBE_WHY_NONE ? nbe_why_text(dl->why) :
	    "the server cannot be reached", (unsigned long)dl->status);
}

/* With several servers: which one it is now. */
static void
say_path(struct disk *d, const struct dial *dl, unsigned path)
{
	if (path != d->nbd->path)
		log_warn("%s: the server is %ls port %ls now", d->props.InstanceName,
		    dl->host, dl->port);
	d->nbd->path = path;
}

/* The dial of the link is done, or could not be made. */
static void
tell_dial(void *arg)
{
	struct call *c = arg;
	struct link *l = c->link;

	c->path = nbe_conn_path(l->dev, l->conn);
	if (l->dial != NULL && NT_SUCCESS(l->dial->status))
		c->why = nbe_conn_up(l->dev, l->conn, &l->dial->exp, time_now());
	else
		nbe_conn_down(l->dev, l->conn, NBE_WHY_CLOSED, time_now());
}

/* Why the engine does not want the connection, which was to this path. */
static enum nbe_why
offer(struct disk *d, struct link *l, unsigned *path)
{
	struct call c = { .d = d, .link = l };
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	if (!enter(tell_dial, &c))
		c.why = NBE_WHY_STOPPED;
	KeReleaseSpinLock(&d->lock, irql);
	*path = c.path;
	return c.why;
}

/* A dial is done: the connection is up, refused, or will be tried again. */
static void
take(struct disk *d, struct link *l)
{
	struct dial *dl = l->dial;
	unsigned path;
	enum nbe_why why = offer(d, l, &path);

	if (NT_SUCCESS(dl->status) && why != NBE_WHY_NONE) {
		log_warn("%s: connection %u is refused: %s", d->props.InstanceName,
		    l->conn, nbe_why_text(why));
		dial_refuse(dl);
		return;			/* until it is over */
	}
	if (NT_SUCCESS(dl->status)) {
		link_up(l, dl->socket);
		log_info("%s: connection %u is up", d->props.InstanceName, l->conn);
		say_path(d, dl, path);
	} else {
		say_failed(d, dl);
	}
	free_dial(&l->dial);
}

static bool
take_dials(struct disk *d)
{
	struct nbd *n = d->nbd;
	bool any = false;
	unsigned i;

	for (i = 0; i < n->conns_max; i++) {
		struct link *l = &n->link[i];

		if (l->dial == NULL)
			continue;
		if (l->dial->over) {
			free_dial(&l->dial);
		} else if (l->dial->done && !l->dial->refused) {
			take(d, l);
			any = true;
		}
	}
	return any;
}

static void
get_path(void *arg)
{
	struct call *c = arg;

	c->path = nbe_conn_path(c->link->dev, c->link->conn);
}

/* The path to dial; false: none, the engine has failed. */
static bool
path_of(struct disk *d, struct link *l, unsigned *path)
{
	struct call c = { .d = d, .link = l };
	bool entered;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	entered = enter(get_path, &c);
	KeReleaseSpinLock(&d->lock, irql);
	*path = c.path;
	return entered;
}

static void
open_link(struct disk *d, struct link *l)
{
	unsigned path;

	if (l->dial != NULL || l->up || !path_of(d, l, &path))
		return;
	l->dial = dial_start(&d->props, &d->nbd->server[path], &d->wake);
	if (l->dial == NULL)
		(void)offer(d, l, &path);
}

/* (d) A connection that is not wanted any more before it is made.  True: it was not
 * begun.  Else its dial tells, soon. */
static bool
forgo_link(struct link *l, nbe_time now)
{
	if (l->dial == NULL)
		nbe_conn_down(l->dev, l->conn, NBE_WHY_CLOSED, now);
	else if (!l->dial->done)
		dial_cancel(l->dial);
	return l->dial == NULL;
}

/* (d) Orderly where the engine has said goodbye; else what is sent and not answered
 * may be sent again, and must not arrive twice. */
static void
close_link(struct disk *d, struct link *l, nbe_time now)
{
	enum nbe_why why = nbe_conn_why(l->dev, l->conn);

	if (l->closing)
		return;
	link_close(l, nbe_conn_in_order(l->dev, l->conn), now);
	log_info("%s: connection %u is closed: %s", d->props.InstanceName, l->conn,
	    nbe_why_text(why));
}

/* ---- several servers ------------------------------------------------------- */

static void
tell_probe(void *arg)
{
	struct call *c = arg;
	struct nbd *n = c->d->nbd;

	nbe_probed(n->dev, n->probed, NT_SUCCESS(n->probe->status) ? NBE_WHY_NONE :
	    NBE_WHY_CLOSED, time_now());
}

/* A server that the engine wants to know of: does it shake hands? */
static void
start_probe(struct disk *d, unsigned path)
{
	struct nbd *n = d->nbd;

	if (n->probe != NULL)
		return;
	n->probed = path;
	n->probe = dial_start(&d->props, &n->server[path], &d->wake);
}

/* True: the engine has learnt something. */
static bool
take_probe(struct disk *d)
{
	struct nbd *n = d->nbd;
	struct dial *dl = n->probe;
	struct call c = { .d = d };
	KIRQL irql;

	if (dl == NULL || !dl->done)
		return false;
	if (dl->refused) {
		if (dl->over)
			free_dial(&n->probe);
		return false;
	}
	KeAcquireSpinLock(&d->lock, &irql);
	(void)enter(tell_probe, &c);
	KeReleaseSpinLock(&d->lock, irql);
	if (NT_SUCCESS(dl->status)) {
		dial_refuse(dl);	/* it was only tried */
	} else {
		say_failed(d, dl);
		free_dial(&n->probe);
	}
	return true;
}

/* (d) For disk_info. */
static void
note_servers(struct disk *d)
{
	struct nbd *n = d->nbd;
	NBD_SERVERS *s = &d->servers;
	struct nbe_path p;
	unsigned i;

	if (n->servers == 1)
		return;
	s->Count = n->servers;
	for (i = 0; i < n->servers; i++) {
		nbe_path(n->dev, i, &p);
		s->Server[i].State = (UINT8)p.state;
		s->Server[i].Fencing = p.fencing;
		s->Server[i].Tried = p.tried;
	}
}
C_ASSERT((int)NBE_PATH_STANDBY == NbdServerStandby &&
    (int)NBE_PATH_ACTIVE == NbdServerActive && (int)NBE_PATH_FAILED == NbdServerFailed);
C_ASSERT((int)NBE_FENCE_TIME == NbdFenceByTime &&
    (int)NBE_FENCE_STORE != NbdFenceByTime && NBD_MAX_SERVERS <= NBE_MAX_PATHS);

/* ---- rounds ---------------------------------------------------------------- */

/* (d) The first time idle requests are finished and goodbye is said; what is under
 * way at a removal fails. */
static void
stop_device(struct disk *d, nbe_time now)
{
	struct nbd *n = d->nbd;

	if (!n->told) {
		n->told = true;
		n->hard_at = now + GOODBYE_TIME;
		nbe_stop(n->dev, io_none(d), now);
	} else if (now >= n->hard_at) {
		n->hard_at = NBE_NEVER;
		nbe_stop(n->dev, false, now);
	}
}

/* (d) What happened, to the engine; what it wants, to *c->work. */
static void
inform(void *arg)
{
	struct call *c = arg;
	struct disk *d = c->d;
	struct nbd *n = d->nbd;
	struct nbe_work *w = c->work;
	nbe_time now = c->now;
	unsigned i;

	for (i = 0; i < n->conns_max; i++)
		c->any |= link_harvest(&n->link[i], now);
	if (d->stopping)
		stop_device(d, now);
	if (now >= n->wake)
		nbe_tick(n->dev, now);
	nbe_work(n->dev, w, now);
	if (w->resized)
		disk_set_blocks(d, nbe_dev_export(n->dev)->size /
		    d->unit.block_size);
	for (i = 0; i < n->conns_max; i++) {
		if ((w->close & 1u << i) != 0 && n->link[i].up)
			close_link(d, &n->link[i], now);
		else if ((w->close & 1u << i) != 0)
			c->any |= forgo_link(&n->link[i], now);
		link_plan(&n->link[i], (w->tx & 1u << i) != 0, now);
	}
	note_servers(d);
	n->wake = nbe_wake(n->dev, now);
}

/* One round.  True: there is reason for another one at once. */
static bool
turn(struct disk *d, bool *stopped)
{
	struct nbd *n = d->nbd;
	nbe_time now = time_now();
	struct nbe_req *r, *next;
	struct nbe_work w;
	struct call c = { .d = d, .work = &w, .now = now };
	bool again, entered;
	unsigned i;
	KIRQL irql;

	again = take_dials(d);
	again |= take_probe(d);
	KeAcquireSpinLock(&d->lock, &irql);
	entered = enter(inform, &c);
	KeReleaseSpinLock(&d->lock, irql);
	if (!entered)
		return false;
	again |= c.any;
	for (r = w.done; r != NULL; r = next) {
		next = r->next;
		complete(d, r);
		again = true;
	}
	for (i = 0; i < n->conns_max; i++) {
		again |= link_act(&n->link[i], now);
		if ((w.open & ~w.close & 1u << i) != 0)
			open_link(d, &n->link[i]);
		if (link_wake(&n->link[i], now) < n->wake)
			n->wake = link_wake(&n->link[i], now);
	}
	for (i = 0; i < n->servers; i++)
		if ((w.probe & 1u << i) != 0)
			start_probe(d, i);
	if (w.resized)
		adapter_changed(d->adapter);
	*stopped = w.stopped;
	return again;
}

/* A dial that nobody wants any more.  True: it is gone. */
static bool
let_go(struct dial **at)
{
	struct dial *dl = *at;

	if (dl == NULL)
		return true;
	if (dl->done && !dl->refused && dl->socket != NULL)
		dial_refuse(dl);
	else if (!dl->done || (dl->refused && !dl->over))
		dial_cancel(dl);
	else
		free_dial(at);
	return *at == NULL;
}

/* No dial, no socket: nothing of ours is in anybody else's hands. */
static bool
quiet(struct nbd *n)
{
	unsigned i;
	bool quiet = let_go(&n->probe);

	for (i = 0; i < n->conns_max; i++) {
		struct link *l = &n->link[i];

		quiet &= let_go(&l->dial) && l->socket == NULL;
	}
	return quiet;
}

/* True: no socket is left. */
static bool
reset_links(struct disk *d, nbe_time now)
{
	struct nbd *n = d->nbd;
	bool none = true;
	unsigned i;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	for (i = 0; i < n->conns_max; i++) {
		link_orphan(&n->link[i]);
		link_close(&n->link[i], false, now);
		while (link_harvest(&n->link[i], now))
			continue;
	}
	KeReleaseSpinLock(&d->lock, irql);
	for (i = 0; i < n->conns_max; i++) {
		struct link *l = &n->link[i];

		(void)link_act(l, now);
		none &= !l->up;
	}
	return none;
}

static void
fail_all(struct disk *d)
{
	struct io *io;
	KIRQL irql;

	for (;;) {
		KeAcquireSpinLock(&d->lock, &irql);
		io = io_none(d) ? NULL : CONTAINING_RECORD(d->ios.Flink, struct io,
		    link);
		KeReleaseSpinLock(&d->lock, irql);
		if (io == NULL)
			return;
		say_error(io, NBE_ENOMEM);
		io_complete(io);
	}
}

/* The engine has failed.  Requests end when no buffer is in use. */
static void
collapse(struct disk *d)
{
	while (!reset_links(d, time_now()) || !quiet(d->nbd))
		KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE, NULL);
	fail_all(d);
}

static void
nbd_run(struct disk *d)
{
	struct nbd *n = d->nbd;
	LARGE_INTEGER left;
	nbe_time until;
	bool stopped = false;

	for (;;) {
		while (turn(d, &stopped))
			continue;
		if (n->failed) {
			collapse(d);
			break;
		}
		if (stopped && quiet(n))
			break;
		until = n->told && n->hard_at < n->wake ? n->hard_at : n->wake;
		left = time_left(time_now(), until);
		KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE, &left);
	}
}

/* ---- life ------------------------------------------------------------------ */

/* How the server's disk is to be shown, if it can be. */
static NTSTATUS
describe_unit(struct disk *d, const struct nbe_export *e)
{
	WNBD_PROPERTIES *p = &d->props;
	struct scsi_unit *u = &d->unit;

	if (p->BlockSize == 0)
		p->BlockSize = e->block_min > WNBD_DEFAULT_BLOCK_SIZE ?
		    e->block_min : WNBD_DEFAULT_BLOCK_SIZE;
	if ((p->BlockSize != 512 && p->BlockSize != 4096) ||
	    p->BlockSize < e->block_min || e->size < p->BlockSize) {
		log_error("%s: blocks of %lu bytes cannot be had: the server's "
		    "minimum is %lu, its size %llu", p->InstanceName,
		    (unsigned long)p->BlockSize, (unsigned long)e->block_min,
		    (unsigned long long)e->size);
		return STATUS_NOT_SUPPORTED;
	}
	p->BlockCount = e->size / p->BlockSize;
	p->Flags.ReadOnly |= (e->flags & NBE_FLAG_READ_ONLY) != 0;
	p->Flags.FlushSupported = (e->flags & NBE_FLAG_SEND_FLUSH) != 0;
	p->Flags.FUASupported = (e->flags & (NBE_FLAG_SEND_FUA |
	    NBE_FLAG_SEND_FLUSH)) != 0;
	p->Flags.UnmapSupported = (e->flags & NBE_FLAG_SEND_TRIM) != 0;
	p->MaxUnmapDescCount = SCSI_RANGES_MAX;
	u->pref_size = e->block_pref > p->BlockSize ? e->block_pref : p->BlockSize;
	u->rotational = (e->flags & NBE_FLAG_ROTATIONAL) != 0;
	u->zero = (e->flags & NBE_FLAG_SEND_WRITE_ZEROES) != 0;
	u->extents = e->has_alloc;
	return STATUS_SUCCESS;
}

static nbe_time
milliseconds(uint32_t ms, uint32_t standard)
{
	return (ms != 0 ? ms : standard) * (NBE_SECOND / 1000);
}

struct init {
	struct disk	*d;
	const struct nbe_dev_config *cfg;
	const struct nbe_export *exp;
};

static void
init_device(void *arg)
{
	struct init *c = arg;
	struct nbd *n = c->d->nbd;

	n->dev = nbe_dev_init(n->dev_mem, c->cfg, c->exp, time_now());
	note_servers(c->d);
}

static NTSTATUS
make_device(struct disk *d, const struct nbe_export *e)
{
	const NBD_CONNECTION_PROPERTIES *p = &d->props.NbdProperties;
	struct nbd *n = d->nbd;
	struct nbe_dev_config cfg = {
		.conns = (uint16_t)(p->Connections != 0 ? p->Connections : 1),
		.depth = DEPTH,
		.timeout = milliseconds(p->RequestTimeoutMs,
		    NBD_DEFAULT_REQUEST_TIMEOUT_MS),
		.dead_timeout = milliseconds(p->DeadTimeoutMs,
		    NBD_DEFAULT_DEAD_TIMEOUT_MS),
		.fence = milliseconds(p->FenceTimeMs, NBD_DEFAULT_FENCE_TIME_MS),
		.backoff_min = BACKOFF_MIN,
		.backoff_max = BACKOFF_MAX,
		.unflushed = NBE_UNFLUSHED_FAIL,
		.seed = d->id ^ time_now(),
		.paths = (uint8_t)n->servers,
		.path = (uint8_t)n->path,
		.fence_by = p->FenceBy == NbdFenceByStore ? NBE_FENCE_STORE :
		    NBE_FENCE_TIME,
		.path_timeout = milliseconds(p->PathTimeoutMs,
		    NBD_DEFAULT_PATH_TIMEOUT_MS),
		.failback = milliseconds(p->FailbackMs, 0),
	};
	struct init c = { d, NULL, e };
	NTSTATUS status = STATUS_SUCCESS;
	unsigned i;

	if ((e->flags & NBE_FLAG_CAN_MULTI_CONN) == 0)
		cfg.conns = 1;
	cfg.conns_max = cfg.conns;
	n->dev_mem = mem_alloc(nbe_dev_size(&cfg));
	n->waste = mem_alloc(LINK_WASTE);
	if (n->dev_mem == NULL || n->waste == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	c.cfg = &cfg;
	if (!guarded(init_device, &c))
		return STATUS_INTERNAL_ERROR;
	n->conns_max = cfg.conns_max;
	for (i = 0; i < n->conns_max && NT_SUCCESS(status); i++)
		status = link_init(&n->link[i], n->dev, i, n->waste, &d->wake);
	return status;
}

/* Its dial, if it has succeeded, is that of the first link. */
static NTSTATUS
dial_first(struct disk *d, unsigned path)
{
	struct link *first = &d->nbd->link[0];
	struct dial *dl = dial_start(&d->props, &d->nbd->server[path], &d->wake);
	NTSTATUS status;

	if (dl == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	while (!dl->done) {
		if (d->stopping)
			dial_cancel(dl);
		KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE, NULL);
	}
	first->dial = dl;
	d->nbd->path = path;
	if (NT_SUCCESS(dl->status))
		return dl->status;
	say_failed(d, dl);
	status = dl->why == NBE_WHY_UNKNOWN_EXPORT ? STATUS_OBJECT_NAME_NOT_FOUND :
	    dl->status;
	free_dial(&first->dial);
	return status;
}

/* The first connection tells what the disk is: to the first server that is there. */
static NTSTATUS
nbd_start(struct disk *d)
{
	const NBD_CONNECTION_PROPERTIES *p = &d->props.NbdProperties;
	NTSTATUS status = STATUS_CANCELLED;
	struct nbd *n;
	unsigned i;

	d->nbd = n = mem_alloc(sizeof(*d->nbd));
	if (n == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (WnbdParseServers(p->Hostname, p->PortNumber, n->server, &n->servers) !=
	    WnbdServersOk)
		return STATUS_INVALID_PARAMETER;
	for (i = 0; i < n->servers && !d->stopping; i++) {
		status = dial_first(d, i);
		if (NT_SUCCESS(status))
			break;
	}
	if (NT_SUCCESS(status))
		status = describe_unit(d, &n->link[0].dial->exp);
	if (NT_SUCCESS(status))
		status = make_device(d, &n->link[0].dial->exp);
	return status;
}

/* What a start left behind that did not succeed. */
static void
abandon(struct disk *d, struct link *l)
{
	if (l->dial == NULL)
		return;
	if (l->dial->socket != NULL) {
		dial_refuse(l->dial);
		while (!l->dial->over)
			KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE,
			    NULL);
	}
	free_dial(&l->dial);
}

static void
nbd_free(struct disk *d)
{
	struct nbd *n = d->nbd;
	unsigned i;

	if (n == NULL)
		return;
	abandon(d, &n->link[0]);
	for (i = 0; i < NBE_MAX_CONNS; i++)
		link_free(&n->link[i]);
	mem_free(n->waste);
	mem_free(n->dev_mem);
	mem_free(n);
	d->nbd = NULL;
}

const struct backend nbd_backend = {
	.submit = nbd_submit,
	.abort = nbd_abort,
	.stats = nbd_stats,
	.start = nbd_start,
	.run = nbd_run,
	.free = nbd_free,
};
