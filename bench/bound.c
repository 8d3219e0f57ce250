/*
 * bound.c - the least work that an NBD client can do: the physical bound.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: bound unix PATH | tcp PORT  CONNS DEPTH BLOCK SECONDS r|w
 *
 * Sends and receives the same bytes as a client, in batches, and keeps no books: no
 * requests, no retries, no checks but the magic.  The null server answers in order.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define CONNS_MAX	32
#define DEPTH_MAX	256
#define AHEAD		(1024 * 1024)

struct conn {
	int	fd;
	uint8_t	*buf;
	size_t	have;
	unsigned in_flight;
};

static uint64_t size, random_state = 88172645463325252u, next_offset;
static uint32_t block;
static bool writes;
static uint8_t payload[1024 * 1024];

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
recv_all(int fd, void *p, size_t n)
{
	if (recv(fd, p, n, MSG_WAITALL) != (ssize_t)n)
		die("recv");
}

static void
send_all(int fd, struct iovec *iov, unsigned n)
{
	while (n != 0) {
		ssize_t sent = writev(fd, iov, (int)n);

		if (sent <= 0)
			die("send");
		for (; n != 0 && (size_t)sent >= iov->iov_len; iov++, n--)
			sent -= (ssize_t)iov->iov_len;
		if (n != 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
}

static int
dial(const char *family, const char *where)
{
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_unix = strcmp(family, "unix") == 0;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0), one = 1;

	snprintf(u.sun_path, sizeof(u.sun_path), "%s", where);
	in.sin_port = htons((uint16_t)atoi(where));
	if (connect(fd, is_unix ? (void *)&u : (void *)&in,
	    is_unix ? sizeof(u) : sizeof(in)) < 0)
		die(where);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* GO of the default export, nothing else. */
static void
go(int fd)
{
	uint8_t b[512], out[4 + LEN_OPTION + 6] = { 0 };
	struct iovec iov = { out, sizeof(out) };
	uint32_t reply;

	recv_all(fd, b, 18);
	put32(put32(put64(put32(out, 3), MAGIC_OPTION), OPT_GO), 6);
	send_all(fd, &iov, 1);
	do {
		uint32_t len;

		recv_all(fd, b, LEN_OPTION_REPLY);
		reply = get32(b + 12);
		len = get32(b + 16);
		if (len > sizeof(b) || REP_IS_ERROR(reply))
			die("GO");
		if (len != 0)
			recv_all(fd, b, len);
		if (reply == REP_INFO && get16(b) == INFO_EXPORT)
			size = get64(b + 2);
	} while (reply != REP_ACK);
}

static uint64_t
pick_offset(void)
{
	uint64_t blocks = size / block;

	if (block > 65536)
		return next_offset++ % blocks * block;
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % blocks * block;
}

static void
issue(struct conn *c, unsigned n)
{
	static uint8_t head[DEPTH_MAX][LEN_REQUEST];
	struct iovec iov[2 * DEPTH_MAX];
	unsigned iovs = 0;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *p = put16(put32(head[i], MAGIC_REQUEST), 0);

		p = put64(put16(p, writes ? CMD_WRITE : CMD_READ), i);
		put32(put64(p, pick_offset()), block);
		if (writes) {
			iov[iovs++] = (struct iovec){ head[i], LEN_REQUEST };
			iov[iovs++] = (struct iovec){ payload, block };
		}
	}
	if (!writes)
		iov[iovs++] = (struct iovec){ head, (size_t)n * LEN_REQUEST };
	send_all(c->fd, iov, iovs);
	c->in_flight += n;
}

/* Replies that are complete in the buffer. */
static unsigned
take(struct conn *c)
{
	size_t len = LEN_SIMPLE_REPLY + (writes ? 0 : block), at = 0;
	unsigned n = 0;

	for (; c->have - at >= len; at += len, n++)
		if (get32(c->buf + at) != MAGIC_SIMPLE_REPLY)
			die("reply");
	memmove(c->buf, c->buf + at, c->have - at);
	c->have -= at;
	c->in_flight -= n;
	return n;
}

static unsigned
receive(struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf + c->have, AHEAD + block - c->have, 0);

	if (n <= 0)
		die("recv");
	c->have += (size_t)n;
	return take(c);
}

static uint64_t
load(struct conn *conn, unsigned conns, unsigned depth, double seconds)
{
	struct pollfd ready[CONNS_MAX];
	double end = now() + seconds;
	uint64_t done = 0;
	bool more = true;
	unsigned live = conns;

	for (unsigned i = 0; i < conns; i++) {
		ready[i] = (struct pollfd){ .fd = conn[i].fd, .events = POLLIN };
		issue(&conn[i], depth);
	}
	while (live != 0) {
		if (conns > 1)
			(void)poll(ready, conns, -1);
		for (unsigned i = 0; i < conns; i++) {
			unsigned n;

			if (conns > 1 && ready[i].revents == 0)
				continue;
			n = receive(&conn[i]);
			done += n;
			if (more && n != 0)
				issue(&conn[i], n);
			if (!more && conn[i].in_flight == 0) {
				ready[i].fd = -1;
				live--;
			}
		}
		more = more && now() < end;
	}
	return done;
}

int
main(int argc, char **argv)
{
	struct conn conn[CONNS_MAX];
	struct rusage ru;
	unsigned conns, depth;
	double begin, cpu, seconds;
	uint64_t done;

	if (argc != 8) {
		fprintf(stderr, "usage: bound unix PATH | tcp PORT  CONNS DEPTH BLOCK "
		    "SECONDS r|w\n");
		return 2;
	}
	conns = (unsigned)atoi(argv[3]);
	depth = (unsigned)atoi(argv[4]);
	block = (uint32_t)atoi(argv[5]);
	writes = argv[7][0] == 'w';
	if (conns < 1 || conns > CONNS_MAX || depth < 1 || depth > DEPTH_MAX ||
	    block < 512 || block > sizeof(payload))
		return 2;
	for (unsigned i = 0; i < conns; i++) {
		conn[i] = (struct conn){ .fd = dial(argv[1], argv[2]),
		    .buf = malloc(AHEAD + block) };
		go(conn[i].fd);
	}
	begin = now();
	done = load(conn, conns, depth, atof(argv[6]));
	seconds = now() - begin;
	getrusage(RUSAGE_SELF, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    1e-6 * (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	printf("%llu I/Os, %.0f IOPS, %.3f CPU s per million\n",
	    (unsigned long long)done, (double)done / seconds, cpu / (double)done * 1e6);
	return 0;
}
