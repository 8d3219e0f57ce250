/*
 * control_server.c - the daemon's side of control.h, on the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "control_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

#define CLIENTS_MAX	8
#define PATIENCE	(10 * NBE_SECOND)
#define CROWDED		(NBE_SECOND / 10)	/* how often to look who has left */

enum client_state { CLIENT_FREE, CLIENT_READS, CLIENT_ANSWER, CLIENT_SENDS };

struct control_client {
	struct ring_op		op;
	struct control_server	*server;
	enum client_state	state;
	int			fd;
	nbe_time		since;	/* of this state */
	struct control_request	request;
	struct control_reply	reply;
};

struct control_server {
	struct ring_op		accept_op;
	struct ring		*ring;
	control_handler		*handler;
	control_forget		*forget;
	void			*arg;
	int			sock;
	bool			accepting;
	nbe_time		accept_after;
	struct control_client	client[CLIENTS_MAX];
};

static void read_request(struct control_client *);

static void
hang_up(struct control_client *c)
{
	close(c->fd);
	c->fd = -1;
	c->state = CLIENT_FREE;
}

/* ---- one client -------------------------------------------------------------- */

static void
sent(struct ring_op *op, int res, uint32_t flags)
{
	struct control_client *c = container_of(op, struct control_client, op);

	(void)flags;
	if (res <= 0)
		hang_up(c);
	else
		read_request(c);
}

struct control_reply *
control_client_reply(struct control_client *c)
{
	return &c->reply;
}

void
control_answer(struct control_client *c, bool snapshot)
{
	struct io_uring_sqe *sqe = ring_sqe(c->server->ring);
	size_t size = snapshot ? sizeof(c->reply) : sizeof(c->reply.head);

	c->state = CLIENT_SENDS;
	c->since = clock_now();
	c->op.done = sent;
	io_uring_prep_send(sqe, c->fd, &c->reply, size, MSG_NOSIGNAL);
	ring_bind(sqe, &c->op);
}

static void
received(struct ring_op *op, int res, uint32_t flags)
{
	struct control_client *c = container_of(op, struct control_client, op);

	(void)flags;
	if (res != (int)sizeof(c->request)) {
		hang_up(c);
		return;
	}
	c->state = CLIENT_ANSWER;
	memset(&c->reply, 0, sizeof(c->reply));
	c->reply.head.version = CONTROL_VERSION;
	c->reply.head.status = CONTROL_OK;
	c->server->handler(c->server->arg, c, &c->request);
}

static void
read_request(struct control_client *c)
{
	struct io_uring_sqe *sqe = ring_sqe(c->server->ring);

	c->state = CLIENT_READS;
	c->since = clock_now();
	c->op.done = received;
	io_uring_prep_recv(sqe, c->fd, &c->request, sizeof(c->request), 0);
	ring_bind(sqe, &c->op);
}

/* ---- all of them ------------------------------------------------------------- */

static struct control_client *
free_client(struct control_server *s)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (s->client[i].state == CLIENT_FREE)
			return &s->client[i];
	return NULL;
}

/* Nobody tells of it, for nothing is read from who waits for an answer. */
static bool
has_left(const struct control_client *c)
{
	char byte;

	return c->state == CLIENT_ANSWER &&
	    recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void
make_room(struct control_server *s)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		if (!has_left(&s->client[i]))
			continue;
		s->forget(s->arg, &s->client[i]);
		hang_up(&s->client[i]);
	}
}

static bool
may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	    (peer.uid == 0 || peer.uid == geteuid());
}

static void
accepted(struct ring_op *op, int res, uint32_t flags)
{
	struct control_server *s = container_of(op, struct control_server, accept_op);
	struct control_client *c;

	(void)flags;
	s->accepting = false;
	if (res < 0) {		/* no descriptor is free: not again at once */
		s->accept_after = clock_now() + NBE_SECOND;
		return;
	}
	c = free_client(s);
	if (c == NULL || !may_ask(res)) {
		close(res);
		return;
	}
	c->server = s;
	c->fd = res;
	read_request(c);
}

static void
accept_next(struct control_server *s)
{
	struct io_uring_sqe *sqe = ring_sqe(s->ring);

	s->accepting = true;
	s->accept_op.done = accepted;
	io_uring_prep_accept(sqe, s->sock, NULL, NULL, SOCK_CLOEXEC);
	ring_bind(sqe, &s->accept_op);
}

/* Whoever is left outside waits in the socket's queue until somebody leaves. */
uint64_t
control_server_turn(struct control_server *s, nbe_time now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct control_client *c = &s->client[i];

		if (c->state != CLIENT_READS && c->state != CLIENT_SENDS)
			continue;
		if (now - c->since >= PATIENCE)
			(void)shutdown(c->fd, SHUT_RDWR);
		else if (c->since + PATIENCE - now < next)
			next = c->since + PATIENCE - now;
	}
	if (s->accepting)
		return next;
	if (free_client(s) == NULL)
		make_room(s);
	if (free_client(s) == NULL)
		return next < CROWDED ? next : CROWDED;
	if (now >= s->accept_after)
		accept_next(s);
	else if (s->accept_after - now < next)
		next = s->accept_after - now;
	return next;
}

static int
listen_at(const char *path, struct errtext *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (sock >= 0 &&
	    bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    chmod(path, 0600) == 0 && listen(sock, CLIENTS_MAX) == 0)
		return sock;
	errtext_set(err, "%s: %s", path, strerror(errno));
	if (sock >= 0)
		close(sock);
	return -1;
}

bool
control_server_start(struct control_server **out, struct ring *ring,
    const char *path, control_handler *handler, control_forget *forget, void *arg,
    struct errtext *err)
{
	struct control_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return errtext_set(err, "out of memory");
	s->ring = ring;
	s->handler = handler;
	s->forget = forget;
	s->arg = arg;
	s->sock = listen_at(path, err);
	if (s->sock < 0) {
		free(s);
		return false;
	}
	*out = s;
	return true;
}

void
control_server_free(struct control_server *s)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (s->client[i].state != CLIENT_FREE)
			hang_up(&s->client[i]);
	close(s->sock);
	free(s);
}
