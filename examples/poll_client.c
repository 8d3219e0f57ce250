/*
 * poll_client.c - an NBD client in one file: the engine, a socket, poll(2).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: poll_client SOCKET [EXPORT]
 *
 * Writes a MiB to the beginning of an export, flushes, reads it back and compares.  A
 * server that is lost meanwhile is dialed again.  docs/engine.md goes through it.
 */
#include <errno.h>
#include <nbe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LENGTH	(1u << 20)
#define SEGS	16

/* A request of the engine's, and its data.  req is first, so that one is the other. */
struct io {
	struct nbe_req	req;
	uint8_t		*data;
	bool		done;
};

static const char *path, *export_name;
static struct nbe_dev *dev;
static int fd;
static bool blocked, stopped;		/* the socket takes no more; all is over */

static nbe_time
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (nbe_time)t.tv_sec * NBE_SECOND + (nbe_time)t.tv_nsec;
}

/* ---- a connection ---- */

static bool
shake_hands(int s, struct nbe_hs *hs)
{
	struct nbe_hs_config config = {
		.name = export_name, .name_len = (uint32_t)strlen(export_name),
		.goal = NBE_GOAL_GO, .tls = NBE_TLS_OFF, .framing_max = NBE_EXTENDED,
	};

	nbe_hs_init(hs, &config);
	while (nbe_hs_state(hs) == NBE_HS_IO) {
		size_t len;
		const uint8_t *out = nbe_hs_send_buf(hs, &len);
		uint8_t *in = nbe_hs_recv_buf(hs, out != NULL ? &(size_t){ 0 } : &len);
		ssize_t n = out != NULL ? send(s, out, len, MSG_NOSIGNAL) :
		    recv(s, in, len, 0);

		if (n <= 0)
			nbe_hs_closed(hs);
		else if (out != NULL)
			nbe_hs_send_ack(hs, (size_t)n);
		else
			nbe_hs_recv_ack(hs, (size_t)n);
	}
	return nbe_hs_state(hs) == NBE_HS_DONE;
}

/* A socket behind its handshake; -1: there is none. */
static int
open_connection(struct nbe_export *e)
{
	static struct nbe_hs hs;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		perror(path);
	} else if (!shake_hands(s, &hs)) {
		fprintf(stderr, "%s: %s\n", path, nbe_why_text(nbe_hs_why(&hs)));
	} else {
		*e = *nbe_hs_export(&hs);
		return s;
	}
	close(s);
	return -1;
}

static void
reopen(void)
{
	struct nbe_export e;

	blocked = false;
	fd = open_connection(&e);
	if (fd < 0) {
		nbe_conn_down(dev, 0, NBE_WHY_CLOSED, now());
	} else if (nbe_conn_up(dev, 0, &e, now()) != NBE_WHY_NONE) {
		close(fd);		/* it contradicts the device */
		fd = -1;
	}
}

static void
hang_up(void)
{
	close(fd);
	fd = -1;
	nbe_conn_down(dev, 0, NBE_WHY_CLOSED, now());
}

/* ---- bytes ---- */

static uint8_t *
data_of(const struct nbe_seg *seg)
{
	return ((struct io *)seg->req)->data + seg->off;
}

static void
transmit(void)
{
	struct nbe_seg seg[SEGS];
	struct iovec iov[SEGS];
	unsigned count = nbe_tx_begin(dev, 0, seg, SEGS, now());
	ssize_t n;

	for (unsigned i = 0; i < count; i++)
		iov[i] = (struct iovec){ seg[i].kind == NBE_SEG_CORE ? seg[i].base :
		    data_of(&seg[i]), seg[i].len };
	n = sendmsg(fd, &(struct msghdr){ .msg_iov = iov, .msg_iovlen = count },
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	blocked = n < 0 && errno == EAGAIN;
	nbe_tx_end(dev, 0, n > 0 ? (uint64_t)n : 0,
	    n < 0 && !blocked ? NBE_WHY_CLOSED : NBE_WHY_NONE, now());
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
		for (unsigned i = 0; i < count; i++)
			if (seg[i].kind == NBE_SEG_ZERO)
				memset(data_of(&seg[i]), 0, seg[i].len);
			else
				memcpy(data_of(&seg[i]), seg[i].base, seg[i].len);
		nbe_rx_end(dev, 0, 0, n > 0 ? NBE_WHY_NONE : NBE_WHY_CLOSED, now());
		at += used;
	} while (count == SEGS);
}

/* ---- the loop ---- */

/* True: something was done, and more may come of it. */
static bool
work(void)
{
	struct nbe_work w;

	nbe_work(dev, &w, now());
	for (struct nbe_req *r = w.done; r != NULL; r = r->next)
		((struct io *)r)->done = true;
	stopped |= w.stopped;
	if (w.close != 0)
		hang_up();
	else if (w.open != 0)
		reopen();
	else if (w.tx != 0 && !blocked)
		transmit();
	else
		return w.done != NULL || w.stopped;
	return true;
}

static void
turn(void)
{
	struct pollfd p;
	nbe_time wake;
	int ms = -1;

	if (work())
		return;
	wake = nbe_wake(dev, now());
	if (wake != NBE_NEVER)
		ms = wake <= now() ? 0 : (int)((wake - now()) / 1000000) + 1;
	p = (struct pollfd){ .fd = fd,
	    .events = (short)(POLLIN | (blocked ? POLLOUT : 0)) };
	poll(&p, 1, ms);
	if ((p.revents & POLLOUT) != 0)
		blocked = false;
	if ((p.revents & ~POLLOUT) != 0)
		receive();
	nbe_tick(dev, now());
}

static bool
carry_out(enum nbe_op op, uint8_t *data, uint64_t length)
{
	struct io io = { .req = { .op = (uint8_t)op, .length = length }, .data = data };

	nbe_submit(dev, &io.req, now());
	while (!io.done)
		turn();
	return io.req.error == NBE_OK;
}

/* ---- the program ---- */

static bool
make_device(void)
{
	struct nbe_dev_config config = {
		.conns_max = 1, .conns = 1, .depth = 64, .timeout = NBE_NEVER,
		.dead_timeout = 30 * NBE_SECOND, .fence = 10 * NBE_SECOND,
		.backoff_min = NBE_SECOND / 10, .backoff_max = NBE_SECOND,
		.unflushed = NBE_UNFLUSHED_FAIL,
	};
	struct nbe_export e;

	fd = open_connection(&e);
	if (fd < 0)
		return false;
	printf("size %llu\n", (unsigned long long)e.size);
	dev = nbe_dev_init(aligned_alloc(16, (nbe_dev_size(&config) + 15) & ~15ul),
	    &config, &e, now());
	return nbe_conn_up(dev, 0, &e, now()) == NBE_WHY_NONE;
}

int
main(int argc, char **argv)
{
	static uint8_t out[LENGTH], in[LENGTH];
	bool ok;

	path = argc > 1 ? argv[1] : "";
	export_name = argc > 2 ? argv[2] : "";
	for (unsigned i = 0; i < LENGTH; i++)
		out[i] = (uint8_t)(i * 2654435761u >> 24);
	if (!make_device())
		return 1;
	ok = carry_out(NBE_WRITE, out, LENGTH) && carry_out(NBE_FLUSH, NULL, 0) &&
	    carry_out(NBE_READ, in, LENGTH) && memcmp(in, out, LENGTH) == 0;
	nbe_stop(dev, true, now());
	while (!stopped)
		turn();
	free(dev);
	printf(ok ? "written, flushed, read: the same\n" : "it failed\n");
	return !ok;
}
