/*
 * kept.c - descriptors that outlive the daemon which opened them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "kept.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd_message.h"

#define PATIENCE_S	5
/* A message without a session, of other versions, too. */
#define SHORT		offsetof(struct kept_message, session)
#define BACKLOG		8

void
kept_init(struct kept *k)
{
	k->fuse = k->memory = -1;
	k->memory_max = UINT64_MAX;
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++)
		k->conn[i] = (struct kept_conn){ .fd = -1 };
}

static void
drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
kept_close(struct kept *k)
{
	drop(&k->fuse);
	drop(&k->memory);
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++)
		drop(&k->conn[i].fd);
}

/* ---- between daemon and helper --------------------------------------------------- */

struct kept_message
kept_conn_message(unsigned conn, const struct kept_conn *c)
{
	struct kept_message m = { .what = KEPT_CONN_ENDED, .conn = (uint8_t)conn };

	if (c == NULL)
		return m;
	m.what = c->has_session ? KEPT_SESSION : KEPT_CONN;
	m.path = c->path;
	m.framing = c->framing;
	memcpy(m.session, c->session, sizeof(m.session));
	return m;
}

bool
kept_tell(int sock, const struct kept_message *m, int fd)
{
	return fd_send(sock, m, m->what == KEPT_SESSION ? sizeof(*m) : SHORT, fd);
}

static void
put(int *place, int *fd)
{
	drop(place);
	*place = *fd;
	*fd = -1;
}

static bool
is_small_enough(const struct kept *k, int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size <= k->memory_max;
}

bool
kept_hear(int sock, struct kept *k, struct kept_message *m)
{
	int fd;

	*m = (struct kept_message){ .session = { 0 } };
	if (!fd_receive(sock, m, SHORT, sizeof(*m), &fd))
		return false;
	if (m->what == KEPT_FUSE) {
		put(&k->fuse, &fd);
	} else if (m->what == KEPT_MEMORY) {
		if (is_small_enough(k, fd))
			put(&k->memory, &fd);
	} else if (m->conn < NBE_MAX_CONNS &&
	    (m->what == KEPT_CONN || m->what == KEPT_CONN_ENDED ||
		m->what == KEPT_SESSION)) {
		struct kept_conn *c = &k->conn[m->conn];

		c->path = m->path;
		c->framing = m->framing;
		c->has_session = m->what == KEPT_SESSION;
		memcpy(c->session, m->session, sizeof(c->session));
		put(&c->fd, &fd);
	}
	drop(&fd);
	return true;
}

/* ---- over the device's directory ------------------------------------------------ */

static int
make_socket(const struct state *s, struct sockaddr_un *address)
{
	char path[STATE_PATH_MAX];

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	state_path(s, "kept", path);
	if (strlen(path) >= sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address->sun_path, path, strlen(path) + 1);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int
kept_listen(const struct state *s)
{
	struct sockaddr_un address;
	int sock = make_socket(s, &address);

	if (sock < 0)
		return -1;
	(void)unlink(address.sun_path);
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(sock, BACKLOG) == 0)
		return sock;
	close(sock);
	return -1;
}

static void
give_conn(int client, const struct kept *k, unsigned i)
{
	const struct kept_message m = kept_conn_message(i, &k->conn[i]);

	if (k->conn[i].fd >= 0)
		(void)kept_tell(client, &m, k->conn[i].fd);
}

void
kept_give(int sock, const struct kept *k)
{
	static const struct kept_message fuse = { .what = KEPT_FUSE };
	static const struct kept_message memory = { .what = KEPT_MEMORY };
	int client = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return;
	(void)kept_tell(client, &fuse, k->fuse);
	(void)kept_tell(client, &memory, k->memory);
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++)
		give_conn(client, k, i);
	close(client);
}

static int
connect_to(const struct state *s)
{
	struct sockaddr_un address;
	int sock = make_socket(s, &address);

	if (sock < 0 ||
	    connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0)
		return sock;
	close(sock);
	return -1;
}

bool
kept_is_there(const struct state *s)
{
	int sock = connect_to(s);

	if (sock >= 0)
		close(sock);
	return sock >= 0;
}

void
kept_ask(const struct state *s, struct kept *k)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct kept_message m;
	int sock = connect_to(s);

	kept_init(k);
	if (sock < 0)
		return;
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (kept_hear(sock, k, &m))
		;
	close(sock);
}
