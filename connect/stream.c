/*
 * stream.c - bytes over a socket, in the clear or through a TLS session.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever the socket's later owners want, no call here waits in it: it is poll that
 * waits, for no longer than the limit allows.
 */
#include <errno.h>

#include "internal.h"

#define TLS_HEADER_LEN	5u
#define TLS_MAJOR_VERSION 3	/* of all versions, in the record's header */
#define TLS_RECORD_MAX	(TLS_HEADER_LEN + 16384u + 2048u)	/* RFC 5246, 6.2.3 */
#define GOODBYE_MS	1000

static int
poll_timeout(int64_t deadline_ms)
{
	int64_t left = deadline_ms - nbc_now_ms();

	if (left < 0)
		return 0;
	return left > 3600000 ? 3600000 : (int)left;
}

enum nbc_io
nbc_wait(int fd, short events, const struct nbc_limit *limit)
{
	/* poll passes over a descriptor of -1. */
	struct pollfd p[] = {
		{ .fd = fd, .events = events },
		{ .fd = limit->cancel_fd, .events = POLLIN },
	};

	for (;;) {
		int n = nbc_os_poll(p, 2, poll_timeout(limit->deadline_ms));

		if (n > 0 && p[1].revents != 0)
			return NBC_IO_CANCELLED;
		if (nbc_now_ms() >= limit->deadline_ms)
			return NBC_IO_TIMED_OUT;
		if (n > 0)
			return NBC_IO_OK;
	}
}

enum nbc_io
nbc_pause(int64_t ms, int cancel_fd)
{
	struct nbc_limit limit = { nbc_now_ms() + ms, cancel_fd };
	enum nbc_io io = nbc_wait(-1, 0, &limit);

	return io == NBC_IO_TIMED_OUT ? NBC_IO_OK : io;
}

static bool
would_block(void)
{
	return nbc_os_errno() == EAGAIN;
}

static enum nbc_io
send_plain(const struct nbc_stream *s, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = nbc_os_send(s->fd, buf, len);
		enum nbc_io io;

		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		} else if (n < 0 && !would_block()) {
			return NBC_IO_CLOSED;
		} else {
			io = nbc_wait(s->fd, POLLOUT, s->limit);
			if (io != NBC_IO_OK)
				return io;
		}
	}
	return NBC_IO_OK;
}

/* Waits even when bytes are there: a peer that never stops sending must not keep
 * us beyond the limit. */
static enum nbc_io
recv_plain(const struct nbc_stream *s, uint8_t *buf, size_t max, size_t *got)
{
	for (;;) {
		enum nbc_io io = nbc_wait(s->fd, POLLIN, s->limit);
		ssize_t n;

		if (io != NBC_IO_OK)
			return io;
		n = nbc_os_recv(s->fd, buf, max);
		if (n > 0) {
			*got = (size_t)n;
			return NBC_IO_OK;
		}
		if (n == 0 || !would_block())
			return NBC_IO_CLOSED;
	}
}

static enum nbc_io
recv_exactly(const struct nbc_stream *s, uint8_t *buf, size_t len)
{
	while (len > 0) {
		size_t got;
		enum nbc_io io = recv_plain(s, buf, len, &got);

		if (io != NBC_IO_OK)
			return io;
		buf += got;
		len -= got;
	}
	return NBC_IO_OK;
}

static enum nbc_io
send_tls_output(const struct nbc_stream *s)
{
	uint8_t buf[4096];
	size_t len;
	enum nbc_io io;

	while ((len = nbc_tls_output(s->tls, buf, sizeof buf)) > 0) {
		io = send_plain(s, buf, len);
		if (io != NBC_IO_OK)
			return io;
	}
	return NBC_IO_OK;
}

/* One record and no byte more: what follows may be for somebody else to read.  record
 * has room for one, and belongs to the session until that has read it. */
static enum nbc_io
feed_one_record(const struct nbc_stream *s, uint8_t *record)
{
	size_t len;
	enum nbc_io io;

	io = recv_exactly(s, record, TLS_HEADER_LEN);
	if (io != NBC_IO_OK)
		return io;
	len = TLS_HEADER_LEN + ((size_t)record[3] << 8 | record[4]);
	/* This cannot be a record; OpenSSL will say why when it sees the header. */
	if (record[1] != TLS_MAJOR_VERSION || len > TLS_RECORD_MAX)
		len = TLS_HEADER_LEN;
	io = recv_exactly(s, record + TLS_HEADER_LEN, len - TLS_HEADER_LEN);
	if (io != NBC_IO_OK)
		return io;
	return nbc_tls_feed(s->tls, record, len) == 0 ? NBC_IO_OK : NBC_IO_TLS_BROKEN;
}

enum nbc_io
nbc_stream_start_tls(struct nbc_stream *s)
{
	uint8_t record[TLS_RECORD_MAX];

	for (;;) {
		enum nbc_tls_step step = nbc_tls_handshake(s->tls);
		enum nbc_io io = send_tls_output(s);

		if (step == NBC_TLS_BROKEN)
			return NBC_IO_TLS_BROKEN;
		if (io == NBC_IO_OK && step == NBC_TLS_MORE)
			io = feed_one_record(s, record);
		if (io == NBC_IO_CLOSED) {
			nbc_tls_lost(s->tls);
			return NBC_IO_TLS_BROKEN;
		}
		if (io != NBC_IO_OK || step == NBC_TLS_UP)
			return io;
	}
}

static enum nbc_io
recv_tls(const struct nbc_stream *s, uint8_t *buf, size_t max, size_t *got)
{
	uint8_t record[TLS_RECORD_MAX];

	for (;;) {
		long n = nbc_tls_open(s->tls, buf, max);
		enum nbc_io io;

		if (n > 0) {
			*got = (size_t)n;
			return NBC_IO_OK;
		}
		if (n < 0)
			return n == -2 ? NBC_IO_CLOSED : NBC_IO_TLS_BROKEN;
		io = feed_one_record(s, record);
		if (io != NBC_IO_OK)
			return io;
	}
}

/* The peer hung up on us: an alert that came before says why. */
static enum nbc_io
read_last_words(const struct nbc_stream *s)
{
	uint8_t dropped[256];
	size_t got;
	enum nbc_io io;

	do {
		io = recv_tls(s, dropped, sizeof dropped, &got);
	} while (io == NBC_IO_OK);
	return io;
}

static enum nbc_io
send_tls(const struct nbc_stream *s, const uint8_t *buf, size_t len)
{
	uint8_t out[8192];
	enum nbc_io io;

	while (len > 0) {
		struct iovec iov = { (void *)(uintptr_t)buf, len };
		size_t out_len;
		long taken = nbc_tls_seal(s->tls, &iov, 1, out, sizeof out, &out_len);

		io = send_plain(s, out, out_len);
		if (taken < 0)
			return NBC_IO_TLS_BROKEN;
		if (io == NBC_IO_CLOSED)
			return read_last_words(s);
		if (io != NBC_IO_OK)
			return io;
		buf += taken;
		len -= (size_t)taken;
	}
	return NBC_IO_OK;
}

enum nbc_io
nbc_stream_send(struct nbc_stream *s, const uint8_t *buf, size_t len)
{
	return s->tls != NULL ? send_tls(s, buf, len) : send_plain(s, buf, len);
}

enum nbc_io
nbc_stream_recv(struct nbc_stream *s, uint8_t *buf, size_t max, size_t *got)
{
	return s->tls != NULL ? recv_tls(s, buf, max, got) :
	    recv_plain(s, buf, max, got);
}

void
nbc_stream_end_tls(struct nbc_stream *s)
{
	struct nbc_limit limit = { nbc_now_ms() + GOODBYE_MS, -1 };
	struct nbc_stream last = { s->fd, s->tls, &limit };

	nbc_tls_shutdown(s->tls);
	(void)send_tls_output(&last);
}
