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

/* With TLS who comes must know which of the two it was (disk_past.c).  A command that
 * is larger than any front's is not whole in between. */
static void
note_sealed(const struct link *l)
{
	struct nbc_tls_records records;

	if (l->note == NULL)
		return;
	if (!l->tx_whole || !nbe_can_flush_last(l->dev, l->conn) ||
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

/* Of a send. */
static void
count_given(struct link *l, long sent)
{
	if (sent > 0)
		l->given += (uint64_t)sent;
}

/* ---- a send --------------------------------------------------------------------- */

/* Of a batch what comes before payload in pages. */
static unsigned
before_pages(const struct nbe_seg *seg, unsigned n)
{
	unsigned i = 0;

	while (i < n && !in_pages(&seg[i]))
		i++;
	return i;
}

static size_t
length_of(const struct nbe_seg *seg, unsigned n)
{
	size_t length = 0;

	for (unsigned i = 0; i < n; i++)
		length += seg[i].len;
	return length;
}

static void
to_iov(const struct link *l, const struct nbe_seg *seg, unsigned n, struct iovec *iov)
{
	for (unsigned i = 0; i < n; i++) {
		iov[i].iov_len = seg[i].len;
		if (seg[i].kind == NBE_SEG_CORE)
			iov[i].iov_base = seg[i].base;
		else if (seg[i].kind == NBE_SEG_DATA)
			iov[i].iov_base = io_of(seg[i].req)->data + seg[i].off;
		else
			iov[i].iov_base = (void *)(uintptr_t)(l->keep + seg[i].off);
	}
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

/* What is sealed cannot be sealed once more: without it the stream ends.  The receive
 * side sees that, and the reason if there is one. */
static void
cut(const struct link *l)
{
	(void)shutdown(l->nbc.fd, SHUT_RDWR);
}

/* ---- a send: plain --------------------------------------------------------------- */

static void
push_plain(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	/* The kernel's TLS takes no MSG_WAITALL (EOPNOTSUPP). */
	io_uring_prep_sendmsg(sqe, l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | (l->nbc.ktls ? 0 : MSG_WAITALL));
	push(l, sqe, l->tx_length);
}

static void
push_pages(struct link *l, const struct nbe_seg *seg)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	io_uring_prep_write_fixed(sqe, l->nbc.fd, pages_at(seg), seg->len, 0,
	    io_of(seg->req)->pages.buffer);
	push(l, sqe, seg->len);
}

/*
 * What comes before payload in pages, and that, linked: a list of buffers has none that
 * is registered.  Nothing of this process's own is between the two, so it is not killed
 * there; where the first does not go in whole the second does not go.
 */
static void
push_with_pages(struct link *l, const struct nbe_seg *pages)
{
	struct io_uring_sqe *sqe;

	ring_reserve(l->ring, 2);
	sqe = ring_sqe(l->ring);
	io_uring_prep_sendmsg(sqe, l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | MSG_WAITALL | MSG_MORE);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
	ring_bind(sqe, &l->before_op);
	l->tx_before = l->tx_length;
	push_pages(l, pages);
}

/* True: the socket took some, and may take more. */
static bool
send_now(struct link *l)
{
	ssize_t sent = sendmsg(l->nbc.fd, &l->tx_msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		push_plain(l);
		return false;
	}
	count_given(l, sent);
	nbe_tx_end(l->dev, l->conn, sent < 0 ? 0 : (uint64_t)sent,
	    sent < 0 ? link_lost(l, errno) : NBE_WHY_NONE, l->now(l->arg));
	return sent > 0;
}

static bool
send_plain(struct link *l, const struct nbe_seg *seg, unsigned n)
{
	unsigned before = before_pages(seg, n);

	to_iov(l, seg, before, l->tx_iov);
	l->tx_msg = (struct msghdr){ .msg_iov = l->tx_iov, .msg_iovlen = before };
	l->tx_length = length_of(seg, before);
	l->tx_before = 0;
	note_begin(l, length_of(seg, n));
	if (before == n && l->tx_length <= SEND_NOW_MAX)
		return send_now(l);
	if (before == n)
		push_plain(l);
	else if (before != 0)
		push_with_pages(l, &seg[before]);
	else
		push_pages(l, seg);
	return false;
}

/* ---- a send: TLS in this process ------------------------------------------------- */

static void
push_sealed(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);
	size_t length = l->sealed_len - l->sealed_pos;

	io_uring_prep_send(sqe, l->nbc.fd, l->sealed + l->sealed_pos, length,
	    MSG_NOSIGNAL | MSG_WAITALL);
	push(l, sqe, length);
	/* Who comes takes it for sent, where nobody can tell (disk_past.c). */
	if (l->note != NULL)
		ring_submit(l->ring);
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
	count_given(l, sent);
	if (l->sealed_pos < l->sealed_len) {
		push_sealed(l);
		return false;
	}
	note_end(l);		/* to seal more takes a while */
	return true;
}

/* Plain bytes at a time. */
static size_t
seal_most(const struct link *l)
{
	return l->tx_whole ? LINK_WHOLE : LINK_PLAIN;
}

/* Once sealed, the plain bytes of tx_iov are of no more use: they count as sent. */
static bool
seal(struct link *l, unsigned n)
{
	long taken = nbc_tls_seal(l->nbc.tls, l->tx_iov, n, l->sealed,
	    nbc_tls_sealed_max(seal_most(l)), &l->sealed_len);

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

/* Payload in pages is copied to the end of where it is sealed to: what is sealed is
 * written from the beginning, and stays behind what is still to be sealed. */
static bool
copy_pages(struct link *l, const struct nbe_seg *seg, struct iovec *iov)
{
	size_t length = seg->len < seal_most(l) ? seg->len : seal_most(l);

	*iov = (struct iovec){
		l->sealed + nbc_tls_sealed_max(LINK_WHOLE) - length, length };
	return payload_get(io_of(seg->req), seg->off, iov->iov_base, length);
}

static bool
send_sealed(struct link *l, const struct nbe_seg *seg, unsigned n)
{
	unsigned before = before_pages(seg, n);

	to_iov(l, seg, before, l->tx_iov);
	if (before < n && !copy_pages(l, &seg[before], &l->tx_iov[before])) {
		nbe_tx_end(l->dev, l->conn, 0, link_lost(l, EFAULT), l->now(l->arg));
		return false;
	}
	return seal(l, n);
}

/* ---- how much at a time ---------------------------------------------------------- */

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

/*
 * Where somebody may come after this process, commands go out when there is room for
 * all of them: a process that is killed then leaves no half of one, of which the rest
 * would be missing.  After a whole command, whole ones; amid one that did not go in
 * there is nothing to spoil.  False: not now.
 */
static bool
fits(struct link *l, size_t length, bool whole)
{
	bool has = false;

	if (l->note != NULL && !l->nbc.ktls && whole) {
		has = has_room(l, length);
		if (!has && !l->awaited_room) {
			await_room(l);
			return false;
		}
	}
	l->awaited_room = false;
	l->tx_whole = has;
	return true;
}

/* Of a batch that begins with a header: it ends before the next one. */
static unsigned
first_command(const struct nbe_seg *seg, unsigned n)
{
	unsigned i = 1;

	while (i < n && seg[i].kind != NBE_SEG_CORE)
		i++;
	return i;
}

/* Whole commands that are sealed at a time: one, and more up to LINK_PLAIN or so. */
static unsigned
first_commands(const struct nbe_seg *seg, unsigned n)
{
	unsigned some = 0, more;
	size_t length = 0;

	do {
		more = first_command(seg + some, n - some);
		length += length_of(seg + some, more);
		if (some != 0 && length > LINK_WHOLE)
			break;
		some += more;
	} while (some < n && length < LINK_PLAIN);
	return some;
}

/* Of a batch what one send takes.  Of payload in pages one is the last; the kernel's
 * TLS takes that alone. */
static unsigned
at_a_time(const struct link *l, const struct nbe_seg *seg, unsigned n, bool whole)
{
	unsigned before;

	if (in_process_tls(l) && l->note != NULL && whole)
		n = first_commands(seg, n);
	before = before_pages(seg, n);
	if (before == n || (before != 0 && l->nbc.ktls))
		return before;
	return before + 1;
}

/* False: nothing more can be sent for now. */
static bool
send_some(struct link *l)
{
	struct nbe_seg seg[LINK_TX_SEGS];
	bool whole = nbe_can_flush_last(l->dev, l->conn);
	unsigned all = nbe_tx_begin(l->dev, l->conn, seg, LINK_TX_SEGS, l->now(l->arg));
	unsigned n;

	if (all == 0)
		return false;
	n = at_a_time(l, seg, all, whole);
	whole = whole && (n == all || !in_pages(&seg[n]));
	if (!fits(l, length_of(seg, n), whole))
		return false;
	return in_process_tls(l) ? send_sealed(l, seg, n) : send_plain(l, seg, n);
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
	count_given(l, res);
	if (l->sealed_pos < l->sealed_len && !l->closing)
		push_sealed(l);
}

static void
plain_sent(struct link *l, int res)
{
	uint64_t sent = res < 0 ? 0 : l->tx_before + (uint64_t)res;

	count_given(l, (long)sent);
	nbe_tx_end(l->dev, l->conn, sent, res < 0 ? link_lost(l, -res) : NBE_WHY_NONE,
	    l->now(l->arg));
}

static void
sent(struct link *l, int res)
{
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

void
link_sent(struct ring_op *op, int res, uint32_t flags)
{
	(void)flags;
	sent(container_of(op, struct link, send_op), res);
}

/* Linked pages are told of only if it went in whole, and it is told of only if not. */
void
link_sent_before(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, before_op);

	(void)flags;
	l->tx_before = 0;
	sent(l, res);
}
