/*
 * control_fuzz.c - libFuzzer: programs that misuse the daemon's control socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The real control_server on a real ring and socket.  The input is a script of what
 * some clients do, and of when an answer that takes its time is given.  Must hold:
 * a request is asked for once and has all its bytes, each is answered while its
 * client is there, and in the end no client is left over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "control_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define MUST(condition)	do { if (!(condition)) abort(); } while (0)
#define CLIENTS		12	/* more than the server takes at once */
#define ROUNDS		4	/* of the ring, after each step */

static struct control_server *server;
static struct ring ring;
static char path[64];
static struct control_client *waiting[CLIENTS];	/* for an answer */
static unsigned waits;
static int client[CLIENTS];
static unsigned rounds;

nbe_time
clock_now(void)
{
	return 0;
}

static void
asked(void *arg, struct control_client *c, const struct control_request *r)
{
	(void)arg;
	MUST(waits < CLIENTS);
	for (unsigned i = 0; i < waits; i++)
		MUST(waiting[i] != c);
	MUST(control_client_reply(c)->head.version == CONTROL_VERSION);
	if (r->verb % 4 == CONTROL_DISCONNECT)
		waiting[waits++] = c;
	else
		control_answer(c, r->verb % 4 == CONTROL_SNAPSHOT);
}

static uint64_t
turn(void *arg)
{
	(void)arg;
	(void)control_server_turn(server, 0);
	ring.stop = --rounds == 0;
	return 0;
}

static void
serve(void)
{
	rounds = ROUNDS;
	ring.stop = false;
	MUST(ring_run(&ring, turn, NULL) == 0);
}

/* ---- clients ------------------------------------------------------------------ */

static void
hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int
dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		hang_up(&fd);	/* the queue is full */
	return fd;
}

static void
say(int fd, const uint8_t *bytes, size_t len)
{
	if (fd >= 0)
		(void)!send(fd, bytes, len, MSG_NOSIGNAL);
}

static void
listen_to(int fd)
{
	static struct control_reply reply;
	ssize_t n = fd < 0 ? -1 : recv(fd, &reply, sizeof(reply), 0);

	MUST(n <= 0 || n == sizeof(reply.head) || n == sizeof(reply));
}

static void
answer_one(unsigned which)
{
	struct control_client *c;

	if (waits == 0)
		return;
	which %= waits--;
	c = waiting[which];
	waiting[which] = waiting[waits];
	control_answer(c, false);
}

static void
forget(void *arg, struct control_client *c)
{
	unsigned i = 0;

	(void)arg;
	while (i < waits && waiting[i] != c)
		i++;
	MUST(i < waits);
	waiting[i] = waiting[--waits];
}

/* ---- the script ----------------------------------------------------------------- */

static void
request(int fd, uint8_t verb)
{
	struct control_request r = { .version = CONTROL_VERSION, .verb = verb };

	say(fd, (const uint8_t *)&r, sizeof(r));
}

static void
step(const uint8_t *at)
{
	static const uint8_t junk[64];
	int *fd = &client[at[1] % CLIENTS];

	switch (at[0] % 6) {
	case 0:
		hang_up(fd);
		*fd = dial();
		break;
	case 1:
		request(*fd, at[2]);
		break;
	case 2:
		say(*fd, junk, 1 + at[2] % sizeof(junk));
		break;
	case 3:
		listen_to(*fd);
		break;
	case 4:
		hang_up(fd);
		break;
	case 5:
		answer_one(at[2]);
		break;
	}
	serve();
}

static char dir[] = "/tmp/control-fuzz.XXXXXX";

static void
tidy_up(void)
{
	unlink(path);
	rmdir(dir);
}

static void
begin(void)
{
	struct errtext err;

	if (path[0] != '\0')
		return;
	MUST(mkdtemp(dir) != NULL && atexit(tidy_up) == 0);
	snprintf(path, sizeof(path), "%s/s", dir);
	MUST(ring_init(&ring, 64, false) == 0);
	MUST(control_server_start(&server, &ring, path, asked, forget, NULL, &err));
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = -1;
}

/* Whoever was there has gone: a newcomer is served at once. */
static void
end(void)
{
	struct control_head reply;

	for (unsigned i = 0; i < CLIENTS; i++)
		hang_up(&client[i]);
	for (unsigned i = 0; i < 4; i++) {
		while (waits != 0)
			answer_one(0);
		serve();
	}
	client[0] = dial();
	MUST(client[0] >= 0);
	serve();
	request(client[0], CONTROL_RECONNECT);
	serve();
	serve();
	MUST(recv(client[0], &reply, sizeof(reply), 0) == sizeof(reply));
	hang_up(&client[0]);
	serve();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	for (; size >= 3 && size <= 300; data += 3, size -= 3)
		step(data);
	end();
	return 0;
}
