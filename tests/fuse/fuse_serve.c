/*
 * fuse_serve.c - serves a disk in memory over FUSE; the server of fuse_test.sh.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: fuse_serve [-u] [-r] [-n] [-z] [-a] [-b block_min] [-d depth] [-s MiB] DIR
 *	-u io_uring if offered, -r read-only, -n no FLUSH, -z no WRITE_ZEROES,
 *	-a no base:allocation
 *
 * Commands on standard input, one a line, each answered by one line:
 *	status		state, requests in flight, CPU time
 *	counts		what the disk was asked for, and since the last time
 *	grow MiB	fail N	delay MICROSECONDS
 *	stop		answer ENOTCONN from now on; ends once it is unmounted
 * End of input is as stop.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuse.h"
#include "memdisk.h"

#define MIB	(UINT64_C(1) << 20)
#define GROWTH	4	/* how many times its size the disk may become */

struct server {
	struct ring_op	input;
	struct ring	ring;
	struct disk	*disk;
	struct fuse	*fuse;
	char		line[128];
	enum fuse_state	told;
};

static const char *const state_name[] = {
	[FUSE_STARTING] = "starting", [FUSE_CLASSIC] = "classic",
	[FUSE_URING] = "uring", [FUSE_ENDED] = "ended",
};

static void read_command(struct server *);

static void
print_status(struct server *s)
{
	struct fuse_status status;
	struct rusage used;

	fuse_status(s->fuse, &status);
	getrusage(RUSAGE_SELF, &used);
	printf("%s in_flight=%u requests=%llu cpu_ms=%ld switches=%ld rss_kib=%ld\n",
	    state_name[status.state], status.in_flight,
	    (unsigned long long)status.requests,
	    (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
	    (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000,
	    used.ru_nvcsw, used.ru_maxrss);
}

static void
print_counts(struct server *s)
{
	static const char *const name[NBE_OPS] = {
		"read", "write", "flush", "trim", "zero", "cache", "extents",
	};
	const struct memdisk_counts *c = memdisk_counts(s->disk);

	for (unsigned i = 0; i < NBE_OPS; i++)
		printf("%s=%llu ", name[i], (unsigned long long)c->ops[i]);
	printf("fua=%llu no_hole=%llu unaligned=%llu\n", (unsigned long long)c->fua,
	    (unsigned long long)c->no_hole, (unsigned long long)c->unaligned);
}

static void
command(struct server *s, const char *line)
{
	unsigned n;

	if (strcmp(line, "status") == 0) {
		print_status(s);
	} else if (strcmp(line, "counts") == 0) {
		print_counts(s);
	} else if (sscanf(line, "grow %u", &n) == 1) {
		memdisk_grow(s->disk, n * MIB);
		fuse_resize(s->fuse);
		puts("ok");
	} else if (sscanf(line, "fail %u", &n) == 1) {
		memdisk_fail(s->disk, NBE_EIO, n);
		puts("ok");
	} else if (sscanf(line, "delay %u", &n) == 1) {
		memdisk_delay(s->disk, n * UINT64_C(1000));
		puts("ok");
	} else {
		fuse_stop(s->fuse);
		puts("stopping");
	}
}

static void
got_command(struct ring_op *op, int res, uint32_t flags)
{
	struct server *s = container_of(op, struct server, input);

	(void)flags;
	if (res <= 0) {
		fuse_stop(s->fuse);
		return;
	}
	s->line[res] = '\0';
	s->line[strcspn(s->line, "\n")] = '\0';
	command(s, s->line);
	read_command(s);
}

static void
read_command(struct server *s)
{
	struct io_uring_sqe *sqe = ring_sqe(&s->ring);

	s->input.done = got_command;
	io_uring_prep_read(sqe, STDIN_FILENO, s->line, sizeof(s->line) - 1, 0);
	ring_bind(sqe, &s->input);
}

static uint64_t
idle(void *arg)
{
	struct server *s = arg;
	struct fuse_status status;

	fuse_status(s->fuse, &status);
	if (status.state != s->told) {
		s->told = status.state;
		printf("%s\n", state_name[status.state]);
	}
	s->ring.stop = status.quiet;
	return UINT64_MAX;
}

static void
usage(void)
{
	fputs("usage: fuse_serve [-urnzflpa] [-b block_min] [-d depth] [-s MiB] dir\n",
	    stderr);
	exit(2);
}

static void
parse(int argc, char **argv, struct fuse_config *f, struct memdisk_config *m)
{
	int option;

	while ((option = getopt(argc, argv, "urnzflpab:d:s:")) != -1) {
		switch (option) {
		case 'u': f->want_uring = true; break;
		case 'r': m->flags |= NBE_FLAG_READ_ONLY; break;
		case 'n': m->flags &= (uint16_t)~NBE_FLAG_SEND_FLUSH; break;
		case 'z': m->flags &= (uint16_t)~NBE_FLAG_SEND_WRITE_ZEROES; break;
		case 'f': m->flags &= (uint16_t)~NBE_FLAG_SEND_FAST_ZERO; break;
		case 'l': m->fast = false; break;
		case 'p': f->zero_slowly = true; break;
		case 'a': m->has_alloc = false; break;
		case 'b': m->block_min = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'd': f->depth = (unsigned)strtoul(optarg, NULL, 0); break;
		case 's': m->size = strtoull(optarg, NULL, 0) * MIB; break;
		default: usage();
		}
	}
	if (optind != argc - 1)
		usage();
	f->mountpoint = argv[optind];
	m->size_max = GROWTH * m->size;
}

int
main(int argc, char **argv)
{
	struct note note = { .file = NULL };
	struct fuse_config config = {
		.source = "nbdisk-test", .depth = 64, .uid = getuid(),
		.gid = getgid(), .mode = 0600, .taken = -1,
		.handover.note = &note,
	};
	struct memdisk_config memory = {
		.size = 256 * MIB, .block_min = 1, .has_alloc = true, .fast = true,
		.flags = NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH |
		    NBE_FLAG_SEND_FUA | NBE_FLAG_SEND_TRIM |
		    NBE_FLAG_SEND_WRITE_ZEROES | NBE_FLAG_SEND_FAST_ZERO,
	};
	struct server s = { .told = FUSE_STARTING };
	struct errtext err;
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &config, &memory);
	ret = ring_init(&s.ring, 256, config.want_uring);
	if (ret < 0) {
		fprintf(stderr, "io_uring: %s\n", strerror(-ret));
		return 1;
	}
	s.disk = memdisk_new(&s.ring, &memory);
	if (!fuse_start(&s.fuse, &config, &s.ring, s.disk, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	read_command(&s);
	ret = ring_run(&s.ring, idle, &s);
	ring_free(&s.ring);
	fuse_free(s.fuse);
	memdisk_free(s.disk);
	return ret < 0;
}
