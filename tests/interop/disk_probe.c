/*
 * disk_probe.c - a load that checks itself, on a disk without an attachment.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: disk_probe URI CONNS DEPTH BLOCK SECONDS r|w|x|verify|pages
 *	[unflushed [timeout [dead-timeout [fence]]]]
 *
 * r, w, x: random reads, writes or questions for extents of BLOCK bytes; prints IOPS
 * and CPU.  verify: writes, zeroes, trims, flushes and reads in random order; every
 * block carries its number and version, and each read is compared.  Ends with a
 * compare of the whole disk.  pages: the same with payload that the disk does not see,
 * but when it wants to (disk_pages); every other block is read into pages that are not
 * registered.  TLS is the kernel's where that takes it, and it is told.  The times, in
 * seconds, are 10, 60 and 1 if not given.
 * SIGINT says that it is enough, before SECONDS are over.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "disk_owner.h"

#define IOS_MAX		1024u
#define EXTENTS_MAX	16u

struct probe;

struct io {
	struct disk_io	io;
	struct probe	*probe;
	uint64_t	block;
	uint8_t		*payload;
	struct nbe_extent extent[EXTENTS_MAX];
	bool		busy;
};

struct probe {
	struct ring	ring;
	struct disk	*disk;
	char		mode;		/* r, w, x, v */
	unsigned	depth;
	uint64_t	block_size, blocks, random;
	uint64_t	done, in_flight;
	nbe_time	end;
	bool		ending, comparing, stopped;
	uint32_t	*version;	/* by block; 0: not written */
	uint8_t		*locked;
	uint64_t	compare_next;
	uint64_t	stride;		/* from payload to payload */
	uint8_t		*payloads;
	int		file;		/* the same */
	bool		in_pages;
	struct io	io[IOS_MAX];
};

static volatile sig_atomic_t enough;

static void
interrupt(int number)
{
	(void)number;
	enough = 1;
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "disk_probe: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
rnd(struct probe *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

static void
fill(uint8_t *data, uint64_t size, uint64_t block, uint32_t version)
{
	uint64_t w = block << 32 | version;

	for (uint64_t at = 0; at < size; at += 8, w += UINT64_C(0x9E3779B97F4A7C15))
		memcpy(data + at, &w, 8);
}

static void
compare(const struct io *io)
{
	const struct probe *p = io->probe;
	uint32_t version = p->version[io->block];
	uint8_t want[65536] = { 0 };

	if (version == UINT32_MAX)	/* trimmed: anything */
		return;
	if (version != 0)
		fill(want, p->block_size, io->block, version);
	if (memcmp(want, io->payload, p->block_size) != 0) {
		uint64_t is;

		memcpy(&is, io->payload, 8);
		fprintf(stderr, "disk_probe: block %llu is not version %u; it begins "
		    "like block %llu, version %u\n", (unsigned long long)io->block,
		    version, (unsigned long long)(is >> 32), (uint32_t)is);
		exit(3);
	}
}

/* ---- load ---------------------------------------------------------------------- */

static void issue(struct io *);

static void
done(struct disk_io *dio)
{
	struct io *io = container_of(dio, struct io, io);
	struct probe *p = io->probe;

	if (dio->req.error != NBE_OK && dio->req.error != NBE_ENOTSUP) {
		fprintf(stderr, "disk_probe: %s failed: %u\n",
		    nbe_op_name(dio->req.op), dio->req.error);
		exit(4);
	}
	if (p->mode == 'v' && dio->req.op == NBE_READ)
		compare(io);
	p->locked[io->block] = 0;
	p->done++;
	p->in_flight--;
	io->busy = false;
	if (!p->ending)
		issue(io);
}

static uint8_t
pick_op(struct probe *p)
{
	static const uint8_t ops[] = { NBE_READ, NBE_READ, NBE_READ, NBE_WRITE,
	    NBE_WRITE, NBE_WRITE, NBE_WRITE, NBE_ZERO, NBE_TRIM, NBE_FLUSH };
	uint64_t n = rnd(p) % 40;

	return n < sizeof(ops) ? ops[n] : n % 2 != 0 ? NBE_READ : NBE_WRITE;
}

static void
prepare(struct io *io, uint8_t op)
{
	struct probe *p = io->probe;
	uint16_t flags = disk_export(p->disk)->flags;
	uint32_t *v = &p->version[io->block];

	if (op == NBE_ZERO && (flags & NBE_FLAG_SEND_WRITE_ZEROES) == 0)
		op = NBE_WRITE;
	if (op == NBE_TRIM && (flags & NBE_FLAG_SEND_TRIM) == 0)
		op = NBE_WRITE;
	io->io.req.op = op;
	io->io.req.flags = op == NBE_WRITE && rnd(p) % 8 == 0 ? NBE_FUA : 0;
	if (op == NBE_WRITE) {
		*v = *v >= UINT32_MAX - 1 ? 1 : *v + 1;
		fill(io->payload, p->block_size, io->block, *v);
	} else if (op == NBE_ZERO) {
		*v = 0;
	} else if (op == NBE_TRIM) {
		*v = UINT32_MAX;
	}
}

static void
submit(struct io *io)
{
	struct probe *p = io->probe;

	io->io.pages.buffer = io->io.req.op == NBE_READ && io->block % 2 != 0 ? -1 :
	    (int)(io - p->io);
	io->io.data = p->in_pages && !disk_wants_to_see(p->disk, &io->io.req) ? NULL :
	    io->payload;
	io->busy = true;
	p->in_flight++;
	disk_submit(p->disk, &io->io);
}

static uint8_t
op_of_mode(char mode)
{
	return mode == 'r' ? NBE_READ : mode == 'w' ? NBE_WRITE : NBE_EXTENTS;
}

static void
issue(struct io *io)
{
	struct probe *p = io->probe;

	do
		io->block = rnd(p) % p->blocks;
	while (p->locked[io->block] != 0);
	p->locked[io->block] = 1;
	memset(&io->io.req, 0, sizeof(io->io.req));
	if (p->mode == 'v')
		prepare(io, pick_op(p));
	else
		io->io.req.op = op_of_mode(p->mode);
	io->io.req.extents = io->extent;
	io->io.req.extents_max = EXTENTS_MAX;
	io->io.req.offset = io->io.req.op == NBE_FLUSH ? 0 : io->block * p->block_size;
	io->io.req.length = io->io.req.op == NBE_FLUSH ? 0 : p->block_size;
	submit(io);
}

/* At the end: read all that was written. */
static void
compare_rest(struct probe *p)
{
	for (unsigned i = 0; i < p->depth && p->compare_next < p->blocks; i++) {
		struct io *io = &p->io[i];

		if (io->busy)
			continue;
		while (p->compare_next < p->blocks &&
		    p->version[p->compare_next] == 0)
			p->compare_next++;
		if (p->compare_next == p->blocks)
			return;
		io->block = p->compare_next++;
		memset(&io->io.req, 0, sizeof(io->io.req));
		io->io.req.op = NBE_READ;
		io->io.req.offset = io->block * p->block_size;
		io->io.req.length = p->block_size;
		submit(io);
	}
}

static uint64_t
turn(void *arg)
{
	struct probe *p = arg;
	uint64_t ns;

	(void)disk_turn(p->disk);
	if (!p->ending && (enough != 0 || clock_now() >= p->end))
		p->ending = true;
	if (p->ending && p->mode == 'v' && p->in_flight == 0)
		p->comparing = true;	/* nothing changes any more */
	if (p->comparing)
		compare_rest(p);
	if (p->ending && p->in_flight == 0 && !p->stopped) {
		p->stopped = true;
		disk_stop(p->disk, true);
	}
	ns = disk_turn(p->disk);
	return ns < 100000000 ? ns : 100000000;
}

/* ---- life ----------------------------------------------------------------------- */

static void
on_resized(void *arg)
{
	(void)arg;
	printf("# resized\n");
}

static void
on_stopped(void *arg)
{
	((struct probe *)arg)->ring.stop = true;
}

static void
on_log(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "# %s\n", line);
}

static nbe_time
seconds(const char *arg)
{
	return (nbe_time)(atof(arg) * (double)NBE_SECOND);
}

static struct disk_config
config_for(struct probe *p, unsigned conns, char **argv)
{
	const char *unflushed = argv[0] != NULL ? *argv++ : "fail";
	const char *timeout = argv[0] != NULL ? *argv++ : "10";
	const char *dead_timeout = argv[0] != NULL ? *argv++ : "60";
	const char *fence = argv[0] != NULL ? *argv++ : "1";

	return (struct disk_config){
		.dev = {
			.conns_max = NBE_MAX_CONNS, .conns = (uint16_t)conns,
			.depth = 128,
			.timeout = seconds(timeout),
			.dead_timeout = seconds(dead_timeout),
			.fence = seconds(fence), .backoff_min = NBE_SECOND / 20,
			.backoff_max = NBE_SECOND, .seed = 1,
			.unflushed = strcmp(unflushed, "replay") == 0 ?
			    NBE_UNFLUSHED_REPLAY : strcmp(unflushed, "ignore") == 0 ?
			    NBE_UNFLUSHED_IGNORE : NBE_UNFLUSHED_FAIL,
			.keep_size = 64 << 20, .keep_records = 16384,
		},
		.events = { .resized = on_resized, .stopped = on_stopped, .log = on_log,
		    .arg = p },
	};
}

/* As ublk has them, by memory: a file whose pages are registered. */
static void
make_payloads(struct probe *p)
{
	struct iovec iov[IOS_MAX];
	size_t size;

	p->stride = (p->block_size + 4095) & ~UINT64_C(4095);
	size = p->stride * p->depth;
	p->file = memfd_create("payload", MFD_CLOEXEC);
	if (p->file < 0 || ftruncate(p->file, (off_t)size) < 0)
		die("payload", "no memory");
	p->payloads = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->file, 0);
	if (p->payloads == MAP_FAILED)
		die("payload", "no memory");
	for (unsigned i = 0; i < p->depth; i++)
		iov[i] = (struct iovec){ p->payloads + i * p->stride, p->stride };
	if (p->in_pages &&
	    io_uring_register_buffers(&p->ring.uring, iov, p->depth) < 0)
		die("payload", "cannot be registered");
}

static void
start(struct probe *p)
{
	make_payloads(p);
	p->blocks = disk_export(p->disk)->size / p->block_size;
	p->version = calloc(p->blocks, sizeof(*p->version));
	p->locked = calloc(p->blocks, 1);
	for (unsigned i = 0; i < p->depth; i++) {
		p->io[i].probe = p;
		p->io[i].io.done = done;
		p->io[i].payload = p->payloads + i * p->stride;
		p->io[i].io.pages = (struct disk_pages){
			.fd = p->file,
			.start = (uintptr_t)p->io[i].payload,
			.at = (off_t)(i * p->stride),
		};
		issue(&p->io[i]);
	}
}

/* What the kernel has, if its TLS was wanted. */
static void
tell_tls(const struct probe *p, unsigned conns)
{
	struct disk_conn_info info;
	unsigned tls = 0, kernel = 0;

	for (unsigned i = 0; i < conns; i++) {
		disk_conn_info(p->disk, i, &info);
		tls += info.tls;
		kernel += info.ktls;
	}
	if (tls != 0)
		printf("connections with TLS: %u, by the kernel: %u\n", tls, kernel);
}

static void
report(const struct probe *p, double seconds)
{
	struct rusage ru;
	double cpu;

	getrusage(RUSAGE_SELF, &ru);
	cpu = (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
	    1e-6 * ((double)ru.ru_utime.tv_usec + (double)ru.ru_stime.tv_usec);
	printf("%llu I/Os, %.0f IOPS, %.3f CPU s per million\n",
	    (unsigned long long)p->done, (double)p->done / seconds,
	    cpu / (double)p->done * 1e6);
}

int
main(int argc, char **argv)
{
	static struct probe p;
	struct nbc_target target = { 0 };
	struct nbc_tls_context *tls = NULL;
	struct nbc_options options = { .framing_max = NBE_EXTENDED, .want_alloc = true,
	    .timeout_ms = 60000, .cancel_fd = -1, .allow_ktls = true };
	struct nbc_conn conn[NBE_MAX_CONNS];
	struct nbc_error error;
	struct disk_config config;

	if (argc < 7)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, interrupt);
	unsigned conns = (unsigned)atoi(argv[2]);
	p.depth = (unsigned)atoi(argv[3]);
	p.block_size = (uint64_t)atoi(argv[4]);
	p.in_pages = argv[6][0] == 'p';
	p.mode = p.in_pages ? 'v' : argv[6][0];
	p.random = 88172645463325252u;
	if (!nbc_target_parse(&target, argv[1], &error) ||
	    !nbc_tls_context_load(&tls, &target, &error))
		die(argv[1], error.text);
	struct dialer_server server = { &target, tls, &options };
	for (unsigned i = 0; i < conns; i++)
		if (!nbc_open(&conn[i], &target, tls, &options, &error))
			die(argv[1], error.text);
	if (ring_init(&p.ring, 256, false) < 0)
		die("ring", "cannot be made");
	config = config_for(&p, conns, argv + 7);
	config.server = &server;
	if ((p.disk = disk_new(&p.ring, &config, conn, conns)) == NULL)
		die("disk", "out of memory");
	tell_tls(&p, conns);
	nbe_time begin = clock_now();
	p.end = begin + seconds(argv[5]);
	start(&p);
	fputs("# it begins\n", stderr);
	ring_run(&p.ring, turn, &p);
	report(&p, (double)(clock_now() - begin) * 1e-9);
	ring_free(&p.ring);
	disk_free(p.disk);
	munmap(p.payloads, p.stride * p.depth);
	close(p.file);
	free(p.version);
	free(p.locked);
	nbc_tls_context_free(tls);
	nbc_target_free(&target);
	return 0;
}
