/*
 * control_client.c - talk to the daemon of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A daemon does nothing that takes long before it answers. */
#define ANSWER_MS	5000

static bool
explain(const struct state *s, const char *what, struct errtext *err)
{
	int error = errno;

	if (state_pid(s) == 0)
		return errtext_set(err, "%s: its daemon is dead; run "
		    "\"nbdisk disconnect %s\"", s->name, s->name);
	/* Nobody listens yet, or no more. */
	if (error == ENOENT || error == ECONNREFUSED)
		return errtext_set(err, "%s: it is just being attached or detached; "
		    "try again", s->name);
	return errtext_set(err, "%s: %s: %s", s->name, what, strerror(error));
}

/* -1, and errno says why. */
static int
dial(const struct state *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	/* It waits while the daemon has more callers than it takes. */
	struct timeval patience = { .tv_sec = ANSWER_MS / 1000 };
	char path[STATE_PATH_MAX];
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error;

	if (sock < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.107s",
	    state_path(s, "control", path));
	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience)) == 0 &&
	    connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0)
		return sock;
	error = errno;
	close(sock);
	errno = error;
	return -1;
}

int
control_connect(const struct state *s, struct errtext *err)
{
	int sock = dial(s);

	if (sock < 0)
		explain(s, "control socket", err);
	return sock;
}

bool
control_is_left(const struct state *s)
{
	int sock = dial(s);

	if (sock < 0)
		return errno == ECONNREFUSED;
	close(sock);
	return false;
}

bool
control_send(int sock, enum control_verb verb, uint64_t number, struct errtext *err)
{
	struct control_request request = {
		.version = CONTROL_VERSION, .verb = verb, .number = number,
	};

	if (send(sock, &request, sizeof(request), MSG_NOSIGNAL) ==
	    (ssize_t)sizeof(request))
		return true;
	return errtext_set(err, "control socket: %s", strerror(errno));
}

enum control_answer
control_receive(int sock, struct control_reply *reply, int timeout_ms)
{
	struct pollfd ready = { .fd = sock, .events = POLLIN };
	ssize_t n;

	if (poll(&ready, 1, timeout_ms) == 0)
		return ANSWER_LATE;
	n = recv(sock, reply, sizeof(*reply), 0);
	if (n < (ssize_t)sizeof(reply->head))
		return ANSWER_ENDED;
	reply->head.why.text[sizeof(reply->head.why.text) - 1] = '\0';
	return reply->head.status == CONTROL_OK ? ANSWER_OK : ANSWER_REFUSED;
}

bool
control_ask(const struct state *s, enum control_verb verb, uint64_t number,
    struct control_reply *reply, struct errtext *err)
{
	int sock = control_connect(s, err);
	enum control_answer answer;

	if (sock < 0)
		return false;
	if (!control_send(sock, verb, number, err)) {
		close(sock);
		return false;
	}
	answer = control_receive(sock, reply, ANSWER_MS);
	close(sock);
	switch (answer) {
	case ANSWER_OK:
		if (verb == CONTROL_SNAPSHOT && reply->head.version != CONTROL_VERSION)
			return errtext_set(err, "%s: its daemon is of another "
			    "version; connect it again", s->name);
		return true;
	case ANSWER_REFUSED:
		return errtext_set(err, "%s: %.900s", s->name, reply->head.why.text);
	case ANSWER_LATE:
		return errtext_set(err, "%s: its daemon does not answer", s->name);
	default:
		return explain(s, "control socket closed", err);
	}
}
