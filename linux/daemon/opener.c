/*
 * opener.c - the files of TLS, opened by somebody who may.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "opener.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_SECONDS	10	/* a file on a server that is away is not waited for */

struct question {
	uint32_t	number;		/* from 1 on */
	uint32_t	server;
	uint32_t	file;		/* enum nbc_tls_file */
};

#define NO_ANSWER	0

struct answer {
	uint32_t	number;
	int32_t		error;		/* 0: a descriptor comes with it */
};

/* Room for one descriptor. */
union control {
	struct cmsghdr	head;
	char		room[CMSG_SPACE(sizeof(int))];
};

bool
opener_init(struct opener *o, struct errtext *err)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	int pair[2];

	*o = (struct opener){ .ask = -1, .serve = -1 };
	pthread_mutex_init(&o->lock, NULL);
	for (uint32_t i = 0; i < NBE_MAX_PATHS; i++)
		o->seat[i] = (struct opener_seat){ o, i };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errtext_set(err, "socketpair: %s", strerror(errno));
	o->ask = pair[0];
	o->serve = pair[1];
	(void)setsockopt(o->ask, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return true;
}

void
opener_forked(struct opener *o)
{
	if (o->serve >= 0)
		close(o->serve);
	o->serve = -1;
}

void
opener_end(struct opener *o)
{
	opener_forked(o);
	if (o->ask >= 0)
		close(o->ask);
	o->ask = -1;
}

/* ---- in the helper ----------------------------------------------------------- */

static int
open_named(const struct opener *o, const struct question *q, int *error)
{
	bool known = q->server < NBE_MAX_PATHS && o->tls[q->server] != NULL &&
	    q->file < NBC_FILES;
	const char *path = !known ? NULL :
	    nbc_tls_context_path(o->tls[q->server], (enum nbc_tls_file)q->file);
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	*error = fd >= 0 ? 0 : path == NULL ? ENOENT : errno;
	return fd;
}

static void
answer(const struct opener *o, const struct question *q)
{
	struct answer a = { .number = q->number };
	struct iovec iov = { .iov_base = &a, .iov_len = sizeof(a) };
	union control control = { .head.cmsg_len = CMSG_LEN(sizeof(int)) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int error, fd = open_named(o, q, &error);

	a.error = error;
	if (fd >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
	}
	(void)sendmsg(o->serve, &msg, MSG_NOSIGNAL);
	if (fd >= 0)
		close(fd);
}

static void *
serve(void *arg)
{
	const struct opener *o = arg;
	struct question q;

	while (recv(o->serve, &q, sizeof(q), 0) == sizeof(q))
		answer(o, &q);
	return NULL;
}

static bool
has_files(const struct opener *o)
{
	for (unsigned i = 0; i < NBE_MAX_PATHS; i++)
		if (o->tls[i] != NULL)
			return true;
	return false;
}

void
opener_serve(struct opener *o, int fd)
{
	pthread_t thread;

	o->serve = fd;
	if (has_files(o) && pthread_create(&thread, NULL, serve, o) == 0)
		(void)pthread_detach(thread);
}

/* ---- in the daemon ----------------------------------------------------------- */

/* A descriptor, or -1: none came with it. */
static int
receive(int sock, struct answer *a)
{
	struct iovec iov = { .iov_base = a, .iov_len = sizeof(*a) };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	const struct cmsghdr *head;
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(*a)) {
		*a = (struct answer){
			.number = NO_ANSWER, .error = errno == EAGAIN ? ETIMEDOUT : EIO,
		};
		return -1;
	}
	head = CMSG_FIRSTHDR(&msg);
	if (head != NULL && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

/* The answer to this question; late ones to earlier questions are dropped. */
static int
ask(struct opener *o, uint32_t server, enum nbc_tls_file file, int *error)
{
	struct question q = {
		.number = ++o->asked, .server = server, .file = (uint32_t)file,
	};
	struct answer a;
	int fd;

	*error = EIO;
	if (send(o->ask, &q, sizeof(q), MSG_NOSIGNAL) != sizeof(q))
		return -1;
	for (;;) {
		fd = receive(o->ask, &a);
		if (a.number == q.number || a.number == NO_ANSWER)
			break;
		if (fd >= 0)
			close(fd);
	}
	*error = a.error != 0 ? a.error : EIO;
	return fd;
}

int
opener_open(void *seat, enum nbc_tls_file file)
{
	const struct opener_seat *s = seat;
	struct opener *o = s->opener;
	int fd, error;

	pthread_mutex_lock(&o->lock);
	fd = ask(o, s->server, file, &error);
	pthread_mutex_unlock(&o->lock);
	errno = error;
	return fd;
}
