/*
 * nbd_link.c - one connection of an NBD device: its socket, its TLS session.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nbd_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "tls.h"

#include <mstcpip.h>

#define TX_SEGS		64
#define RX_SEGS		64
#define AHEAD		(128u * 1024)
#define SEALED_PLAIN	(128u * 1024)	/* plain bytes sealed at a time */
#define DIRECT		(16u * 1024)	/* payload of this size is not read ahead */
#define ROUNDS		16		/* receives before others get their turn */

static struct nbd_io *
io_of(struct nbe_req *r)
{
	return (struct nbd_io *)(void *)((char *)r - offsetof(struct nbd_io, req));
}

bool
nbd_link_up(struct nbd_link *l, struct nbc_conn *nbc)
{
	bool tls = nbc->tls != NULL;

	l->ahead = malloc(AHEAD);
	l->raw = tls ? malloc(AHEAD) : NULL;
	l->sealed = tls ? malloc(nbc_tls_sealed_max(SEALED_PLAIN)) : NULL;
	if (l->ahead == NULL || (tls && (l->raw == NULL || l->sealed == NULL))) {
		free(l->ahead);
		free(l->raw);
		free(l->sealed);
		return false;
	}
	l->nbc = *nbc;
	l->blocked = false;
	l->acknowledged = 0;
	l->sealed_len = l->sealed_pos = 0;
	l->problem[0] = '\0';
	return true;
}

/* Windows 10 version 1703 tells; what tells nothing, as Wine, leaves it to the
 * answers. */
void
nbd_link_progress(struct nbd_link *l, nbe_time now)
{
	TCP_INFO_v0 info;
	DWORD version = 0, got;

	if (l->nbc.fd < 0 || WSAIoctl((SOCKET)l->nbc.fd, SIO_TCP_INFO, &version,
	    sizeof(version), &info, sizeof(info), &got, NULL, NULL) != 0)
		return;
	if (info.BytesOut - info.BytesInFlight == l->acknowledged)
		return;
	l->acknowledged = info.BytesOut - info.BytesInFlight;
	nbe_moved(l->dev, l->conn, now);
}

void
nbd_link_close(struct nbd_link *l, bool polite)
{
	nbc_close(&l->nbc, polite);
	free(l->ahead);
	free(l->raw);
	free(l->sealed);
	l->ahead = l->raw = l->sealed = NULL;
}

static enum nbe_why
lost(struct nbd_link *l, const char *text)
{
	if (l->problem[0] == '\0')
		snprintf(l->problem, sizeof(l->problem), "%s", text);
	return NBE_WHY_CLOSED;
}

static enum nbe_why
tls_lost(struct nbd_link *l)
{
	if (l->problem[0] == '\0')
		snprintf(l->problem, sizeof(l->problem), "TLS: %s",
		    nbc_tls_error(l->nbc.tls));
	return NBE_WHY_TLS_FAILED;
}

/* ---- sending ------------------------------------------------------------- */

/* No segment is of the keep buffer: the disk does not replay. */
static void
to_iov(const struct nbe_seg *seg, unsigned n, struct iovec *iov)
{
	for (unsigned i = 0; i < n; i++) {
		iov[i].iov_len = seg[i].len;
		iov[i].iov_base = seg[i].kind == NBE_SEG_CORE ? seg[i].base :
		    io_of(seg[i].req)->data + seg[i].off;
	}
}

static void
send_plain(struct nbd_link *l, const struct iovec *iov, unsigned n, nbe_time now)
{
	WSABUF buf[TX_SEGS];
	DWORD sent = 0;
	enum nbe_why why = NBE_WHY_NONE;

	for (unsigned i = 0; i < n; i++)
		buf[i] = (WSABUF){ (ULONG)iov[i].iov_len, iov[i].iov_base };
	if (WSASend((SOCKET)l->nbc.fd, buf, n, &sent, 0, NULL, NULL) != 0) {
		sent = 0;
		l->blocked = nbc_os_errno() == EAGAIN;
		if (!l->blocked)
			why = lost(l, strerror(nbc_os_errno()));
	}
	nbe_tx_end(l->dev, l->conn, sent, why, now);
}

/* Sealed bytes that are left; false: the socket takes no more.  Its loss is noticed by
 * receiving. */
static bool
flush_sealed(struct nbd_link *l)
{
	while (l->sealed_pos < l->sealed_len) {
		ssize_t n = nbc_os_send(l->nbc.fd, l->sealed + l->sealed_pos,
		    l->sealed_len - l->sealed_pos);

		if (n <= 0) {
			l->blocked = nbc_os_errno() == EAGAIN;
			return false;
		}
		l->sealed_pos += (size_t)n;
	}
	return true;
}

/* Once sealed, plain bytes are of no more use: they count as sent. */
static void
send_sealed(struct nbd_link *l, const struct iovec *iov, unsigned n, nbe_time now)
{
	long taken = nbc_tls_seal(l->nbc.tls, iov, n, l->sealed,
	    nbc_tls_sealed_max(SEALED_PLAIN), &l->sealed_len);

	l->sealed_pos = 0;
	nbe_tx_end(l->dev, l->conn, taken < 0 ? 0 : (uint64_t)taken,
	    taken < 0 ? tls_lost(l) : NBE_WHY_NONE, now);
	(void)flush_sealed(l);
}

void
nbd_link_send(struct nbd_link *l, nbe_time now)
{
	struct nbe_seg seg[TX_SEGS];
	struct iovec iov[TX_SEGS];
	unsigned n;

	if (l->blocked || !flush_sealed(l))
		return;
	n = nbe_tx_begin(l->dev, l->conn, seg, TX_SEGS, now);
	if (n == 0)
		return;
	to_iov(seg, n, iov);
	if (l->nbc.tls != NULL)
		send_sealed(l, iov, n, now);
	else
		send_plain(l, iov, n, now);
}

/* ---- receiving ----------------------------------------------------------- */

#define PULL_NOTHING	0
#define PULL_LOST	(-1)
#define PULL_TLS_LOST	(-2)

static long
pull_raw(struct nbd_link *l, uint8_t *buf, size_t size)
{
	ssize_t n = nbc_os_recv(l->nbc.fd, buf, size);

	if (n > 0)
		return (long)n;
	if (n == 0)
		(void)lost(l, nbe_why_text(NBE_WHY_CLOSED));
	else if (nbc_os_errno() == EAGAIN)
		return PULL_NOTHING;
	else
		(void)lost(l, strerror(nbc_os_errno()));
	return PULL_LOST;
}

static long
pull_sealed(struct nbd_link *l, uint8_t *buf, size_t size)
{
	for (;;) {
		long n = nbc_tls_open(l->nbc.tls, buf, size);

		if (n > 0)
			return n;
		if (n == -2)
			(void)lost(l, "the server ended the TLS session");
		if (n < 0)
			return n == -2 ? PULL_LOST : PULL_TLS_LOST;
		n = pull_raw(l, l->raw, AHEAD);
		if (n <= 0)
			return n;
		if (nbc_tls_feed(l->nbc.tls, l->raw, (size_t)n) != 0)
			return PULL_TLS_LOST;
	}
}

/* Up to size plain bytes of the stream, as many as there are. */
static long
pull(struct nbd_link *l, uint8_t *buf, size_t size)
{
	return l->nbc.tls != NULL ? pull_sealed(l, buf, size) :
	    pull_raw(l, buf, size);
}

static void
place(const struct nbe_seg *seg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t *to = io_of(seg[i].req)->data + seg[i].off;

		if (seg[i].kind == NBE_SEG_ZERO)
			memset(to, 0, seg[i].len);
		else
			memcpy(to, seg[i].base, seg[i].len);
	}
}

static void
parse(struct nbd_link *l, size_t len, nbe_time now)
{
	struct nbe_seg seg[RX_SEGS];
	const uint8_t *at = l->ahead;
	size_t used;
	unsigned n;

	do {
		n = nbe_rx_ahead(l->dev, l->conn, at, len, seg, RX_SEGS, &used);
		place(seg, n);
		nbe_rx_end(l->dev, l->conn, 0, NBE_WHY_NONE, now);
		at += used;
		len -= used;
	} while (n == RX_SEGS);
}

/* Payload, straight to where it belongs. */
static long
receive_direct(struct nbd_link *l, nbe_time now)
{
	struct nbe_seg seg[2];
	uint64_t need;
	long n;

	if (nbe_rx_begin(l->dev, l->conn, seg, 2, &need) == 0)
		return PULL_NOTHING;
	if (seg[0].kind == NBE_SEG_DATA)
		n = pull(l, io_of(seg[0].req)->data + seg[0].off, seg[0].len);
	else
		n = pull(l, l->ahead, seg[0].len < AHEAD ? seg[0].len : AHEAD);
	nbe_rx_end(l->dev, l->conn, n > 0 ? (uint64_t)n : 0, NBE_WHY_NONE, now);
	return n;
}

static long
receive_ahead(struct nbd_link *l, nbe_time now)
{
	long n = pull(l, l->ahead, AHEAD);

	if (n > 0)
		parse(l, (size_t)n, now);
	return n;
}

static void
receive_failed(struct nbd_link *l, long result, nbe_time now)
{
	struct nbe_seg seg[2];
	uint64_t need;

	/* The engine learns of it at the end of a receive, so there is to be one. */
	if (nbe_rx_begin(l->dev, l->conn, seg, 2, &need) != 0)
		nbe_rx_end(l->dev, l->conn, 0, result == PULL_TLS_LOST ?
		    tls_lost(l) : NBE_WHY_CLOSED, now);
}

void
nbd_link_receive(struct nbd_link *l, nbe_time now)
{
	long n = 1;

	/* TLS may hold opened bytes that no poll would tell of: it goes on to the
	 * end of what came. */
	for (unsigned i = 0; n > 0 && (i < ROUNDS || l->nbc.tls != NULL); i++)
		n = nbe_rx_left(l->dev, l->conn) >= DIRECT ?
		    receive_direct(l, now) : receive_ahead(l, now);
	if (n < 0)
		receive_failed(l, n, now);
}
