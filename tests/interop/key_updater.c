/*
 * key_updater.c - TLS in front of an NBD server, with new keys again and again.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *	key_updater LISTEN SERVER CERTIFICATES BYTES [ask]
 *
 * LISTEN is a port of any address, or the path of a UNIX socket; SERVER is the path of
 * the socket of an NBD server without TLS.  It answers STARTTLS itself, with
 * server-cert.pem and server-key.pem of the directory CERTIFICATES, and passes on all
 * else.  Before it sends more than BYTES to a client with one key, it sends a KeyUpdate
 * of TLS 1.3 (RFC 8446, 4.6.3), and prints a line; with 0 bytes, never.  With "ask" it
 * asks the client for one, too.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "wire.h"

#define GREETING_LEN	18u
#define CLIENT_FLAGS_LEN 4u

struct flow {
	uint8_t	buf[65536];
	size_t	at, end;
};

struct proxy {
	int	client, server;
	SSL	*ssl;
	struct flow to_server, to_client;
	size_t	sent;		/* bytes with the present key */
	size_t	update_after;
	int	update_type;
};

static void
die(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* ---- sockets ------------------------------------------------------------- */

static struct sockaddr_un
unix_address(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	return un;
}

static int
listen_at(const char *where)
{
	struct sockaddr_un un = unix_address(where);
	struct sockaddr_in in = { .sin_family = AF_INET };
	bool is_unix = where[0] == '/';
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0), on = 1;

	in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in,
		is_unix ? sizeof un : sizeof in) != 0 || listen(fd, 16) != 0)
		die(where);
	return fd;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un un = unix_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&un, sizeof un) != 0)
		die(path);
	return fd;
}

static void
pass(int from, int to, size_t len)
{
	uint8_t buf[GREETING_LEN];

	if (recv(from, buf, len, MSG_WAITALL) != (ssize_t)len ||
	    send(to, buf, len, 0) != (ssize_t)len)
		exit(0);
}

/* ---- until TLS is there -------------------------------------------------- */

static void
start_tls(struct proxy *p, SSL_CTX *context)
{
	uint8_t option[LEN_OPTION], reply[LEN_OPTION_REPLY] = { 0 };

	pass(p->server, p->client, GREETING_LEN);
	pass(p->client, p->server, CLIENT_FLAGS_LEN);
	if (recv(p->client, option, sizeof option, MSG_WAITALL) != sizeof option ||
	    get32(option + 8) != OPT_STARTTLS || get32(option + 12) != 0)
		exit(0);
	put64(reply, MAGIC_OPTION_REPLY);
	put32(reply + 8, OPT_STARTTLS);
	put32(reply + 12, REP_ACK);
	if (send(p->client, reply, sizeof reply, 0) != sizeof reply)
		exit(0);
	p->ssl = SSL_new(context);
	SSL_set_fd(p->ssl, p->client);
	if (SSL_accept(p->ssl) != 1)
		die("TLS");
}

static SSL_CTX *
server_context(const char *certificates)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char path[1024];

	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	snprintf(path, sizeof path, "%s/server-cert.pem", certificates);
	if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
		die(path);
	snprintf(path, sizeof path, "%s/server-key.pem", certificates);
	if (SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1)
		die(path);
	return context;
}

/* ---- and then ------------------------------------------------------------ */

/* What SSL_read or SSL_write returned; true: it went on.  Ends with the session. */
static bool
went_on(const struct proxy *p, int n)
{
	int error = SSL_get_error(p->ssl, n);

	if (n <= 0 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		exit(0);
	return n > 0;
}

static bool
move_to_server(struct proxy *p)
{
	struct flow *f = &p->to_server;
	ssize_t n;
	int got;

	if (f->at < f->end) {
		n = send(p->server, f->buf + f->at, f->end - f->at,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		f->at += n > 0 ? (size_t)n : 0;
		return n > 0;
	}
	got = SSL_read(p->ssl, f->buf, sizeof f->buf);
	f->at = 0;
	f->end = got > 0 ? (size_t)got : 0;
	return went_on(p, got);
}

/* Only between two writes: a record that is half sent must be finished first. */
static void
update_keys(struct proxy *p)
{
	if (p->update_after == 0 || p->sent + p->to_client.end <= p->update_after)
		return;
	p->sent = 0;
	if (SSL_key_update(p->ssl, p->update_type) != 1)
		die("KeyUpdate");
	(void)went_on(p, SSL_do_handshake(p->ssl));
	printf("key update\n");
	fflush(stdout);
}

static bool
move_to_client(struct proxy *p)
{
	struct flow *f = &p->to_client;
	ssize_t n;
	int put;

	if (f->at < f->end) {
		put = SSL_write(p->ssl, f->buf + f->at, (int)(f->end - f->at));
		f->at += put > 0 ? (size_t)put : 0;
		p->sent += put > 0 ? (size_t)put : 0;
		return went_on(p, put);
	}
	n = recv(p->server, f->buf, sizeof f->buf, MSG_DONTWAIT);
	if (n == 0)
		exit(0);
	f->at = 0;
	f->end = n > 0 ? (size_t)n : 0;
	if (n > 0)
		update_keys(p);
	return n > 0;
}

static void
wait_for_more(const struct proxy *p)
{
	bool out = p->to_client.at < p->to_client.end;
	bool in = p->to_server.at == p->to_server.end;
	struct pollfd fds[] = {
		{ .fd = p->client, .events = (short)((in ? POLLIN : 0) |
		    (out ? POLLOUT : 0)) },
		{ .fd = p->server, .events = (short)((out ? 0 : POLLIN) |
		    (in ? 0 : POLLOUT)) },
	};

	(void)poll(fds, 2, -1);
}

static void
serve(int client, SSL_CTX *context, char **argv)
{
	static struct proxy p;
	int on = 1;

	p.client = client;
	p.server = connect_to(argv[2]);
	p.update_after = strtoul(argv[4], NULL, 10);
	p.update_type = argv[5] != NULL ? SSL_KEY_UPDATE_REQUESTED :
	    SSL_KEY_UPDATE_NOT_REQUESTED;
	start_tls(&p, context);
	if (ioctl(client, FIONBIO, &on) != 0)
		die("FIONBIO");
	for (;;) {
		bool moved = move_to_server(&p);

		if (!move_to_client(&p) && !moved)
			wait_for_more(&p);
	}
}

int
main(int argc, char **argv)
{
	SSL_CTX *context;
	int listener, client;

	if (argc != 5 && argc != 6)
		return 2;
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	context = server_context(argv[3]);
	listener = listen_at(argv[1]);
	while ((client = accept(listener, NULL, NULL)) >= 0) {
		if (fork() == 0)
			serve(client, context, argv);
		close(client);
	}
	return 1;
}
