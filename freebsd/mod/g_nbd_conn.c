/*
 * g_nbd_conn.c - a connection: its socket, its sender, its receiver.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Locks, in their order (g_nbd.h): so_snd or so_rcv, then sc_mtx.  Neither of them
 * is held over a socket call.  The upcalls run with the buffer's mutex held and
 * only test a number and signal.
 *
 * Who has a reference (nc_refs): the two threads, whoever brings the connection
 * up, and a shutdown that the task is to make.  The last one closes the socket and
 * tells the engine, for only then no tx and no rx can be open.
 *
 * Sender and receiver use the socket without ever blocking in it: they wait on
 * condition variables of their own, for as much room or data as is worth a wake-up.
 * A shutdown ends both waits.
 *
 * While the sender is idle, start may borrow its place for a few sends, which do not
 * sleep (nc_borrowed).  The sender's reference serves both: it does not leave before
 * its place is given back.
 */
#include "g_nbd.h"

#include <sys/capsicum.h>
#include <sys/domain.h>
#include <sys/file.h>
#include <sys/kthread.h>
#include <sys/ktls.h>
#include <sys/limits.h>
#include <sys/mbuf.h>
#include <sys/protosw.h>
#include <sys/sched.h>
#include <sys/socket.h>
#include <sys/socketvar.h>
#include <sys/sockopt.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <opencrypto/cryptodev.h>

#include "compat.h"

/* ---- waiting for the socket ---------------------------------------------- */

static bool
g_nbd_has_room(struct g_nbd_conn *nc, struct socket *so)
{

	SOCK_SENDBUF_LOCK_ASSERT(so);
	return (sbspace(&so->so_snd) >= (long)nc->nc_room_want ||
	    (so->so_snd.sb_state & SBS_CANTSENDMORE) != 0 || so->so_error != 0);
}

/*
 * Small mbufs may fill a buffer long before its bytes do, so a buffer that is half
 * full wakes the receiver in any case: the rest may not fit.
 */
static bool
g_nbd_has_data(struct g_nbd_conn *nc, struct socket *so)
{
	struct sockbuf *sb = &so->so_rcv;

	SOCK_RECVBUF_LOCK_ASSERT(so);
	return (sbavail(sb) >= nc->nc_data_want ||
	    (sbavail(sb) != 0 && sbspace(sb) < (long)sb->sb_hiwat / 2) ||
	    (sb->sb_state & SBS_CANTRCVMORE) != 0 || so->so_error != 0);
}

/* The peer has taken bytes: acknowledged them, or of a local socket read them. */
static int
g_nbd_room_upcall(struct socket *so, void *arg, int waitflag __unused)
{
	struct g_nbd_conn *nc = arg;

	atomic_add_int(&nc->nc_taken, 1);
	if (nc->nc_room_want != 0 && g_nbd_has_room(nc, so))
		cv_signal(&nc->nc_room_cv);
	return (SU_OK);
}

static int
g_nbd_data_upcall(struct socket *so, void *arg, int waitflag __unused)
{
	struct g_nbd_conn *nc = arg;

	if (nc->nc_data_want != 0 && g_nbd_has_data(nc, so))
		cv_signal(&nc->nc_data_cv);
	return (SU_OK);
}

/* ---- what the socket knows ------------------------------------------------ */

/* Records that the busier side has protected.  The numbers are the socket buffers', and
 * may be a moment old. */
static uint64_t
g_nbd_records(struct socket *so)
{
	uint64_t sent = atomic_load_64(&so->so_snd.sb_tls_seqno);
	uint64_t received = atomic_load_64(&so->so_rcv.sb_tls_seqno);

	return (MAX(sent, received));
}

static void
g_nbd_conn_look(struct g_nbd_conn *nc, nbe_time now)
{
	struct nbe_dev *dev = nc->nc_sc->sc_dev;
	u_int taken = atomic_load_int(&nc->nc_taken);

	if (taken != nc->nc_taken_seen) {
		nc->nc_taken_seen = taken;
		nbe_moved(dev, nc->nc_index, now);
	}
	if (nc->nc_tls_limited &&
	    g_nbd_records(nc->nc_so) > G_NBD_RECORDS_MAX - G_NBD_RECORDS_LOW)
		nbe_renew(dev, nc->nc_index);
}

/* The socket is there as long as its connection is not closing: the sender has a
 * reference until then. */
void
g_nbd_conns_look(struct g_nbd_softc *sc, nbe_time now)
{
	struct g_nbd_conn *nc;
	u_int i;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (i = 0; i < sc->sc_conns_max; i++) {
		nc = sc->sc_conn[i];
		if (nc != NULL && nc->nc_refs != 0 && !nc->nc_closing)
			g_nbd_conn_look(nc, now);
	}
}

/* ---- waiting -------------------------------------------------------------- */

/* Room for len bytes, or for half of what the buffer holds.  How much there is;
 * 0: the connection is broken. */
static u_int
g_nbd_wait_room(struct g_nbd_conn *nc, u_int len)
{
	struct socket *so = nc->nc_so;
	long room;

	SOCK_SENDBUF_LOCK(so);
	nc->nc_room_want = MIN(len, so->so_snd.sb_hiwat / 2);
	while (!g_nbd_has_room(nc, so)) {
		cv_wait(&nc->nc_room_cv, SOCK_SENDBUF_MTX(so));
		atomic_add_64(&nc->nc_send_wakeups, 1);
	}
	room = sbspace(&so->so_snd);
	nc->nc_room_want = 0;
	if ((so->so_snd.sb_state & SBS_CANTSENDMORE) != 0 || so->so_error != 0)
		room = 0;
	SOCK_SENDBUF_UNLOCK(so);
	return (room > 0 ? MIN(room, INT_MAX) : 0);
}

/* False: nothing is to come any more. */
static bool
g_nbd_wait_data(struct g_nbd_conn *nc, uint64_t left)
{
	struct socket *so = nc->nc_so;
	bool any;

	SOCK_RECVBUF_LOCK(so);
	nc->nc_data_want = left == 0 ? 1 : MIN(left, so->so_rcv.sb_hiwat / 4);
	while (!g_nbd_has_data(nc, so)) {
		cv_wait(&nc->nc_data_cv, SOCK_RECVBUF_MTX(so));
		atomic_add_64(&nc->nc_receive_wakeups, 1);
	}
	nc->nc_data_want = 0;
	nc->nc_little = sbavail(&so->so_rcv) < so->so_rcv.sb_hiwat / G_NBD_LITTLE_PART;
	any = sbavail(&so->so_rcv) != 0 ||
	    (so->so_rcv.sb_state & SBS_CANTRCVMORE) == 0;
	SOCK_RECVBUF_UNLOCK(so);
	return (any);
}

/* ---- the end of it ------------------------------------------------------- */

/*
 * With abort, TCP is reset and what is queued is dropped: an old write that TCP goes on
 * sending would land on newer ones, and its data would keep the bio for as long.  gnbd
 * hands sockets over so that every close does this, connect/connect.h says why; an end
 * that was agreed on takes it back, for DISC is to arrive.
 */
void
g_nbd_socket_close(struct socket *so, bool abort)
{
	struct linger l = { .l_onoff = abort, .l_linger = 0 };

	(void)so_setsockopt(so, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	(void)soclose(so);
}

/* Nobody is to make it again.  One that is to be made anew was not lost, but only user
 * space can do that. */
static bool
g_nbd_was_meant(enum nbe_why why)
{

	return (why == NBE_WHY_SCALED || why == NBE_WHY_STOPPED);
}

static void
g_nbd_tell_lost(struct g_nbd_conn *nc, enum nbe_why why)
{

	G_NBD_LOG(G_NBD_WARN, nc->nc_sc, "connection %u: %s", nc->nc_index,
	    nbe_why_text(why));
	g_nbd_tell_devd(nc->nc_sc, "DISCONNECTED");
}

static void
g_nbd_upcalls_clear(struct socket *so)
{

	SOCK_SENDBUF_LOCK(so);
	soupcall_clear(so, SO_SND);
	SOCK_SENDBUF_UNLOCK(so);
	SOCK_RECVBUF_LOCK(so);
	soupcall_clear(so, SO_RCV);
	SOCK_RECVBUF_UNLOCK(so);
}

/* Nobody uses the connection any more. */
static void
g_nbd_conn_gone(struct g_nbd_conn *nc)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct socket *so = nc->nc_so;
	struct nbe_req *done;
	enum nbe_why why;
	nbe_time now;
	bool in_order;

	g_nbd_upcalls_clear(so);
	mtx_lock(&sc->sc_mtx);
	why = nbe_conn_why(sc->sc_dev, nc->nc_index);
	in_order = nbe_conn_in_order(sc->sc_dev, nc->nc_index);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_socket_close(so, !in_order);
	if (!g_nbd_was_meant(why))
		g_nbd_tell_lost(nc, why);

	mtx_lock(&sc->sc_mtx);
	if (!g_nbd_was_meant(why)) {
		sc->sc_lost_why = why;
		sc->sc_lost_at = time_second;
	}
	nc->nc_closing = false;
	nc->nc_refs = 0;
	sc->sc_conns--;
	now = g_nbd_now(sc);
	nbe_conn_down(sc->sc_dev, nc->nc_index, NBE_WHY_CLOSED, now);
	if (sc->sc_conns == 0)
		g_nbd_fail_looks(sc, now);
	done = g_nbd_turn(sc, now);
	cv_broadcast(&sc->sc_gone_cv);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}

static void
g_nbd_conn_release(struct g_nbd_conn *nc)
{
	bool last;

	mtx_lock(&nc->nc_sc->sc_mtx);
	/* The slot is free only after g_nbd_conn_gone. */
	last = nc->nc_refs == 1;
	if (!last)
		nc->nc_refs--;
	mtx_unlock(&nc->nc_sc->sc_mtx);
	if (last)
		g_nbd_conn_gone(nc);
}

/* From the task: sleeps for a moment, if the other side of the socket is in use. */
void
g_nbd_conn_shutdown(struct g_nbd_softc *sc, uint32_t conns)
{
	u_int i;

	for (i = 0; i < sc->sc_conns_max; i++) {
		if ((conns & 1u << i) == 0)
			continue;
		(void)soshutdown(sc->sc_conn[i]->nc_so, SHUT_RDWR);
		g_nbd_conn_release(sc->sc_conn[i]);
	}
}

/* ---- the sender ---------------------------------------------------------- */

static void
g_nbd_set_priority(u_char priority)
{

	thread_lock(curthread);
	sched_prio(curthread, priority);
	thread_unlock(curthread);
}

static u_int
g_nbd_total(const struct nbe_seg *seg, u_int nseg)
{
	uint64_t len = 0;

	while (nseg-- != 0)
		len += seg++->len;
	return (MIN(len, INT_MAX));
}

/* One sosend of at most room bytes, or none where mbufs or room are short: EWOULDBLOCK,
 * or EMSGSIZE for more than the socket ever takes at once.  Does not sleep. */
static int
g_nbd_push(struct g_nbd_conn *nc, u_int nseg, u_int room, u_int *sent)
{
	struct mbuf *m;
	u_int len;
	int error;

	*sent = 0;
	m = g_nbd_to_mbufs(nc, nseg, room, &len);
	if (m == NULL)
		return (EWOULDBLOCK);
	atomic_add_64(&nc->nc_sends, 1);
	error = sosend(nc->nc_so, NULL, NULL, m, NULL, MSG_DONTWAIT, curthread);
	if (error == 0)
		*sent = len;
	return (error);
}

static enum nbe_why
g_nbd_send_why(int error)
{

	return (error == 0 || error == EWOULDBLOCK || error == EMSGSIZE ?
	    NBE_WHY_NONE : NBE_WHY_CLOSED);
}

/* Enters and leaves with the lock. */
static void
g_nbd_send(struct g_nbd_conn *nc, u_int nseg)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct nbe_req *done;
	u_int total = g_nbd_total(nc->nc_tx_seg, nseg), room, sent = 0;
	nbe_time now;
	int error = EPIPE;

	mtx_unlock(&sc->sc_mtx);
	room = g_nbd_wait_room(nc, total);
	if (room != 0)
		error = g_nbd_push(nc, nseg, room, &sent);
	if (error == EWOULDBLOCK)	/* no mbufs, or others took the room */
		pause("nbdroom", 1);
	if (room != 0 && room < total)
		atomic_add_64(&g_nbd_write_truncs, 1);
	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	nbe_tx_end(sc->sc_dev, nc->nc_index, sent, g_nbd_send_why(error), now);
	done = g_nbd_turn(sc, now);
	if (done != NULL) {
		mtx_unlock(&sc->sc_mtx);
		g_nbd_complete(done);
		mtx_lock(&sc->sc_mtx);
	}
}

static u_int
g_nbd_tx_begin(struct g_nbd_conn *nc, nbe_time now)
{

	nc->nc_tx_began = now;
	return (nbe_tx_begin(nc->nc_sc->sc_dev, nc->nc_index, nc->nc_tx_seg,
	    G_NBD_TX_SEGS, now));
}

struct g_nbd_conn *
g_nbd_borrow(struct g_nbd_softc *sc, u_int *nseg, nbe_time now)
{
	struct g_nbd_conn *nc;
	uint32_t idle;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (idle = sc->sc_idle; idle != 0; idle &= idle - 1) {
		nc = sc->sc_conn[ffs(idle) - 1];
		*nseg = g_nbd_tx_begin(nc, now);
		if (*nseg == 0)
			continue;
		sc->sc_idle &= ~(1u << nc->nc_index);
		nc->nc_borrowed = true;
		return (nc);
	}
	return (NULL);
}

static void
g_nbd_give_back(struct g_nbd_conn *nc)
{

	mtx_assert(&nc->nc_sc->sc_mtx, MA_OWNED);
	nc->nc_borrowed = false;
	if (nc->nc_closing)
		cv_signal(&nc->nc_work_cv);
	else
		nc->nc_sc->sc_idle |= 1u << nc->nc_index;
}

#define	G_NBD_SHORT_SEND	65536u

/*
 * The time behind a send without a wait; is_short: of 64 KiB or less, taken whole.  A
 * look at the clock costs, and what a send takes matters where several connections have
 * several requests.
 */
static nbe_time
g_nbd_sent_at(struct g_nbd_conn *nc, bool is_short)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	nbe_time now;

	if (sc->sc_conns < 2 || sc->sc_reqs < 2)
		return (sc->sc_now);		/* good enough */
	now = g_nbd_now(sc);
	if (is_short)
		nbe_send_took(sc->sc_dev, now - nc->nc_tx_began);
	return (now);
}

/* How many segments there are to send next; 0: the sender has its place back. */
static u_int
g_nbd_send_borrowed(struct g_nbd_conn *nc, u_int nseg, bool more)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct nbe_req *done;
	u_int total = g_nbd_total(nc->nc_tx_seg, nseg), sent;
	uint32_t tx;
	nbe_time now;
	int error;

	error = g_nbd_push(nc, nseg, total, &sent);
	mtx_lock(&sc->sc_mtx);
	now = g_nbd_sent_at(nc, sent == total && total <= G_NBD_SHORT_SEND);
	nbe_tx_end(sc->sc_dev, nc->nc_index, sent, g_nbd_send_why(error), now);
	done = g_nbd_work(sc, &tx, now, true);
	more = more && sent == total && (tx & 1u << nc->nc_index) != 0;
	nseg = more ? g_nbd_tx_begin(nc, now) : 0;
	if (nseg == 0) {
		g_nbd_give_back(nc);
		g_nbd_wake_sender(sc, tx);
	}
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
	return (nseg);
}

/*
 * With the priority of the sender.  A thread of a lower one is preempted by the
 * network's amid its send, and does not run again, with the connection's lock, before
 * the server has answered: the network waits for that lock then.
 */
void
g_nbd_send_now(struct g_nbd_conn *nc, u_int nseg)
{
	const u_char priority = curthread->td_base_pri;
	u_int sends = 0;

	if (priority > PRIBIO)
		g_nbd_set_priority(PRIBIO);
	while (nseg != 0)
		nseg = g_nbd_send_borrowed(nc, nseg, ++sends < G_NBD_NOW_SENDS);
	if (priority > PRIBIO)
		g_nbd_set_priority(priority);
}

static void
g_nbd_thread_start(struct g_nbd_conn *nc, u_int which)
{

	nc->nc_tid[which] = curthread->td_tid;
	g_nbd_set_priority(PRIBIO);
}

static void
g_nbd_sender(void *arg)
{
	struct g_nbd_conn *nc = arg;
	struct g_nbd_softc *sc = nc->nc_sc;
	u_int n;

	g_nbd_thread_start(nc, 0);
	mtx_lock(&sc->sc_mtx);
	while (!nc->nc_closing) {
		KASSERT(!nc->nc_borrowed, ("two senders"));
		n = g_nbd_tx_begin(nc, g_nbd_now(sc));
		if (n != 0) {
			g_nbd_send(nc, n);
			continue;
		}
		sc->sc_idle |= 1u << nc->nc_index;
		cv_wait(&nc->nc_work_cv, &sc->sc_mtx);
		sc->sc_idle &= ~(1u << nc->nc_index);
		atomic_add_64(&nc->nc_send_wakeups, 1);
	}
	while (nc->nc_borrowed)
		cv_wait(&nc->nc_work_cv, &sc->sc_mtx);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_conn_release(nc);
	kthread_exit();
}

/* ---- the receiver -------------------------------------------------------- */

/* Where the receiver is in what it received. */
struct g_nbd_cursor {
	struct mbuf	*c_m;
	u_int		 c_off;
};

static const uint8_t *
g_nbd_at(const struct g_nbd_cursor *c, u_int *len)
{
	const struct mbuf *m = c->c_m;

	if (m == NULL) {
		*len = 0;
		return (NULL);
	}
	if ((m->m_flags & M_EXTPG) != 0)
		return (g_nbd_extpg_at(m, c->c_off, len));
	*len = m->m_len - c->c_off;
	return (mtod(m, const uint8_t *) + c->c_off);
}

static void
g_nbd_advance(struct g_nbd_cursor *c, u_int len)
{

	c->c_off += len;
	while (c->c_m != NULL && c->c_off == (u_int)c->c_m->m_len) {
		c->c_m = c->c_m->m_next;
		c->c_off = 0;
	}
}

static bool
g_nbd_amid_long(const struct g_nbd_conn *nc)
{

	return (nbe_rx_left(nc->nc_sc->sc_dev, nc->nc_index) >= G_NBD_LONG);
}

/*
 * Hand bytes to the engine until nc_rx_seg[] is full, all are used, or a long payload
 * goes on in the next mbuf.  The copies are made later, and the mbufs stay until then.
 * Behind the end of the chain there may still be a hole to name, which has no bytes.
 */
static u_int
g_nbd_parse(struct g_nbd_conn *nc, struct g_nbd_cursor *c)
{
	const uint8_t *at;
	size_t used;
	u_int n = 0, len;

	mtx_assert(&nc->nc_sc->sc_mtx, MA_OWNED);
	do {
		at = g_nbd_at(c, &len);
		n += nbe_rx_ahead(nc->nc_sc->sc_dev, nc->nc_index, at, len,
		    &nc->nc_rx_seg[n], G_NBD_RX_SEGS - n, &used);
		g_nbd_advance(c, used);
	} while (c->c_m != NULL && n < G_NBD_RX_SEGS && !g_nbd_amid_long(nc));
	return (n);
}

/* What there is of the payload that seg names; no lock.  How much that is. */
static uint64_t
g_nbd_take(struct g_nbd_cursor *c, const struct nbe_seg *seg)
{
	const struct bio *bp = seg->kind == NBE_SEG_SKIP ? NULL :
	    g_nbd_io_of(seg->req)->io_bio;
	struct g_nbd_cursor at = *c;
	const uint8_t *from;
	uint8_t *to = NULL;
	uint64_t left = seg->len;
	size_t room = 0;
	u_int n, piece;

	for (; left != 0 && at.c_m != NULL; left -= n, room -= n) {
		if (room == 0) {
			room = left;
			to = bp == NULL ? NULL :
			    g_nbd_bio_at(bp, seg->off + seg->len - left, &room);
		}
		from = g_nbd_at(&at, &piece);
		n = MIN(piece, room);
		if (to != NULL) {
			memcpy(to, from, n);
			to += n;
		}
		g_nbd_advance(&at, n);
	}
	*c = at;
	return (seg->len - left);
}

/* A long payload comes in many mbufs: its place is named once.  Enters and leaves with
 * the lock.  fresh: the clock has just been looked at.  As nbe_rx_end. */
static bool
g_nbd_go_on(struct g_nbd_conn *nc, struct g_nbd_cursor *c, bool fresh)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	uint64_t got, need;

	if (nbe_rx_begin(sc->sc_dev, nc->nc_index, nc->nc_rx_seg, G_NBD_RX_SEGS,
	    &need) == 0) {
		c->c_m = NULL;		/* the connection is given up */
		return (true);
	}
	mtx_unlock(&sc->sc_mtx);
	got = g_nbd_take(c, &nc->nc_rx_seg[0]);
	mtx_lock(&sc->sc_mtx);
	return (nbe_rx_end(sc->sc_dev, nc->nc_index, got, NBE_WHY_NONE,
	    fresh ? sc->sc_now : g_nbd_now(sc)));
}

/*
 * Enters and leaves with the lock.  A little is copied with it held, which is cheaper
 * than to take it twice, unless other receivers may wait for it.
 */
static void
g_nbd_fill(struct g_nbd_conn *nc, u_int nseg)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	bool unlock = sc->sc_conns > 1 ||
	    g_nbd_total(nc->nc_rx_seg, nseg) > G_NBD_COPY_LOCKED;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	if (nseg == 0)
		return;
	if (unlock)
		mtx_unlock(&sc->sc_mtx);
	g_nbd_from_segs(nc->nc_rx_seg, nseg);
	if (unlock)
		mtx_lock(&sc->sc_mtx);
}

/* Enters and leaves with the lock.  As nbe_rx_end; *full: more may be to parse. */
static bool
g_nbd_go_through(struct g_nbd_conn *nc, struct g_nbd_cursor *c, bool *full)
{
	u_int n;

	n = g_nbd_parse(nc, c);
	g_nbd_fill(nc, n);
	*full = n == G_NBD_RX_SEGS;
	return (nbe_rx_end(nc->nc_sc->sc_dev, nc->nc_index, 0, NBE_WHY_NONE,
	    g_nbd_now(nc->nc_sc)));
}

/* All of the chain goes to the engine and into the bios. */
static uint64_t
g_nbd_feed(struct g_nbd_conn *nc, struct mbuf *m)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct g_nbd_cursor c = { .c_m = m };
	struct nbe_req *done;
	uint64_t left;
	bool amid, ended, full;

	do {
		ended = full = false;
		mtx_lock(&sc->sc_mtx);
		amid = g_nbd_amid_long(nc);
		if (!amid)
			ended = g_nbd_go_through(nc, &c, &full);
		if (c.c_m != NULL && g_nbd_amid_long(nc))
			ended |= g_nbd_go_on(nc, &c, !amid);
		if (sc->sc_silent)
			g_nbd_heard(sc);
		done = ended ? g_nbd_turn(sc, sc->sc_now) : NULL;
		left = nbe_rx_left(sc->sc_dev, nc->nc_index);
		mtx_unlock(&sc->sc_mtx);
		g_nbd_complete(done);
	} while (c.c_m != NULL || full);
	if (left != 0)
		atomic_add_64(&g_nbd_read_truncs, 1);
	return (left);
}

/*
 * ktls(4) says of each record what it is.  Only data is the stream's: a KeyUpdate,
 * after which the kernel has no key to go on with, must not land in a bio.
 */
static int
g_nbd_check_record(struct mbuf *control)
{
	struct cmsghdr *c = mtod(control, void *);
	struct tls_get_record record;

	if (c->cmsg_level != IPPROTO_TCP || c->cmsg_type != TLS_GET_RECORD ||
	    c->cmsg_len != CMSG_LEN(sizeof(record)))
		return (EBADMSG);
	memcpy(&record, CMSG_DATA(c), sizeof(record));
	return (record.tls_type == TLS_RLTYPE_APP ? 0 : EBADMSG);
}

/* One record, without waiting.  NULL and 0: the end of the stream. */
static int
g_nbd_pull_record(struct g_nbd_conn *nc, struct uio *uio, struct mbuf **m)
{
	struct mbuf *control = NULL;
	int flags = MSG_DONTWAIT | MSG_TLSAPPDATA;	/* an alert is an error */
	int error;

	error = soreceive(nc->nc_so, NULL, uio, m, &control, &flags);
	if (error == 0 && control == NULL)
		return (*m == NULL ? 0 : EBADMSG);
	if (error == 0)
		error = g_nbd_check_record(control);
	if (error == 0 && *m == NULL)
		error = EWOULDBLOCK;		/* a record may be empty */
	m_freem(control);
	return (error == ENXIO ? EBADMSG : error);
}

/*
 * What there is, without waiting.  NULL and 0: the end of the stream.  With an error
 * there may be an mbuf, too.  MSG_SOCALLBCK, made for callers that TCP has called,
 * spares the question whether the peer is to be told of the room.
 */
static int
g_nbd_pull(struct g_nbd_conn *nc, struct mbuf **m)
{
	struct uio uio = {
		.uio_resid = INT_MAX,
		.uio_segflg = UIO_SYSSPACE,
		.uio_rw = UIO_READ,
	};
	int flags = MSG_DONTWAIT;

	atomic_add_64(&nc->nc_receives, 1);
	*m = NULL;
	if (nc->nc_tls_max != 0)
		return (g_nbd_pull_record(nc, &uio, m));
	if (nc->nc_little) {
		uio.uio_resid = nc->nc_so->so_rcv.sb_hiwat / G_NBD_LITTLE_PART;
		flags |= MSG_SOCALLBCK;
	}
	return (soreceive(nc->nc_so, NULL, &uio, m, NULL, &flags));
}

/* The engine learns of the end of a connection at the end of a receive. */
static void
g_nbd_receive_failed(struct g_nbd_conn *nc, enum nbe_why why)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct nbe_seg seg[2];
	struct nbe_req *done;
	nbe_time now;
	uint64_t need;

	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	if (nbe_rx_begin(sc->sc_dev, nc->nc_index, seg, nitems(seg), &need) != 0)
		nbe_rx_end(sc->sc_dev, nc->nc_index, 0, why, now);
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
}

static void
g_nbd_receiver(void *arg)
{
	struct g_nbd_conn *nc = arg;
	struct mbuf *m = NULL;
	uint64_t left = 0;
	int error = 0;

	g_nbd_thread_start(nc, 1);
	while (g_nbd_wait_data(nc, left)) {
		error = g_nbd_pull(nc, &m);
		if (error == EWOULDBLOCK) {	/* TLS has yet to open it */
			pause("nbdtls", 1);
			continue;
		}
		if (error != 0 || m == NULL)
			break;
		left = g_nbd_feed(nc, m);
		m_freem(m);
		m = NULL;
	}
	m_freem(m);
	g_nbd_receive_failed(nc, error == EBADMSG ? NBE_WHY_TLS_FAILED :
	    NBE_WHY_CLOSED);
	g_nbd_conn_release(nc);
	kthread_exit();
}

/* ---- taking sockets over ------------------------------------------------- */

/* 0: a kind of socket that we know how to use. */
static int
g_nbd_check_socket(const struct file *fp)
{
	const struct socket *so = fp->f_data;

	if (fp->f_type != DTYPE_SOCKET || so->so_type != SOCK_STREAM)
		return (ENOTSOCK);
	if (!G_NBD_LOCAL_SOCKETS && so->so_proto->pr_domain->dom_family == AF_LOCAL)
		return (EAFNOSUPPORT);
	return (0);
}

/*
 * The descriptor stays open, and is good for nothing but close(2).  Its type goes
 * too: socket calls look at that and at f_data only, not at f_ops.
 */
static int
g_nbd_steal_one(struct thread *td, int fd, struct socket **so)
{
	struct file *fp;
	cap_rights_t rights;
	int error;

	error = fget(td, fd, cap_rights_init_one(&rights, CAP_SOCK_CLIENT), &fp);
	if (error != 0)
		return (error);
	error = g_nbd_check_socket(fp);
	if (error != 0) {
		fdrop(fp, td);
		return (error);
	}
	*so = fp->f_data;
	finit(fp, 0, DTYPE_NONE, NULL, &badfileops);
	fdrop(fp, td);
	return (0);
}

/*
 * All or none of the sockets of thread tid, which waits in the ioctl that we
 * serve; its process is held all the same, for the number comes from outside.
 */
int
g_nbd_conn_steal(lwpid_t tid, const int *fds, u_int n, struct socket **so)
{
	struct thread *td;
	u_int i;
	int error = 0;

	td = tdfind(tid, -1);
	if (td == NULL)
		return (ESRCH);
	_PHOLD(td->td_proc);
	PROC_UNLOCK(td->td_proc);
	for (i = 0; i < n && error == 0; i++)
		error = g_nbd_steal_one(td, fds[i], &so[i]);
	PRELE(td->td_proc);
	if (error == 0)
		return (0);
	for (i--; i-- != 0;)
		g_nbd_socket_close(so[i], true);
	return (error);
}

/* ---- up ------------------------------------------------------------------ */

/*
 * Wait until the slot's former threads have left the module's text: from the point
 * where tdfind misses them, they run in the kernel's.
 */
static void
g_nbd_join(struct g_nbd_conn *nc)
{
	struct thread *td;
	u_int i;

	for (i = 0; i < nitems(nc->nc_tid); i++) {
		while (nc->nc_tid[i] != 0 &&
		    (td = tdfind(nc->nc_tid[i], -1)) != NULL) {
			PROC_UNLOCK(td->td_proc);
			pause("nbdjoin", 1);
		}
		nc->nc_tid[i] = 0;
	}
}

static struct g_nbd_conn *
g_nbd_conn_new(struct g_nbd_softc *sc, u_int index)
{
	struct g_nbd_conn *nc;

	nc = malloc(sizeof(*nc), M_GNBD, M_WAITOK | M_ZERO);
	nc->nc_sc = sc;
	nc->nc_index = index;
	cv_init(&nc->nc_work_cv, "nbdwork");
	cv_init(&nc->nc_room_cv, "nbdroom");
	cv_init(&nc->nc_data_cv, "nbddata");
	return (nc);
}

/* The free slot of the lowest number, to be filled under topology; NULL: none
 * below limit. */
static struct g_nbd_conn *
g_nbd_conn_slot(struct g_nbd_softc *sc, u_int limit)
{
	u_int i;

	g_topology_assert();
	for (i = 0; i < limit; i++) {
		if (sc->sc_conn[i] == NULL)
			sc->sc_conn[i] = g_nbd_conn_new(sc, i);
		if (sc->sc_conn[i]->nc_refs == 0)
			return (sc->sc_conn[i]);
	}
	return (NULL);
}

/* No slot below limit is free, and one is going to be. */
static bool
g_nbd_slot_leaves(struct g_nbd_softc *sc, u_int limit)
{
	bool leaves = false;
	u_int i;

	mtx_assert(&sc->sc_mtx, MA_OWNED);
	for (i = 0; i < limit; i++) {
		if (sc->sc_conn[i] == NULL || sc->sc_conn[i]->nc_refs == 0)
			return (false);
		leaves |= nbe_conn_is_leaving(sc->sc_dev, i);
	}
	return (leaves);
}

/* Slots that were given up finish their commands; that takes a moment.  All of GEOM
 * waits, too, so not for a slot that stays. */
static struct g_nbd_conn *
g_nbd_conn_wait_slot(struct g_nbd_softc *sc, u_int limit)
{
	u_int tries;

	mtx_lock(&sc->sc_mtx);
	for (tries = 0; tries < G_NBD_SLOT_SECONDS && g_nbd_slot_leaves(sc, limit);
	    tries++)
		(void)cv_timedwait(&sc->sc_gone_cv, &sc->sc_mtx, hz);
	mtx_unlock(&sc->sc_mtx);
	return (g_nbd_conn_slot(sc, limit));
}

/* Room for a batch, and the upcalls.  ENOPROTOOPT: TLS is not as was said. */
static int
g_nbd_socket_init(struct g_nbd_conn *nc)
{
	const u_long max = sb_max / (MSIZE + MCLBYTES) * MCLBYTES;
	struct socket *so = nc->nc_so;
	bool rx_tls;
	int error;

	error = soreserve(so, MIN(g_nbd_sendspace, max), MIN(g_nbd_recvspace, max));
	if (error != 0)
		return (error);
	SOCK_RECVBUF_LOCK(so);
	so->so_rcv.sb_flags |= SB_AUTOSIZE;
	rx_tls = so->so_rcv.sb_tls_info != NULL;
	SOCK_RECVBUF_UNLOCK(so);
	SOCK_SENDBUF_LOCK(so);
	so->so_snd.sb_flags |= SB_AUTOSIZE;
	nc->nc_tls_max = so->so_snd.sb_tls_info == NULL ? 0 :
	    so->so_snd.sb_tls_info->params.max_frame_len;
	nc->nc_tls_limited = so->so_snd.sb_tls_info != NULL &&
	    so->so_snd.sb_tls_info->params.cipher_algorithm ==
	    CRYPTO_AES_NIST_GCM_16;
	SOCK_SENDBUF_UNLOCK(so);
	if (rx_tls != nc->nc_sc->sc_tls || rx_tls != (nc->nc_tls_max != 0))
		return (ENOPROTOOPT);
	return (0);
}

static void
g_nbd_upcalls_set(struct g_nbd_conn *nc)
{
	struct socket *so = nc->nc_so;

	SOCK_RECVBUF_LOCK(so);
	soupcall_set(so, SO_RCV, g_nbd_data_upcall, nc);
	SOCK_RECVBUF_UNLOCK(so);
	SOCK_SENDBUF_LOCK(so);
	soupcall_set(so, SO_SND, g_nbd_room_upcall, nc);
	SOCK_SENDBUF_UNLOCK(so);
}

/* The device does not want it: say goodbye, as the protocol asks for. */
static void
g_nbd_refuse(struct socket *so, enum nbe_framing framing)
{
	uint8_t disc[32];
	struct iovec iov = { .iov_base = disc };
	struct uio uio = {
		.uio_iov = &iov,
		.uio_iovcnt = 1,
		.uio_segflg = UIO_SYSSPACE,
		.uio_rw = UIO_WRITE,
	};

	iov.iov_len = nbe_disc(disc, framing);
	uio.uio_resid = iov.iov_len;
	(void)sosend(so, NULL, &uio, NULL, NULL, MSG_DONTWAIT, curthread);
	g_nbd_socket_close(so, false);
}

/* A thread that cannot be made ends the connection; the other one, if there is
 * one, sees that. */
static int
g_nbd_conn_threads(struct g_nbd_conn *nc)
{
	static void (*const run[])(void *) = { g_nbd_sender, g_nbd_receiver };
	static const char *const name[] = { "send", "recv" };
	u_int i;
	int error = 0;

	for (i = 0; i < nitems(run) && error == 0; i++) {
		mtx_lock(&nc->nc_sc->sc_mtx);
		nc->nc_refs++;
		mtx_unlock(&nc->nc_sc->sc_mtx);
		error = kthread_add(run[i], nc, NULL, NULL, 0, 0, "nbd%u %s %u",
		    nc->nc_sc->sc_unit, name[i], nc->nc_index);
		if (error != 0)
			g_nbd_conn_release(nc);
	}
	if (error != 0)
		g_nbd_receive_failed(nc, NBE_WHY_STOPPED);
	return (error);
}

static enum nbe_why
g_nbd_conn_enter(struct g_nbd_conn *nc, u_int path, const struct nbe_export *exp)
{
	struct g_nbd_softc *sc = nc->nc_sc;
	struct nbe_req *done;
	enum nbe_why why;
	nbe_time now;

	mtx_lock(&sc->sc_mtx);
	now = g_nbd_now(sc);
	if (nbe_conn_path(sc->sc_dev, nc->nc_index) != path)
		why = NBE_WHY_OTHER_PATH;
	else
		why = nbe_conn_up(sc->sc_dev, nc->nc_index, exp, now);
	if (why == NBE_WHY_NONE) {
		g_nbd_path_is_up(sc, path);
		nc->nc_refs = 1;
		sc->sc_conns++;
		sc->sc_silent = sc->sc_dead = false;
	}
	done = g_nbd_turn(sc, now);
	mtx_unlock(&sc->sc_mtx);
	g_nbd_complete(done);
	return (why);
}

int
g_nbd_conn_up(struct g_nbd_softc *sc, struct socket *so, u_int path,
    const struct nbe_export *exp, u_int limit, enum nbe_why *why)
{
	struct g_nbd_conn *nc;
	int error;

	g_topology_assert();
	*why = NBE_WHY_NONE;
	nc = g_nbd_conn_wait_slot(sc, limit);
	if (nc == NULL) {
		g_nbd_refuse(so, exp->framing);
		return (EBUSY);
	}
	g_nbd_join(nc);
	nc->nc_so = so;
	error = g_nbd_socket_init(nc);
	if (error != 0) {
		g_nbd_socket_close(so, true);
		return (error);
	}
	g_nbd_upcalls_set(nc);
	*why = g_nbd_conn_enter(nc, path, exp);
	if (*why != NBE_WHY_NONE) {
		g_nbd_upcalls_clear(so);
		g_nbd_refuse(so, exp->framing);
		return (EINVAL);
	}
	error = g_nbd_conn_threads(nc);
	g_nbd_conn_release(nc);
	return (error);
}

/* After the last connection is gone. */
void
g_nbd_conn_free(struct g_nbd_softc *sc)
{
	struct g_nbd_conn *nc;
	u_int i;

	for (i = 0; i < sc->sc_conns_max; i++) {
		nc = sc->sc_conn[i];
		if (nc == NULL)
			continue;
		KASSERT(nc->nc_refs == 0, ("connection %u is in use", i));
		g_nbd_join(nc);
		cv_destroy(&nc->nc_work_cv);
		cv_destroy(&nc->nc_room_cv);
		cv_destroy(&nc->nc_data_cv);
		free(nc, M_GNBD);
		sc->sc_conn[i] = NULL;
	}
}
