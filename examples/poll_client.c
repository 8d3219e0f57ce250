/*
 * poll_client.c - an NBD client in one file: the engine, a socket, poll(2).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: poll_client SOCKET.  Writes a MiB to the beginning of the default export,
 * flushes, reads it back and compares.  A server that is lost is dialed again.
 */
#include <errno.h>
#include <nbe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LENGTH	(1u << 20)
#define SEGS	8

static struct sockaddr_un server = { .sun_family = AF_UNIX };
static struct nbe_hs hs;
static struct nbe_dev *dev;
static struct nbe_work w;
static uint8_t *data;			/* of the one request that is under way */
static int fd;

static nbe_time
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (nbe_time)t.tv_sec * NBE_SECOND + (nbe_time)t.tv_nsec;
}

static bool
shake_hands(void)
{
	struct nbe_hs_config config = { .name = "", .framing_max = NBE_EXTENDED };

	nbe_hs_init(&hs, &config);
	while (nbe_hs_state(&hs) == NBE_HS_IO) {
		size_t out_len, in_len;
		const uint8_t *out = nbe_hs_send_buf(&hs, &out_len);
		uint8_t *in = nbe_hs_recv_buf(&hs, &in_len);
		ssize_t n = out != NULL ? send(fd, out, out_len, MSG_NOSIGNAL) :
		    recv(fd, in, in_len, 0);

		if (n <= 0)
			nbe_hs_closed(&hs);
		else if (out != NULL)
			nbe_hs_send_ack(&hs, (size_t)n);
		else
			nbe_hs_recv_ack(&hs, (size_t)n);
	}
	return nbe_hs_state(&hs) == NBE_HS_DONE;
}

/* True: fd is a socket behind its handshake. */
static bool
dial(void)
{
	struct timeval patience = { .tv_sec = 10 };

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		perror(server.sun_path);
	else if (!shake_hands())
		fprintf(stderr, "no NBD: %s\n", nbe_why_text(nbe_hs_why(&hs)));
	else
		return true;
	return false;
}

static void
hang_up(void)
{
	close(fd);
	fd = -1;
}

/* Of what is to be sent, the first segment. */
static void
transmit(void)
{
	struct nbe_seg seg[2];
	ssize_t n;

	nbe_tx_begin(dev, 0, seg, 2, now());
	n = send(fd, seg->kind == NBE_SEG_CORE ? seg->base : data + seg->off, seg->len,
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	nbe_tx_end(dev, 0, n > 0 ? (uint64_t)n : 0,
	    n < 0 && errno != EAGAIN ? NBE_WHY_CLOSED : NBE_WHY_NONE, now());
}

/* What came is parsed where it lies; the engine names the copies to make. */
static void
receive(void)
{
	static uint8_t buf[65536];
	struct nbe_seg seg[SEGS];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	size_t at = 0, used;
	unsigned count;

	do {
		count = nbe_rx_ahead(dev, 0, buf + at, n > 0 ? (size_t)n - at : 0, seg,
		    SEGS, &used);
		for (struct nbe_seg *s = seg; s < seg + count; s++)
			if (s->kind == NBE_SEG_ZERO)
				memset(data + s->off, 0, s->len);
			else
				memcpy(data + s->off, s->base, s->len);
		at += used;
	} while (count == SEGS);
	nbe_rx_end(dev, 0, 0, n > 0 ? NBE_WHY_NONE : NBE_WHY_CLOSED, now());
}

/* Until the socket is ready, or the engine has something to do. */
static void
wait(void)
{
	struct pollfd p = { .fd = fd, .events = w.tx != 0 ? POLLIN | POLLOUT : POLLIN };
	nbe_time t = now(), wake = nbe_wake(dev, t);
	nbe_time ms = wake > t ? (wake - t) / 1000000 + 1 : 0;

	poll(&p, 1, ms < 1000 ? (int)ms : 1000);
	if ((p.revents & POLLOUT) != 0)
		transmit();
	if ((p.revents & ~POLLOUT) != 0)
		receive();
	nbe_tick(dev, now());
}

/* One round: asks the engine what is to be done, and does it. */
static void
turn(void)
{
	nbe_work(dev, &w, now());
	if (w.close != 0 || (w.open != 0 && !dial())) {
		hang_up();
		nbe_conn_down(dev, 0, NBE_WHY_CLOSED, now());
	} else if (w.open != 0) {
		if (nbe_conn_up(dev, 0, nbe_hs_export(&hs), now()) != NBE_WHY_NONE)
			hang_up();		/* it contradicts the device */
	} else if (w.done == NULL && !w.stopped) {
		wait();
	}
}

static bool
carry_out(enum nbe_op op, uint8_t *bytes, uint64_t length)
{
	struct nbe_req req = { .op = (uint8_t)op, .length = length };

	data = bytes;
	nbe_submit(dev, &req, now());
	do
		turn();
	while (w.done == NULL);
	return req.error == NBE_OK;
}

int
main(int argc, char **argv)
{
	static uint8_t out[LENGTH], in[LENGTH];
	struct nbe_dev_config config = {
		.conns_max = 1, .conns = 1, .depth = 64, .timeout = 30 * NBE_SECOND,
		.dead_timeout = 120 * NBE_SECOND, .fence = 10 * NBE_SECOND,
		.backoff_min = NBE_SECOND / 10, .backoff_max = NBE_SECOND,
	};
	const struct nbe_export *export;
	bool ok;

	strncpy(server.sun_path, argc > 1 ? argv[1] : "", sizeof(server.sun_path) - 1);
	for (unsigned i = 0; i < LENGTH; i++)
		out[i] = (uint8_t)(i * 2654435761u >> 24);
	if (!dial())
		return 1;
	export = nbe_hs_export(&hs);
	printf("size %llu\n", (unsigned long long)export->size);
	dev = nbe_dev_init(malloc(nbe_dev_size(&config)), &config, export, now());
	ok = nbe_conn_up(dev, 0, export, now()) == NBE_WHY_NONE &&
	    carry_out(NBE_WRITE, out, LENGTH) && carry_out(NBE_FLUSH, NULL, 0) &&
	    carry_out(NBE_READ, in, LENGTH) && memcmp(in, out, LENGTH) == 0;
	nbe_stop(dev, true, now());
	do
		turn();
	while (!w.stopped);
	printf(ok ? "written, flushed, read: the same\n" : "it failed\n");
	return !ok;
}
