/*
 * device_bound.c - the least work that a daemon between FUSE and an NBD server can do.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: device_bound SOCKET FILE DEPTH
 *
 * Shows the export of the server at SOCKET as FILE, over /dev/fuse, until it is ended
 * or unmounted.  Reads and writes are passed on, and their answers back, by blocking
 * system calls: with DEPTH 1 by one thread, one after the other; else by two, one for
 * each direction.  No books are kept: the server's cookie is the kernel's number of the
 * request, and what comes back is trusted.  Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "greet.h"
#include "wire.h"

#define PAYLOAD_MAX	(1024 * 1024)
#define PAGE		4096
#define HEADROOM	(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define ASKED_MAX	1024u
#define LARGE		16384u	/* the rest is received by itself, and not moved */
#define VALID_S		3600
#define MINOR		31	/* of the protocol */

_Static_assert(sizeof(struct fuse_out_header) == LEN_SIMPLE_REPLY,
    "the header of a reply becomes that of an answer, where it lies");

struct asked {
	uint32_t size;
	bool	write;
};

static const char *file;
static int fuse = -1;
static struct stream server;
static uint64_t disk_size;
static struct asked asked[ASKED_MAX];
/* From the kernel: payload is at a page. */
static uint8_t in_pages[PAGE + PAYLOAD_MAX] __attribute__((aligned(PAGE)));
static uint8_t *const payload = in_pages + PAGE;
/* From the server. */
static uint8_t replies[2 * PAYLOAD_MAX] __attribute__((aligned(PAGE)));
static size_t have;
static bool large;		/* the last one was */

static struct asked *
asked_of(uint64_t unique)
{
	return &asked[unique / 2 % ASKED_MAX];
}

/* ---- answers -------------------------------------------------------------------- */

/* A header, and length bytes behind it.  ENOENT: the request was given up. */
static void
answer(void *message, uint64_t unique, int error, size_t length)
{
	struct fuse_out_header *head = message;

	*head = (struct fuse_out_header){
		.len = (uint32_t)(sizeof(*head) + length), .error = -error,
		.unique = unique,
	};
	must(write(fuse, message, sizeof(*head) + length) > 0 || errno == ENOENT,
	    "answer");
}

/* Of the reply that begins there, as far as is known. */
static size_t
reply_length(const uint8_t *reply, size_t known)
{
	const struct asked *a;

	if (known < LEN_SIMPLE_REPLY)
		return LEN_SIMPLE_REPLY;
	a = asked_of(get64(reply + 8));
	return LEN_SIMPLE_REPLY + (a->write ? 0 : a->size);
}

static void
pass_reply(uint8_t *reply)
{
	uint64_t unique = get64(reply + 8);
	const struct asked *a = asked_of(unique);
	struct {
		struct fuse_out_header head;
		struct fuse_write_out write;
	} written = { .write.size = a->size };

	must(get32(reply) == MAGIC_SIMPLE_REPLY, "reply");
	if (a->write)
		answer(&written, unique, 0, sizeof(written.write));
	else
		answer(reply, unique, 0, a->size);
}

/* What is received next: all that has come; of large replies one, and a header. */
static size_t
wanted(void)
{
	if (have >= LEN_SIMPLE_REPLY)
		return reply_length(replies, have) - have + LEN_SIMPLE_REPLY;
	return large ? LEN_SIMPLE_REPLY - have : sizeof(replies) - have;
}

/* How many; only the start of another one is left. */
static unsigned
pass_replies(void)
{
	long n = stream_recv(&server, replies + have, wanted());
	size_t at = 0, length;
	unsigned count = 0;

	must(n > 0, "recv");
	have += (size_t)n;
	while ((length = reply_length(replies + at, have - at)) <= have - at) {
		pass_reply(replies + at);
		large = length >= LARGE;
		at += length;
		count++;
	}
	memmove(replies, replies + at, have - at);
	have -= at;
	return count;
}

static void *
pass_all_replies(void *arg)
{
	(void)arg;
	for (;;)
		(void)pass_replies();
	return NULL;
}

/* ---- requests ------------------------------------------------------------------- */

/* A read begins as a write does.  The server's header goes before the payload, where
 * the kernel's was. */
static void
pass_request(const struct fuse_in_header *head)
{
	const void *rest = head + 1;
	struct fuse_write_in in = *(const struct fuse_write_in *)rest;
	bool write = head->opcode == FUSE_WRITE;
	uint64_t unique = head->unique;
	struct iovec iov = { payload - LEN_REQUEST, LEN_REQUEST };
	uint8_t *p = put16(put32(payload - LEN_REQUEST, MAGIC_REQUEST), 0);

	*asked_of(unique) = (struct asked){ in.size, write };
	p = put64(put16(p, write ? CMD_WRITE : CMD_READ), unique);
	put32(put64(p, in.offset), in.size);
	if (write)
		iov.iov_len += in.size;
	must(stream_send(&server, &iov, 1), "send");
}

static void
answer_init(const struct fuse_in_header *head)
{
	const struct fuse_init_in *in = (const void *)(head + 1);
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = { .init = {
		.major = FUSE_KERNEL_VERSION, .minor = MINOR,
		.flags = in->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES |
		    FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES),
		.max_background = 64, .congestion_threshold = 48,
		.max_write = PAYLOAD_MAX, .max_pages = PAYLOAD_MAX / PAGE,
		.time_gran = 1,
	} };

	answer(&out, head->unique, 0, sizeof(out.init));
}

static void
answer_attributes(const struct fuse_in_header *head)
{
	struct {
		struct fuse_out_header head;
		struct fuse_attr_out attr;
	} out = { .attr = {
		.attr_valid = VALID_S,
		.attr = {
			.ino = FUSE_ROOT_ID, .mode = S_IFREG | 0600, .nlink = 1,
			.size = disk_size, .blksize = PAGE,
		},
	} };

	answer(&out, head->unique, 0, sizeof(out.attr));
}

static void
answer_open(const struct fuse_in_header *head)
{
	struct {
		struct fuse_out_header head;
		struct fuse_open_out open;
	} out = { .open.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES };

	answer(&out, head->unique, 0, sizeof(out.open));
}

static void
refuse(const struct fuse_in_header *head)
{
	struct fuse_out_header out;

	answer(&out, head->unique, ENOSYS, 0);
}

static void
dispatch(const struct fuse_in_header *head, bool alone)
{
	switch (head->opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
		pass_request(head);
		while (alone && pass_replies() == 0)
			;
		break;
	case FUSE_INIT:
		answer_init(head);
		break;
	case FUSE_GETATTR:
		answer_attributes(head);
		break;
	case FUSE_OPEN:
		answer_open(head);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break;			/* has no answer */
	default:
		refuse(head);
	}
}

static void
serve(bool alone)
{
	struct fuse_in_header *head = (void *)(payload - HEADROOM);
	pthread_t back;

	if (!alone)
		must(pthread_create(&back, NULL, pass_all_replies, NULL) == 0,
		    "thread");
	for (;;) {
		ssize_t n = read(fuse, head, HEADROOM + PAYLOAD_MAX);

		if (n < 0 && errno == ENODEV)
			return;
		must(n > 0 || errno == EINTR || errno == ENOENT, "/dev/fuse");
		if (n > 0)
			dispatch(head, alone);
	}
}

/* ---- life ----------------------------------------------------------------------- */

static void
end(int number)
{
	(void)number;
	(void)umount2(file, MNT_DETACH);
	_exit(0);
}

static void
mount_file(void)
{
	char options[64];

	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	must(fuse >= 0, "/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0",
	    fuse, S_IFREG);
	must(mount("device_bound", file, "fuse", MS_NOSUID | MS_NODEV, options) == 0,
	    file);
}

int
main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: device_bound SOCKET FILE DEPTH\n");
		return 2;
	}
	file = argv[2];
	greet(&server, "unix", argv[1], NULL, &disk_size);
	mount_file();
	signal(SIGTERM, end);
	serve(atoi(argv[3]) == 1);
	return 0;
}
