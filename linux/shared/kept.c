/*
 * kept.c - a descriptor that outlives the daemon which opened it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "kept.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S	5
#define BACKLOG		8

/* Room for one descriptor. */
union control {
	struct cmsghdr	head;
	char		room[CMSG_SPACE(sizeof(int))];
};

bool
kept_send(int sock, int fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union control control = { .head = {
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

bool
kept_receive(int sock, int *fd)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	const struct cmsghdr *head;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return false;
	head = CMSG_FIRSTHDR(&msg);
	if (head != NULL && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
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

void
kept_give(int sock, int fd)
{
	int client = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return;
	(void)kept_send(client, fd);
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

int
kept_ask(const struct state *s)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int sock = connect_to(s), fd = -1;

	if (sock < 0)
		return -1;
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)kept_receive(sock, &fd);
	close(sock);
	return fd;
}
