/*
 * link_send.c - one connection of a disk: what goes to the server.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <poll.h>

#include "link_impl.h"
#include "room.h"

/* So much is given to the socket at once, not by way of the ring: there the end of a
 * send is one more event to wake up for. */
#define SEND_NOW_MAX	(64 * 1024)

/* ---- for who comes after this process ------------------------------------------ */

/* False: nobody else can go on with it. */
static bool
note_session(const struct link *l)
{
	struct nbc_tls_records records;

	if (!nbc_tls_records(l->nbc.tls, &records))
		return false;
	l->note->tx_records = records.tx;
	return true;
}

/* Whole commands: if this process is killed meanwhile, nothing or all of it is out, and
 * behind either a command may follow. */
static void
note_begin(const struct link *l, size_t length)
{
	if (l->note == NULL)
		return;
	l->note->can_ask = l->tx_whole;
	l->note->giving = length;
}

/* With TLS one must know which of the two it was.  A command of several seals is not
 * whole in between. */
static void
note_sealed(const struct link *l)
{
	struct nbc_tls_records records;

	if (l->note == NULL)
		return;
	if (!l->tx_whole || l->given == 0 || !nbe_can_flush_last(l->dev, l->conn) ||
	    !nbc_tls_records(l->nbc.tls, &records)) {
		l->note->can_ask = 0;
		return;
	}
	l->note->next_tx_records = records.tx;
	l->note->giving = l->sealed_len;
}

/* In this order: at each step what was given has its number of records. */
static void
note_end(const struct link *l)
{
	if (l->note == NULL || l->sending)
		return;
	l->note->can_ask = nbe_can_flush_last(l->dev, l->conn) &&
	    (!in_process_tls(l) || note_session(l));
	l->note->given = l->given;
	l->note->giving = 0;
}

/* ---- a send --------------------------------------------------------------------- */

/* A list of buffers has none that is registered: payload in pages goes alone. */
static unsigned
before_pages(const struct nbe_seg *seg, unsigned n)
{
	unsigned i = 0;

	while (i < n && !in_pages(&seg[i]))
		i++;
	return i;
}

/* Their length. */
static size_t
to_iov(const struct link *l, const struct nbe_seg *seg, unsigned n, struct iovec *iov)
{
	size_t length = 0;

	for (unsigned i = 0; i < n; i++) {
		iov[i].iov_len = seg[i].len;
		length += seg[i].len;
		if (seg[i].kind == NBE_SEG_CORE)
			iov[i].iov_base = seg[i].base;
		else if (seg[i].kind == NBE_SEG_DATA)
			iov[i].iov_base = io_of(seg[i].req)->data + seg[i].off;
		else
			iov[i].iov_base = (void *)(uintptr_t)(l->keep + seg[i].off);
	}
	return length;
}

/*
 * Of several connections that have much to send one is served by this thread, and
 * those after it on another CPU, while this thread seals for the next one.  Alone, a
 * connection would only wait longer.
 */
static void
push(struct link *l, struct io_uring_sqe *sqe, size_t length)
{
	if (length >= LINK_PLAIN && *l->sends != 0 &&
	    (in_process_tls(l) || l->nbc.ktls))
		(void)ring_set_aside(l->ring, sqe);
	ring_bind(sqe, &l->send_op);
	l->sending = true;
	++*l->sends;
}

static void
push_plain(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	/* The kernel's TLS takes no MSG_WAITALL (EOPNOTSUPP). */
	io_uring_prep_sendmsg(sqe, l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | (l->nbc.ktls ? 0 : MSG_WAITALL));
	push(l, sqe, l->tx_length);
}

static bool
send_pages(struct link *l, const struct nbe_seg *seg)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	io_uring_prep_write_fixed(sqe, l->nbc.fd, pages_at(seg), seg->len, 0,
	    io_of(seg->req)->pages.buffer);
	push(l, sqe, seg->len);
	/* Behind its header, and as near as can be: see fits. */
	if (l->note != NULL)
		ring_submit(l->ring);
	return false;
}

static void
push_sealed(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);
	size_t length = l->sealed_len - l->sealed_pos;

	io_uring_prep_send(sqe, l->nbc.fd, l->sealed + l->sealed_pos, length,
	    MSG_NOSIGNAL | MSG_WAITALL);
	push(l, sqe, length);
}

/* What is sealed cannot be sealed once more: without it the stream ends.  The receive
 * side sees that, and the reason if there is one. */
static void
cut(const struct link *l)
{
	(void)shutdown(l->nbc.fd, SHUT_RDWR);
}

/* True: the socket took all, and may take more. */
static bool
send_sealed_now(struct link *l)
{
	ssize_t sent;

	sent = send(l->nbc.fd, l->sealed, l->sealed_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		cut(l);
		return false;
	}
	l->sealed_pos = sent > 0 ? (size_t)sent : 0;
	l->given += l->sealed_pos;
	if (l->sealed_pos < l->sealed_len) {
		push_sealed(l);
		return false;
	}
	note_end(l);		/* to seal more takes a while */
	return true;
}

/* Once sealed, the plain bytes of tx_iov are of no more use: they count as sent. */
static bool
seal(struct link *l, unsigned n)
{
	long taken = nbc_tls_seal(l->nbc.tls, l->tx_iov, n, l->sealed,
	    nbc_tls_sealed_max(LINK_PLAIN), &l->sealed_len);

	l->sealed_pos = 0;
	nbe_tx_end(l->dev, l->conn, taken < 0 ? 0 : (uint64_t)taken,
	    taken < 0 ? link_tls_lost(l) : NBE_WHY_NONE, l->now(l->arg));
	if (l->sealed_len == 0)
		return false;
	note_sealed(l);
	if (l->sealed_len <= SEND_NOW_MAX)
		return send_sealed_now(l);
	push_sealed(l);
	return false;
}

static bool
seal_pages(struct link *l, const struct nbe_seg *seg)
{
	size_t length = seg->len < LINK_PLAIN ? seg->len : LINK_PLAIN;

	if (!payload_get(io_of(seg->req), seg->off, l->plain, length)) {
		nbe_tx_end(l->dev, l->conn, 0, link_lost(l, EFAULT), l->now(l->arg));
		return false;
	}
	l->tx_iov[0] = (struct iovec){ l->plain, length };
	return seal(l, 1);
}

/* True: the socket took some, and may take more. */
static bool
send_now(struct link *l)
{
	ssize_t sent = sendmsg(l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | MSG_DONTWAIT | (l->tx_pages != 0 ? MSG_MORE : 0));

	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		push_plain(l);
		return false;
	}
	l->given += sent > 0 ? (uint64_t)sent : 0;
	nbe_tx_end(l->dev, l->conn, sent < 0 ? 0 : (uint64_t)sent,
	    sent < 0 ? link_lost(l, errno) : NBE_WHY_NONE, l->now(l->arg));
	return sent > 0;
}

static bool
send_plain(struct link *l)
{
	note_begin(l, l->tx_length + l->tx_pages);
	if (l->tx_length <= SEND_NOW_MAX)
		return send_now(l);
	push_plain(l);
	return false;
}

/* The socket is asked again when what it had must be used up. */
static bool
has_room(struct link *l, size_t length)
{
	size_t need = socket_need(length);

	if (l->room < need)
		l->room = socket_room(l->nbc.fd);
	if (l->room < need)
		return false;
	l->room -= need;
	return true;
}

/* The engine is asked once more when there is: it may have more to send by then. */
static void
await_room(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	nbe_tx_end(l->dev, l->conn, 0, NBE_WHY_NONE, l->now(l->arg));
	io_uring_prep_poll_add(sqe, l->nbc.fd, POLLOUT);
	push(l, sqe, 0);
	l->awaits_room = true;
}

static size_t
length_of(const struct nbe_seg *seg, unsigned n)
{
	size_t length = 0;

	for (unsigned i = 0; i < n; i++)
		length += seg[i].len;
	return length;
}

/*
 * Where somebody may come after this process, commands go out when there is room for
 * all of them: a process that is killed then leaves no half of one, of which the rest
 * would be missing.  (Payload in pages is a send of its own, behind its header; and
 * what TLS seals in several pieces takes a while.)  After a whole command, whole ones;
 * amid one that did not go in there is nothing to spoil.  False: not now.
 */
static bool
fits(struct link *l, const struct nbe_seg *seg, unsigned n, bool whole)
{
	bool has = false;

	if (l->note != NULL && !l->nbc.ktls && whole) {
		has = has_room(l, length_of(seg, n));
		if (!has && !l->awaited_room) {
			await_room(l);
			return false;
		}
	}
	l->awaited_room = false;
	l->tx_whole = has;
	return true;
}

/* False: nothing more can be sent for now. */
static bool
send_some(struct link *l)
{
	struct nbe_seg seg[LINK_TX_SEGS];
	bool whole = nbe_can_flush_last(l->dev, l->conn);
	unsigned all = nbe_tx_begin(l->dev, l->conn, seg, LINK_TX_SEGS, l->now(l->arg));
	unsigned n = before_pages(seg, all);

	if (all == 0 || !fits(l, seg, all, whole))
		return false;
	if (n == 0)
		return in_process_tls(l) ? seal_pages(l, seg) : send_pages(l, seg);
	l->tx_length = to_iov(l, seg, n, l->tx_iov);
	if (in_process_tls(l))
		return seal(l, n);
	l->tx_msg = (struct msghdr){ .msg_iov = l->tx_iov, .msg_iovlen = n };
	l->tx_pages = n < all ? seg[n].len : 0;
	return send_plain(l);
}

/* What the server asked for comes before all else. */
void
link_update_keys(struct link *l)
{
	if (l->sending || l->closing || l->nbc.keys == NULL ||
	    !nbc_ktls_owes_update(l->nbc.keys))
		return;
	if (!nbc_ktls_send_update(l->nbc.keys, l->nbc.fd))
		cut(l);
}

void
link_send(struct link *l)
{
	link_update_keys(l);
	while (!l->sending && !l->closing && send_some(l))
		;
	note_end(l);
}

static void
sealed_sent(struct link *l, int res)
{
	if (res <= 0) {
		cut(l);
		return;
	}
	l->sealed_pos += (size_t)res;
	l->given += (size_t)res;
	if (l->sealed_pos < l->sealed_len && !l->closing)
		push_sealed(l);
}

static void
plain_sent(struct link *l, int res)
{
	l->given += res > 0 ? (uint64_t)res : 0;
	nbe_tx_end(l->dev, l->conn, res < 0 ? 0 : (uint64_t)res,
	    res < 0 ? link_lost(l, -res) : NBE_WHY_NONE, l->now(l->arg));
}

void
link_sent(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, send_op);

	(void)flags;
	l->sending = false;
	--*l->sends;
	if (l->awaits_room)
		l->awaited_room = true;		/* of an error the next send tells */
	else if (in_process_tls(l))
		sealed_sent(l, res);
	else
		plain_sent(l, res);
	l->awaits_room = false;
	note_end(l);
	link_finish(l);
}
