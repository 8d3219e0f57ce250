/*
 * link.c - one connection of a disk: its socket on the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "pages.h"
#include "payload.h"
#include "taken.h"
#include "tls.h"

/* Above this mean payload a copy costs more than a system call per reply: only
 * the header is read ahead, the payload goes where it belongs. */
#define DIRECT_PAYLOAD	(16 * 1024)
#define HEADER_AHEAD	64
/* So much is given to the socket at once, not by way of the ring: there the end of a
 * send is one more event to wake up for. */
#define SEND_NOW_MAX	(64 * 1024)
/* Room for a batch in a UNIX socket: it has 208 KiB by itself, which the server empties
 * piece by piece, each with a wake-up of ours.  TCP finds its size better alone. */
#define UNIX_SEND_ROOM	(1024 * 1024)

/* A session in the kernel that has no more records left than this is made anew: more
 * than can be used up before it is asked again. */
#define RECORDS_LOW	(UINT64_C(1) << 22)
#define RECORDS_ASK	(5 * NBE_SECOND)

static void start_recv(struct link *);

static bool
in_process_tls(const struct link *l)
{
	return l->nbc.tls != NULL;
}

bool
link_quiet(const struct link *l)
{
	return !l->sending && !l->receiving && !l->cancelling;
}

static void
free_buffers(struct link *l)
{
	free(l->ahead);
	free(l->sealed);
	free(l->plain);
	l->ahead = l->sealed = l->plain = NULL;
}

/* ---- the end of it ------------------------------------------------------------- */

/* Its operations are back, so nobody uses the buffers. */
static void
finish(struct link *l)
{
	unsigned path = nbe_conn_path(l->dev, l->conn);
	int kept = -1;

	if (!l->closing || !link_quiet(l))
		return;
	l->closing = false;
	if (nbe_conn_in_order(l->dev, l->conn))
		nbc_end_in_order(l->nbc.fd);
	if (l->kept)
		kept = nbc_take_fd(&l->nbc);
	nbc_close(&l->nbc, false);	/* any other end is a reset */
	free_buffers(l);
	nbe_conn_down(l->dev, l->conn, NBE_WHY_CLOSED, l->now(l->arg));
	if (kept >= 0)
		overdue_keep(l->overdue, kept, path);
}

/* Best effort: by now the peer may not read any more. */
static void
say_goodbye(struct link *l)
{
	uint8_t buf[256];
	size_t len;

	if (l->nbc.ktls)
		nbc_ktls_shutdown(l->nbc.fd);
	if (!in_process_tls(l) || l->sending)
		return;
	nbc_tls_shutdown(l->nbc.tls);
	len = nbc_tls_output(l->nbc.tls, buf, sizeof(buf));
	if (len != 0)
		(void)send(l->nbc.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
cancelled(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, cancel_op);

	(void)res;
	(void)flags;
	l->cancelling = false;
	finish(l);
}

/* Nothing more goes out, what comes is for overdue; the receive has to end. */
static void
close_half(struct link *l)
{
	struct io_uring_sqe *sqe;

	(void)shutdown(l->nbc.fd, SHUT_WR);
	if (!l->receiving)
		return;
	sqe = ring_sqe(l->ring);
	io_uring_prep_cancel(sqe, &l->recv_op, 0);
	ring_bind(sqe, &l->cancel_op);
	l->cancelling = true;
}

/* What is in our own system would arrive at any time: only a reset ends that. */
static bool
may_keep(const struct link *l, enum nbe_why why)
{
	return why == NBE_WHY_TIMEOUT && !l->sending && all_taken(l->nbc.fd);
}

void
link_close(struct link *l)
{
	enum nbe_why why = nbe_conn_why(l->dev, l->conn);

	if (l->closing)
		return;
	l->closing = true;
	if (why != NBE_WHY_CLOSED && why != NBE_WHY_TLS_FAILED)
		snprintf(l->problem, sizeof(l->problem), "%s", nbe_why_text(why));
	l->kept = may_keep(l, why);
	if (l->kept) {
		close_half(l);
	} else {
		say_goodbye(l);
		(void)shutdown(l->nbc.fd, SHUT_RDWR);	/* ends what is in the ring */
	}
	finish(l);
}

/* What a socket's error means to the engine. */
static enum nbe_why
lost(struct link *l, int err)
{
	if (!l->closing)
		snprintf(l->problem, sizeof(l->problem), "%s",
		    err == 0 ? nbe_why_text(NBE_WHY_CLOSED) : strerror(err));
	return NBE_WHY_CLOSED;
}

static enum nbe_why
tls_lost(struct link *l)
{
	if (!l->closing)
		snprintf(l->problem, sizeof(l->problem), "TLS: %s",
		    nbc_tls_error(l->nbc.tls));
	return NBE_WHY_TLS_FAILED;
}

/* ---- sending -------------------------------------------------------------------- */

static struct disk_io *
io_of(struct nbe_req *r)
{
	return container_of(r, struct disk_io, req);
}

static bool
in_pages(const struct nbe_seg *seg)
{
	return seg->kind == NBE_SEG_DATA && payload_in_pages(io_of(seg->req));
}

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
push_plain(struct link *l, size_t length)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	/* The kernel's TLS takes no MSG_WAITALL (EOPNOTSUPP). */
	io_uring_prep_sendmsg(sqe, l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | (l->nbc.ktls ? 0 : MSG_WAITALL));
	push(l, sqe, length);
}

/* Where a part of it begins, for an operation with a registered buffer. */
static void *
pages_at(const struct nbe_seg *seg)
{
	return (void *)(uintptr_t)(io_of(seg->req)->pages.start + seg->off);
}

static bool
send_pages(struct link *l, const struct nbe_seg *seg)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	io_uring_prep_write_fixed(sqe, l->nbc.fd, pages_at(seg), seg->len, 0,
	    io_of(seg->req)->pages.buffer);
	push(l, sqe, seg->len);
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
	ssize_t sent = send(l->nbc.fd, l->sealed, l->sealed_len,
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		cut(l);
		return false;
	}
	l->sealed_pos = sent > 0 ? (size_t)sent : 0;
	if (l->sealed_pos == l->sealed_len)
		return true;
	push_sealed(l);
	return false;
}

/* Once sealed, the plain bytes of tx_iov are of no more use: they count as sent. */
static bool
seal(struct link *l, unsigned n)
{
	long taken = nbc_tls_seal(l->nbc.tls, l->tx_iov, n, l->sealed,
	    nbc_tls_sealed_max(LINK_PLAIN), &l->sealed_len);

	l->sealed_pos = 0;
	nbe_tx_end(l->dev, l->conn, taken < 0 ? 0 : (uint64_t)taken,
	    taken < 0 ? tls_lost(l) : NBE_WHY_NONE, l->now(l->arg));
	if (l->sealed_len == 0)
		return false;
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
		nbe_tx_end(l->dev, l->conn, 0, lost(l, EFAULT), l->now(l->arg));
		return false;
	}
	l->tx_iov[0] = (struct iovec){ l->plain, length };
	return seal(l, 1);
}

/* True: the socket took some, and may take more, which flags may tell. */
static bool
send_now(struct link *l, size_t length, int flags)
{
	ssize_t sent = sendmsg(l->nbc.fd, &l->tx_msg,
	    MSG_NOSIGNAL | MSG_DONTWAIT | flags);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		push_plain(l, length);
		return false;
	}
	nbe_tx_end(l->dev, l->conn, sent < 0 ? 0 : (uint64_t)sent,
	    sent < 0 ? lost(l, errno) : NBE_WHY_NONE, l->now(l->arg));
	return sent > 0;
}

/* False: nothing more can be sent for now. */
static bool
send_some(struct link *l)
{
	struct nbe_seg seg[LINK_TX_SEGS];
	unsigned all = nbe_tx_begin(l->dev, l->conn, seg, LINK_TX_SEGS, l->now(l->arg));
	unsigned n = before_pages(seg, all);
	size_t length;

	if (all == 0)
		return false;
	if (n == 0)
		return in_process_tls(l) ? seal_pages(l, seg) : send_pages(l, seg);
	length = to_iov(l, seg, n, l->tx_iov);
	if (in_process_tls(l))
		return seal(l, n);
	l->tx_msg = (struct msghdr){ .msg_iov = l->tx_iov, .msg_iovlen = n };
	if (length <= SEND_NOW_MAX)
		return send_now(l, length, n < all ? MSG_MORE : 0);
	push_plain(l, length);
	return false;
}

/* What the server asked for comes before all else. */
static void
update_keys(struct link *l)
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
	update_keys(l);
	while (!l->sending && !l->closing && send_some(l))
		;
}

static void
sealed_sent(struct link *l, int res)
{
	if (res <= 0) {
		cut(l);
		return;
	}
	l->sealed_pos += (size_t)res;
	if (l->sealed_pos < l->sealed_len && !l->closing)
		push_sealed(l);
}

static void
sent(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, send_op);

	(void)flags;
	l->sending = false;
	--*l->sends;
	if (in_process_tls(l))
		sealed_sent(l, res);
	else
		nbe_tx_end(l->dev, l->conn, res < 0 ? 0 : (uint64_t)res,
		    res < 0 ? lost(l, -res) : NBE_WHY_NONE, l->now(l->arg));
	finish(l);
}

/* ---- receiving ------------------------------------------------------------------- */

static void
copy(const struct nbe_seg *seg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct disk_io *io = io_of(seg[i].req);

		if (seg[i].kind == NBE_SEG_ZERO)
			payload_zero(io, seg[i].off, seg[i].len);
		else
			payload_put(io, seg[i].off, seg[i].base, seg[i].len);
	}
}

/* Bytes that were read ahead. */
static void
parse(struct link *l, const uint8_t *buf, size_t len)
{
	struct nbe_seg seg[LINK_RX_SEGS];
	size_t used;
	unsigned n;

	do {			/* all of it is used when seg[] was not full */
		n = nbe_rx_ahead(l->dev, l->conn, buf, len, seg, LINK_RX_SEGS, &used);
		copy(seg, n);
		nbe_rx_end(l->dev, l->conn, 0, NBE_WHY_NONE, l->now(l->arg));
		buf += used;
		len -= used;
	} while (n == LINK_RX_SEGS);
}

/* The payload that is under way, which begins a receive; false: a header is next. */
static bool
name_payload(struct link *l, struct nbe_seg *payload)
{
	struct nbe_seg seg[2];
	uint64_t need;

	l->rx_direct = 0;
	if (nbe_rx_left(l->dev, l->conn) == 0 ||
	    nbe_rx_begin(l->dev, l->conn, seg, 2, &need) == 0)
		return false;
	*payload = seg[0];
	if (seg[0].kind != NBE_SEG_DATA && seg[0].len > LINK_AHEAD / 2)
		payload->len = LINK_AHEAD / 2;
	return true;
}

/* Where it goes, if that is memory. */
static uint8_t *
room_for(const struct link *l, const struct nbe_seg *payload)
{
	if (payload->kind == NBE_SEG_DATA)
		return io_of(payload->req)->data + payload->off;
	return l->ahead;		/* nobody wants it */
}

static void
recv_ahead(struct link *l, struct io_uring_sqe *sqe, bool far)
{
	io_uring_prep_recv(sqe, l->nbc.fd, l->ahead, far ? LINK_AHEAD : HEADER_AHEAD,
	    0);
}

static void
recv_pages(const struct link *l, struct io_uring_sqe *sqe,
    const struct nbe_seg *payload)
{
	io_uring_prep_read_fixed(sqe, l->nbc.fd, pages_at(payload), payload->len, 0,
	    io_of(payload->req)->pages.buffer);
}

static void
recv_payload(struct link *l, struct io_uring_sqe *sqe, const struct nbe_seg *payload,
    bool small)
{
	l->rx_iov[0] = (struct iovec){ room_for(l, payload), payload->len };
	l->rx_iov[1].iov_base = l->ahead + LINK_AHEAD / 2;
	l->rx_iov[1].iov_len = small ? LINK_AHEAD / 2 : HEADER_AHEAD;
	l->rx_msg = (struct msghdr){ .msg_iov = l->rx_iov, .msg_iovlen = 2 };
	io_uring_prep_recvmsg(sqe, l->nbc.fd, &l->rx_msg, 0);
}

/* Payload for pages that are not registered is read ahead, and put there. */
static bool
name_room(struct link *l, struct nbe_seg *payload)
{
	if (!name_payload(l, payload))
		return false;
	if (!in_pages(payload) || io_of(payload->req)->pages.buffer >= 0)
		return true;
	nbe_rx_end(l->dev, l->conn, 0, NBE_WHY_NONE, l->now(l->arg));
	return false;
}

static void
start_recv_plain(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);
	bool small = nbe_rx_payload(l->dev, l->conn) < DIRECT_PAYLOAD;
	struct nbe_seg payload;

	if (!name_room(l, &payload)) {
		recv_ahead(l, sqe, small || nbe_rx_left(l->dev, l->conn) != 0);
	} else {
		l->rx_direct = payload.len;
		if (in_pages(&payload))
			recv_pages(l, sqe, &payload);
		else
			recv_payload(l, sqe, &payload, small);
	}
	ring_bind(sqe, &l->recv_op);
	l->receiving = true;
}

static void
start_recv_sealed(struct link *l)
{
	struct io_uring_sqe *sqe = ring_sqe(l->ring);

	io_uring_prep_recv(sqe, l->nbc.fd, l->ahead, LINK_AHEAD, 0);
	ring_bind(sqe, &l->recv_op);
	l->receiving = true;
}

static void
start_recv(struct link *l)
{
	if (l->closing || l->receiving)
		return;
	if (in_process_tls(l))
		start_recv_sealed(l);
	else
		start_recv_plain(l);
}

/* Zero, or an error, came instead of bytes. */
static void
recv_failed(struct link *l, int res)
{
	struct nbe_seg seg[2];
	uint64_t need;
	enum nbe_why why = lost(l, -res);

	/* The engine learns of it at the end of a receive, so there is to be one. */
	if (l->rx_direct == 0 &&
	    nbe_rx_begin(l->dev, l->conn, seg, 2, &need) == 0)
		return;
	nbe_rx_end(l->dev, l->conn, 0, why, l->now(l->arg));
}

/* The kernel's TLS gives no bytes of a record that is no data.  True: it may be gone on
 * from there. */
static bool
pass_control(struct link *l, int *res)
{
	enum nbc_ktls_next next;

	if (*res != -EIO || l->nbc.keys == NULL || l->closing)
		return false;
	next = nbc_ktls_read_control(l->nbc.keys, l->nbc.fd);
	if (next == NBC_KTLS_CLOSED)
		*res = 0;
	if (next != NBC_KTLS_GOES_ON)
		return false;
	if (l->rx_direct != 0)
		nbe_rx_end(l->dev, l->conn, 0, NBE_WHY_NONE, l->now(l->arg));
	update_keys(l);
	return true;
}

static void
received_plain(struct link *l, size_t len)
{
	size_t direct = len < l->rx_direct ? len : l->rx_direct;

	if (l->rx_direct != 0) {
		nbe_rx_end(l->dev, l->conn, direct, NBE_WHY_NONE, l->now(l->arg));
		if (len > direct)
			parse(l, l->ahead + LINK_AHEAD / 2, len - direct);
	} else {
		parse(l, l->ahead, len);
	}
}

static long
open_to_pages(struct link *l, const struct nbe_seg *payload)
{
	long n = nbc_tls_open(l->nbc.tls, l->plain,
	    payload->len < LINK_PLAIN ? payload->len : LINK_PLAIN);

	if (n > 0)
		payload_put(io_of(payload->req), payload->off, l->plain, (size_t)n);
	return n;
}

/* Straight into the request, if it is in memory, as far as the present payload goes. */
static long
open_direct(struct link *l)
{
	struct nbe_seg payload;
	long n;

	if (!name_payload(l, &payload))
		return 0;
	if (in_pages(&payload))
		n = open_to_pages(l, &payload);
	else
		n = nbc_tls_open(l->nbc.tls, room_for(l, &payload), payload.len);
	nbe_rx_end(l->dev, l->conn, n < 0 ? 0 : (uint64_t)n, NBE_WHY_NONE,
	    l->now(l->arg));
	return n;
}

static long
open_ahead(struct link *l)
{
	long n = nbc_tls_open(l->nbc.tls, l->plain, LINK_PLAIN);

	if (n > 0)
		parse(l, l->plain, (size_t)n);
	return n;
}

static void
received_sealed(struct link *l, size_t len)
{
	struct nbe_seg seg[2];
	uint64_t need;
	long n = nbc_tls_feed(l->nbc.tls, l->ahead, len) < 0 ? -1 : 1;

	while (n > 0) {
		bool large = nbe_rx_left(l->dev, l->conn) >= DIRECT_PAYLOAD;

		n = large ? open_direct(l) : open_ahead(l);
	}
	if (n == 0)
		return;
	if (nbe_rx_begin(l->dev, l->conn, seg, 2, &need) != 0)
		nbe_rx_end(l->dev, l->conn, 0,
		    n == -2 ? lost(l, 0) : tls_lost(l), l->now(l->arg));
}

static void
received(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, recv_op);

	(void)flags;
	l->receiving = false;
	if (pass_control(l, &res))
		start_recv(l);
	else if (res <= 0)
		recv_failed(l, res);
	else if (in_process_tls(l))
		received_sealed(l, (size_t)res);
	else
		received_plain(l, (size_t)res);
	if (res > 0)
		start_recv(l);
	finish(l);
}

/* ---- now and then ---------------------------------------------------------- */

void
link_tend(struct link *l)
{
	nbe_time t = l->now(l->arg);
	uint64_t taken;

	if (l->closing || l->nbc.fd < 0)
		return;
	if (bytes_taken(l->nbc.fd, &taken) && taken != l->taken) {
		l->taken = taken;
		nbe_moved(l->dev, l->conn, t);
	}
	if (!l->nbc.ktls || t < l->asked_limit_at + RECORDS_ASK)
		return;
	l->asked_limit_at = t;
	if (nbc_ktls_records_left(l->nbc.fd) < RECORDS_LOW)
		nbe_renew(l->dev, l->conn);
}

/* ---- up -------------------------------------------------------------------------- */

/* More than the system's limit is for root. */
static void
make_send_room(int fd)
{
	const int room = UNIX_SEND_ROOM;
	int domain;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    domain != AF_UNIX)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

bool
link_up(struct link *l, struct nbc_conn *nbc)
{
	bool tls = nbc->tls != NULL;

	l->ahead = pages_malloc(LINK_AHEAD);
	l->sealed = tls ? pages_malloc(nbc_tls_sealed_max(LINK_PLAIN)) : NULL;
	l->plain = tls ? pages_malloc(LINK_PLAIN) : NULL;
	if (l->ahead == NULL || (tls && (l->sealed == NULL || l->plain == NULL))) {
		free_buffers(l);
		return false;
	}
	l->nbc = *nbc;
	make_send_room(nbc->fd);
	l->send_op.done = sent;
	l->recv_op.done = received;
	l->cancel_op.done = cancelled;
	l->rx_direct = 0;
	l->asked_limit_at = l->now(l->arg);
	if (!bytes_taken(nbc->fd, &l->taken))
		l->taken = 0;
	l->problem[0] = '\0';
	start_recv(l);
	return true;
}
