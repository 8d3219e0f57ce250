/*
 * null_server.c - an NBD server that does nothing, as fast as it can.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: null_server unix PATH | tcp PORT [MIB [TLS-DIRECTORY [PACE-US EVERY]]]
 *
 * Stock servers hide the client: they are the bottleneck.  This one has a thread per
 * connection, takes all commands that a receive brings, and answers them in one
 * send.  Reads return a constant, writes are dropped.  Simple replies; advertises
 * FLUSH and CAN_MULTI_CONN.  Loopback only.
 *
 * With a pace it is a server that works: on one command of a connection after the
 * other, and each EVERYth takes PACE-US microseconds.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"
#include "wire.h"

#define BUF_SIZE	(256 * 1024)
#define READ_MAX	(1024 * 1024)
#define BATCH		512
#define FLAGS		(1u | 1u << 2 | 1u << 8)	/* HAS, FLUSH, MULTI_CONN */

struct session {
	struct stream stream;
	uint8_t	*buf;
	size_t	have;
	uint8_t	reply[BATCH][LEN_SIMPLE_REPLY];
	struct iovec iov[2 * BATCH];
	unsigned replies, iovs;
	uint64_t free_ns;	/* when it is done with what it has */
	unsigned commands;
};

static uint64_t size = 1024 * 1024 * 1024;
static uint8_t zeroes[READ_MAX];
static SSL_CTX *tls;		/* NULL: not offered */
static uint64_t pace_ns;	/* 0: it does not work */
static unsigned every;

/* ---- handshake ------------------------------------------------------------------ */

static bool
say(struct stream *s, uint32_t option, uint32_t reply, const void *data, uint32_t len)
{
	uint8_t b[LEN_OPTION_REPLY];
	struct iovec iov[] = { { b, sizeof(b) }, { (void *)(uintptr_t)data, len } };

	put32(put32(put32(put64(b, MAGIC_OPTION_REPLY), option), reply), len);
	return stream_send(s, iov, len != 0 ? 2 : 1);
}

static bool
say_export(struct stream *s, uint32_t option)
{
	uint8_t b[LEN_INFO_EXPORT];

	put16(put64(put16(b, INFO_EXPORT), size), FLAGS);
	return say(s, option, REP_INFO, b, sizeof(b)) &&
	    say(s, option, REP_ACK, NULL, 0);
}

static bool
start_tls(struct stream *s)
{
	return tls == NULL ? say(s, OPT_STARTTLS, REP_ERR_UNSUP, NULL, 0) :
	    say(s, OPT_STARTTLS, REP_ACK, NULL, 0) && stream_start_tls(s, tls, true);
}

/* True: transmission is next. */
static bool
haggle(struct stream *s)
{
	uint8_t b[4096], greeting[18];
	struct iovec iov = { greeting, sizeof(greeting) };

	put16(put64(put64(greeting, MAGIC_SERVER), MAGIC_OPTION), 3);
	if (!stream_send(s, &iov, 1) || !stream_recv_all(s, b, 4))
		return false;
	for (;;) {
		uint32_t option, len;
		bool ok;

		if (!stream_recv_all(s, b, LEN_OPTION))
			return false;
		option = get32(b + 8);
		len = get32(b + 12);
		if (len > sizeof(b) || (len != 0 && !stream_recv_all(s, b, len)))
			return false;
		if (option == OPT_GO)
			return say_export(s, option);
		ok = option == OPT_STARTTLS ? start_tls(s) :
		    option == OPT_INFO ? say_export(s, option) :
		    say(s, option, REP_ERR_UNSUP, NULL, 0);
		if (!ok || option == OPT_ABORT)
			return false;
	}
}

/* ---- transmission ------------------------------------------------------------- */

static bool
flush_replies(struct session *s)
{
	bool ok = s->iovs == 0 || stream_send(&s->stream, s->iov, s->iovs);

	s->replies = s->iovs = 0;
	return ok;
}

static void
answer(struct session *s, const uint8_t *request)
{
	uint8_t *b = s->reply[s->replies++];

	put32(put32(b, MAGIC_SIMPLE_REPLY), 0);
	memcpy(b + 8, request + 8, 8);
	s->iov[s->iovs++] = (struct iovec){ b, LEN_SIMPLE_REPLY };
	if (get16(request + 6) == CMD_READ)
		s->iov[s->iovs++] = (struct iovec){ zeroes, get32(request + 24) };
}

/* Drop what a write brings beyond the buffer. */
static bool
drop(struct session *s, size_t len)
{
	while (len != 0) {
		long n = stream_recv(&s->stream, s->buf,
		    len < BUF_SIZE ? len : BUF_SIZE);

		if (n <= 0)
			return false;
		len -= (size_t)n;
	}
	return true;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What it oversleeps is taken off the next one's time. */
static bool
work(struct session *s)
{
	uint64_t now = now_ns();
	struct timespec due;

	if (s->commands++ % every == 0) {
		s->free_ns = (now > s->free_ns + pace_ns ? now : s->free_ns) + pace_ns;
		due.tv_sec = (time_t)(s->free_ns / 1000000000);
		due.tv_nsec = (long)(s->free_ns % 1000000000);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	return flush_replies(s);
}

/* All commands in the buffer.  False: the end. */
static bool
commands(struct session *s)
{
	size_t at = 0;

	while (s->have - at >= LEN_REQUEST) {
		const uint8_t *p = s->buf + at;
		uint32_t len = get16(p + 6) == CMD_WRITE ? get32(p + 24) : 0;

		if (get32(p) != MAGIC_REQUEST || get16(p + 6) == CMD_DISC ||
		    get32(p + 24) > READ_MAX)
			return false;
		answer(s, p);
		at += LEN_REQUEST;
		if (len > s->have - at) {
			if (!drop(s, len - (s->have - at)))
				return false;
			at = s->have;
		} else {
			at += len;
		}
		if (pace_ns != 0 ? !work(s) :
		    s->replies == BATCH && !flush_replies(s))
			return false;
	}
	memmove(s->buf, s->buf + at, s->have - at);
	s->have -= at;
	return flush_replies(s);
}

static void *
serve(void *arg)
{
	struct session *s = arg;
	long n;

	s->buf = malloc(BUF_SIZE);
	if (s->buf != NULL && haggle(&s->stream))
		do {
			n = stream_recv(&s->stream, s->buf + s->have,
			    BUF_SIZE - s->have);
			s->have += n > 0 ? (size_t)n : 0;
		} while (n > 0 && commands(s));
	stream_close(&s->stream);
	free(s->buf);
	free(s);
	return NULL;
}

/* ---- sockets ------------------------------------------------------------------ */

static int
listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? fd : -1;
}

static int
listen_tcp(const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(port)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? fd : -1;
}

int
main(int argc, char **argv)
{
	int fd, one = 1;

	if (argc < 3) {
		fprintf(stderr, "usage: null_server unix PATH | tcp PORT "
		    "[MIB [TLS-DIRECTORY [PACE-US EVERY]]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc > 3)
		size = strtoull(argv[3], NULL, 0) << 20;
	if (argc > 4)
		tls = stream_tls_server(argv[4]);
	if (argc > 6) {
		pace_ns = strtoull(argv[5], NULL, 0) * 1000;
		every = (unsigned)atoi(argv[6]);
	}
	fd = strcmp(argv[1], "unix") == 0 ? listen_unix(argv[2]) : listen_tcp(argv[2]);
	if (fd < 0 || listen(fd, 64) < 0) {
		perror("null_server");
		return 1;
	}
	for (;;) {
		struct session *s = calloc(1, sizeof(*s));
		pthread_t thread;

		if (s == NULL || (s->stream.fd = accept(fd, NULL, NULL)) < 0)
			return 1;
		setsockopt(s->stream.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, NULL, serve, s) != 0)
			return 1;
		pthread_detach(thread);
	}
}
