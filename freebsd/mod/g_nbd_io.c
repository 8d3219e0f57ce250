/*
 * g_nbd_io.c - bios into requests of the engine, and back.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Locks: all functions here take or need sc_mtx only; g_nbd.h has the order.
 *
 * A turn is what follows each group of calls of the engine.  It may be made by any
 * thread, and in ext_free, so it only signals; what may sleep or calls out is left
 * to the task.
 */
#include "g_nbd.h"

#include <sys/mbuf.h>
#include <sys/time.h>

#include <vm/vm.h>
#include <vm/uma.h>
#include <vm/vm_page.h>

#include "compat.h"

static uma_zone_t g_nbd_io_zone;

int
g_nbd_io_init(void)
{

	g_nbd_io_zone = uma_zcreate("g_nbd_io", sizeof(struct g_nbd_io), NULL,
	    NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	return (g_nbd_io_zone == NULL ? ENOMEM : 0);
}

void
g_nbd_io_fini(void)
{

	uma_zdestroy(g_nbd_io_zone);
}

nbe_time
g_nbd_now(struct g_nbd_softc *sc)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_now = (nbe_time)sbttons(sbinuptime());
	return (sc->sc_now);
}

/* When the bio began, by GEOM's clock, which it has read for that. */
static nbe_time
g_nbd_begun(struct g_nbd_softc *sc, const struct bio *bp)
{
	nbe_time begun = (nbe_time)sbttons(bttosbt(bp->bio_t0));

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_now = MAX(sc->sc_now, begun);
	return (sc->sc_now);
}

/*
 * ENOMEM from the server is EIO here: GEOM takes ENOMEM for a shortage of its own
 * and would send the bio again for ever.
 */
static const int g_nbd_errnos[] = {
	[NBE_OK] = 0,
	[NBE_EPERM] = EPERM,
	[NBE_EIO] = EIO,
	[NBE_ENOMEM] = EIO,
	[NBE_EINVAL] = EINVAL,
	[NBE_ENOSPC] = ENOSPC,
	[NBE_EOVERFLOW] = EOVERFLOW,
	[NBE_ENOTSUP] = EOPNOTSUPP,
	[NBE_ESHUTDOWN] = ENXIO,
	[NBE_ETIMEDOUT] = ETIMEDOUT,
	[NBE_EABORTED] = ECANCELED,
};
_Static_assert(nitems(g_nbd_errnos) == NBE_ERRS, "one line per error");

int
g_nbd_errno(enum nbe_err err)
{

	return (err < NBE_ERRS ? g_nbd_errnos[err] : EIO);
}

/* ---- the data of a bio --------------------------------------------------- */

uint8_t *
g_nbd_bio_at(const struct bio *bp, uint64_t off, size_t *len)
{
	u_int page_off;

	if ((bp->bio_flags & BIO_UNMAPPED) == 0)
		return ((uint8_t *)bp->bio_data + off);
	off += bp->bio_ma_offset;
	page_off = off & PAGE_MASK;
	if (*len > PAGE_SIZE - page_off)
		*len = PAGE_SIZE - page_off;
	return ((uint8_t *)PHYS_TO_DMAP(
	    VM_PAGE_TO_PHYS(bp->bio_ma[off >> PAGE_SHIFT])) + page_off);
}

/* What the engine wants to remember of a write, before its bio may go. */
static void
g_nbd_keep(struct g_nbd_softc *sc, const struct nbe_req *r, const struct bio *bp)
{
	uint64_t at = 0;
	size_t len;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (; at < r->length; at += len) {
		uint8_t *from;

		len = r->length - at;
		from = g_nbd_bio_at(bp, at, &len);
		memcpy(sc->sc_keep + r->keep + at, from, len);
	}
}

/* ---- the end of a bio ---------------------------------------------------- */

static void
g_nbd_deliver(struct g_nbd_io *io)
{
	struct bio *bp = io->io_bio;
	int error = g_nbd_errno(io->io_req.error);

	uma_zfree(g_nbd_io_zone, io);
	bp->bio_completed = error == 0 ? bp->bio_length : 0;
	bp->bio_resid = bp->bio_length - bp->bio_completed;
	g_io_deliver(bp, error);
}

void
g_nbd_complete(struct nbe_req *r)
{
	struct nbe_req *next;

	for (; r != NULL; r = next) {
		struct g_nbd_io *io = g_nbd_io_of(r);

		next = r->next;
		if (refcount_release(&io->io_refs))
			g_nbd_deliver(io);
	}
}

/*
 * ext_free of an mbuf over a bio's data.  May run with locks of the network stack
 * held, so a bio that waited for it is delivered by the task.  Mostly none does, for
 * the reply comes after the acknowledgement of the data.
 */
void
g_nbd_lent_free(struct mbuf *m)
{
	struct g_nbd_io *io = m->m_ext.ext_arg1;
	struct g_nbd_softc *sc = io->io_sc;

	if (!refcount_release(&io->io_refs))
		return;
	refcount_init(&io->io_refs, 1);		/* the task's */
	mtx_lock(&sc->sc_mtx);
	io->io_req.next = sc->sc_done;
	sc->sc_done = &io->io_req;
	taskqueue_enqueue(g_nbd_taskqueue, &sc->sc_task);
	mtx_unlock(&sc->sc_mtx);
}

/* ---- the turn ------------------------------------------------------------ */

/* One at a time: a sender that has sent makes a turn itself. */
void
g_nbd_wake_sender(struct g_nbd_softc *sc, uint32_t tx)
{
	u_int i;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	tx &= sc->sc_idle;
	if (tx == 0)
		return;
	i = ffs(tx) - 1;
	sc->sc_idle &= ~(1u << i);
	cv_signal(&sc->sc_conn[i]->nc_work_cv);
}

/* Each is closed once: its threads are told, its socket is left to the task. */
static void
g_nbd_close_conns(struct g_nbd_softc *sc, uint32_t conns)
{
	struct g_nbd_conn *nc;
	u_int i;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (; conns != 0; conns &= conns - 1) {
		i = ffs(conns) - 1;
		nc = sc->sc_conn[i];
		if (nc->nc_closing)
			continue;
		nc->nc_closing = true;
		nc->nc_refs++;
		sc->sc_shut |= 1u << i;
		sc->sc_idle &= ~(1u << i);
		cv_signal(&nc->nc_work_cv);
	}
}

static void
g_nbd_callout(void *arg)
{
	struct g_nbd_softc *sc = arg;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_wake = NBE_NEVER;
	taskqueue_enqueue(g_nbd_taskqueue, &sc->sc_task);
}

/* For how long nothing need be done by the clock; NBE_NEVER: no end is known. */
static nbe_time
g_nbd_rest(struct g_nbd_softc *sc, nbe_time now)
{
	nbe_time wake = nbe_wake(sc->sc_dev, now), rest;

	rest = wake == NBE_NEVER ? NBE_NEVER : wake > now ? wake - now : 0;
	if (sc->sc_reqs != 0)
		rest = MIN(rest, sc->sc_look);
	return (rest == NBE_NEVER ? NBE_NEVER : MIN(rest, G_NBD_WAKE_MAX));
}

/* A send alone makes nothing due before its time-out, which is later than the next look
 * at the sockets. */
static bool
g_nbd_looks_in_time(const struct g_nbd_softc *sc, nbe_time now)
{

	return (sc->sc_wake <= now + sc->sc_look);
}

/* Earlier only: a callout that fires too early costs less than to move it with
 * each reply. */
static void
g_nbd_set_callout(struct g_nbd_softc *sc, nbe_time now)
{
	nbe_time rest = g_nbd_rest(sc, now);

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	if (rest == NBE_NEVER || now + rest >= sc->sc_wake || sc->sc_stopped)
		return;
	sc->sc_wake = now + rest;
	callout_reset_sbt(&sc->sc_callout, rest != 0 ? nstosbt(rest) : 1, SBT_1MS,
	    g_nbd_callout, sc, 0);
}

struct nbe_req *
g_nbd_work(struct g_nbd_softc *sc, uint32_t *tx, nbe_time now, bool sent)
{
	struct nbe_work w;
	struct nbe_req *r;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	g_nbd_ask(sc, &w, now);
	for (r = w.done; r != NULL; r = r->next) {
		sc->sc_reqs--;
		if (g_nbd_io_of(r)->io_look)
			LIST_REMOVE(g_nbd_io_of(r), io_looks);
		if (r->error == NBE_ETIMEDOUT && !sc->sc_dead)
			sc->sc_dead = sc->sc_died = true;
		if (r->keep != NBE_NO_KEEP)
			g_nbd_keep(sc, r, g_nbd_io_of(r)->io_bio);
	}
	g_nbd_close_conns(sc, w.close);
	sc->sc_resized |= w.resized;
	if (sc->sc_shut != 0 || sc->sc_resized || sc->sc_wanted || sc->sc_died)
		taskqueue_enqueue(g_nbd_taskqueue, &sc->sc_task);
	if (w.stopped && !sc->sc_stopped) {
		sc->sc_stopped = true;
		cv_broadcast(&sc->sc_gone_cv);
	}
	if (!sent || !g_nbd_looks_in_time(sc, now))
		g_nbd_set_callout(sc, now);
	*tx = w.tx;
	return (w.done);
}

struct nbe_req *
g_nbd_turn(struct g_nbd_softc *sc, nbe_time now)
{
	struct nbe_req *done;
	uint32_t tx;

	done = g_nbd_work(sc, &tx, now, false);
	g_nbd_wake_sender(sc, tx);
	return (done);
}

/* ---- what GEOM looks at -------------------------------------------------- */

/*
 * Does GEOM itself read, and wait (g_read_data)?  That is tasting, in the thread that
 * all events and control requests need: if it waited for a server that is away, no verb
 * could bring another connection, and no list could be read.  The bio of g_read_data
 * may have become others on its way; physio(9)'s came from no consumer.
 */
static bool
g_nbd_is_look(const struct bio *bp)
{

	if (bp->bio_cmd != BIO_READ)
		return (false);
	while (bp->bio_parent != NULL)
		bp = bp->bio_parent;
	return (bp->bio_done == NULL && bp->bio_from != NULL);
}

void
g_nbd_fail_looks(struct g_nbd_softc *sc, nbe_time now)
{
	struct g_nbd_io *io;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	LIST_FOREACH(io, &sc->sc_looks, io_looks) {
		nbe_abort(sc->sc_dev, &io->io_req, now);
		sc->sc_unseen = true;
	}
}

void
g_nbd_check_looks(struct g_nbd_softc *sc, nbe_time now)
{
	struct g_nbd_io *io;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	LIST_FOREACH(io, &sc->sc_looks, io_looks)
		if (now - io->io_since >= sc->sc_patience)
			sc->sc_silent = true;
	if (sc->sc_silent)
		g_nbd_fail_looks(sc, now);
}

void
g_nbd_heard(struct g_nbd_softc *sc)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	sc->sc_silent = false;
	sc->sc_patience = MIN(2 * sc->sc_patience, G_NBD_PATIENCE_MAX);
	sc->sc_speaks = true;
	taskqueue_enqueue(g_nbd_taskqueue, &sc->sc_task);
}

/* With sc_mtx held.  False: it is to fail at once. */
static bool
g_nbd_look(struct g_nbd_softc *sc, struct g_nbd_io *io, nbe_time now)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	if (sc->sc_conns == 0 || sc->sc_silent) {
		sc->sc_unseen = true;
		return (false);
	}
	io->io_since = now;
	LIST_INSERT_HEAD(&sc->sc_looks, io, io_looks);
	return (true);
}

/* ---- bios ---------------------------------------------------------------- */

static struct g_nbd_io *
g_nbd_io_new(struct g_nbd_softc *sc, struct bio *bp, enum nbe_op op)
{
	struct g_nbd_io *io;

	io = uma_zalloc(g_nbd_io_zone, M_NOWAIT);
	if (io == NULL)
		return (NULL);
	io->io_bio = bp;
	io->io_sc = sc;
	io->io_look = g_nbd_is_look(bp);
	refcount_init(&io->io_refs, 1);
	io->io_req.op = op;
	io->io_req.flags = (bp->bio_flags & BIO_ORDERED) != 0 ? NBE_BARRIER : 0;
	io->io_req.offset = op == NBE_FLUSH ? 0 : bp->bio_offset;
	io->io_req.length = op == NBE_FLUSH ? 0 : bp->bio_length;
	return (io);
}

/*
 * Who brings a small request sends it, if no other thread is sending: that spares a
 * thread switch.  With many under way, the sender makes fewer and larger sends.  With
 * TLS, too, the sender sends: ktls(4) has another thread encrypt in any case, and what
 * follows would run on the caller's CPU while that one is done there.  A flush goes the
 * way of the last write: after a long one the network and the server are on the
 * caller's CPU.
 */
static bool
g_nbd_at_once(struct g_nbd_softc *sc, const struct nbe_req *r)
{

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	if (r->op == NBE_WRITE)
		sc->sc_long = r->length > G_NBD_NOW_BYTES;
	if (sc->sc_long && (r->op == NBE_WRITE || r->op == NBE_FLUSH))
		return (false);
	return (!sc->sc_tls && sc->sc_reqs <= G_NBD_NOW_REQS);
}

static void
g_nbd_submit(struct g_nbd_softc *sc, struct bio *bp, enum nbe_op op)
{
	struct g_nbd_conn *nc = NULL;
	struct g_nbd_io *io = g_nbd_io_new(sc, bp, op);
	struct nbe_req *done = NULL;
	u_int nseg;
	nbe_time now;

	if (io == NULL) {
		atomic_add_64(&g_nbd_enomems, 1);
		g_io_deliver(bp, ENOMEM);
		return;
	}
	mtx_lock(&sc->sc_mtx);
	now = g_nbd_begun(sc, bp);
	if (io->io_look && !g_nbd_look(sc, io, now)) {
		mtx_unlock(&sc->sc_mtx);
		uma_zfree(g_nbd_io_zone, io);
		g_io_deliver(bp, ENXIO);
		return;
	}
	nbe_submit(sc->sc_dev, &io->io_req, now);
	sc->sc_reqs++;
	if (g_nbd_at_once(sc, &io->io_req))
		nc = g_nbd_borrow(sc, &nseg, now);
	if (nc == NULL)			/* else the turn comes with its end */
		done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
	if (nc != NULL)
		g_nbd_send_now(nc, nseg);
}

void
g_nbd_start(struct bio *bp)
{
	struct g_nbd_softc *sc = bp->bio_to->private;

	switch (bp->bio_cmd) {
	case BIO_READ:
		g_nbd_submit(sc, bp, NBE_READ);
		break;
	case BIO_WRITE:
		g_nbd_submit(sc, bp, NBE_WRITE);
		break;
	case BIO_DELETE:
		g_nbd_submit(sc, bp, NBE_TRIM);
		break;
	case BIO_FLUSH:
		g_nbd_submit(sc, bp, NBE_FLUSH);
		break;
	case BIO_GETATTR:
		g_nbd_getattr(sc, bp);
		break;
	default:
		g_io_deliver(bp, EOPNOTSUPP);
		break;
	}
}
