/*
 * link_recv.c - one connection of a disk: what comes from the server.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>

#include "link_impl.h"

/* Above this mean payload a copy costs more than a system call per reply: only
 * the header is read ahead, the payload goes where it belongs. */
#define DIRECT_PAYLOAD	(16 * 1024)
#define HEADER_AHEAD	64

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

void
link_start_recv(struct link *l)
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
	enum nbe_why why = link_lost(l, -res);

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
	link_update_keys(l);
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

/* At least so many, whenever this process ends. */
static void
note_opened(const struct link *l)
{
	struct nbc_tls_records records;

	if (l->note == NULL)
		return;
	(void)nbc_tls_records(l->nbc.tls, &records);
	l->note->rx_records = records.rx;
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
	note_opened(l);
	if (n == 0)
		return;
	if (nbe_rx_begin(l->dev, l->conn, seg, 2, &need) != 0)
		nbe_rx_end(l->dev, l->conn, 0,
		    n == -2 ? link_lost(l, 0) : link_tls_lost(l), l->now(l->arg));
}

void
link_received(struct ring_op *op, int res, uint32_t flags)
{
	struct link *l = container_of(op, struct link, recv_op);

	(void)flags;
	l->receiving = false;
	if (pass_control(l, &res))
		link_start_recv(l);
	else if (res <= 0)
		recv_failed(l, res);
	else if (in_process_tls(l))
		received_sealed(l, (size_t)res);
	else
		received_plain(l, (size_t)res);
	if (res > 0)
		link_start_recv(l);
	link_finish(l);
}

