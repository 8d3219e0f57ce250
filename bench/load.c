/*
 * load.c - a load on nbdisk's engine and its Linux loop, without an attachment.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: load URI CONNS DEPTH BLOCK SECONDS r|w
 *
 * DEPTH is that of one connection.  Offsets are random, in order from 64 KiB on, as
 * those of bound.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_owner.h"
#include "figures.h"

#define RING_ENTRIES	1024

struct load;

struct io {
	struct disk_io	disk_io;
	struct load	*load;
	uint64_t	issued_ns;
};

struct load {
	struct ring	ring;
	struct disk	*disk;
	struct io	*io;
	unsigned	ios, in_flight;
	uint8_t		op;
	uint64_t	block, blocks, random, next, now_ns, end_ns;
	bool		stopped;
	struct figures	figures;
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
pick_offset(struct load *l)
{
	if (l->block > 65536)
		return l->next++ % l->blocks * l->block;
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random % l->blocks * l->block;
}

static void
issue(struct io *io)
{
	struct load *l = io->load;

	io->disk_io.req.op = l->op;
	io->disk_io.req.flags = 0;
	io->disk_io.req.offset = pick_offset(l);
	io->disk_io.req.length = l->block;
	io->issued_ns = l->now_ns;
	l->in_flight++;
	disk_submit(l->disk, &io->disk_io);
}

static void
done(struct disk_io *disk_io)
{
	struct io *io = container_of(disk_io, struct io, disk_io);
	struct load *l = io->load;

	if (disk_io->req.error != NBE_OK)
		die("I/O", "failed");
	figures_add(&l->figures, l->now_ns - io->issued_ns, 1);
	l->in_flight--;
	if (l->now_ns < l->end_ns)
		issue(io);
}

static uint64_t
turn(void *arg)
{
	struct load *l = arg;
	uint64_t wait_ns;

	l->now_ns = figures_now_ns();
	wait_ns = disk_turn(l->disk);
	if (l->in_flight != 0 || l->stopped)
		return wait_ns;
	l->stopped = true;
	figures_print(&l->figures);
	disk_stop(l->disk, true);
	return disk_turn(l->disk);
}

static void
on_resized(void *arg)
{
	(void)arg;
	die("disk", "has another size");
}

static void
on_stopped(void *arg)
{
	((struct load *)arg)->ring.stop = true;
}

static void
on_log(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static void
start(struct load *l)
{
	l->blocks = disk_export(l->disk)->size / l->block;
	l->io = calloc(l->ios, sizeof(*l->io));
	figures_begin(&l->figures);
	for (unsigned i = 0; i < l->ios; i++) {
		struct io *io = &l->io[i];

		io->load = l;
		io->disk_io.done = done;
		io->disk_io.data = aligned_alloc(4096, (l->block + 4095) & ~4095ull);
		memset(io->disk_io.data, 0, l->block);
		issue(io);
	}
}

static void
open_disk(struct load *l, const char *uri, unsigned conns, unsigned depth)
{
	static struct nbc_target target;
	static struct nbc_options options = { .framing_max = NBE_EXTENDED,
	    .timeout_ms = 5000, .cancel_fd = -1 };
	static struct dialer_server server = { .target = &target, .options = &options };
	struct disk_config config = {
		.dev = { .conns_max = NBE_MAX_CONNS, .conns = (uint16_t)conns,
		    .depth = (uint16_t)depth, .timeout = 10 * NBE_SECOND,
		    .dead_timeout = 10 * NBE_SECOND, .fence = NBE_SECOND,
		    .backoff_min = NBE_SECOND, .backoff_max = NBE_SECOND, .seed = 1 },
		.server = &server,
		.events = { .resized = on_resized, .stopped = on_stopped, .log = on_log,
		    .arg = l },
	};
	struct nbc_conn conn[NBE_MAX_CONNS];
	struct nbc_tls_context *tls = NULL;
	struct nbc_error error;

	if (!nbc_target_parse(&target, uri, &error) ||
	    !nbc_tls_context_load(&tls, &target, &error))
		die(uri, error.text);
	server.tls = tls;
	for (unsigned i = 0; i < conns; i++)
		if (!nbc_open(&conn[i], &target, tls, &options, &error))
			die(uri, error.text);
	l->disk = disk_new(&l->ring, &config, conn, conns);
	if (l->disk == NULL)
		die("disk", "out of memory");
}

int
main(int argc, char **argv)
{
	static struct load l = { .random = 88172645463325252u };
	unsigned conns, depth;

	if (argc != 7)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	conns = (unsigned)atoi(argv[2]);
	depth = (unsigned)atoi(argv[3]);
	l.block = strtoull(argv[4], NULL, 10);
	l.ios = conns * depth;
	l.op = argv[6][0] == 'w' ? NBE_WRITE : NBE_READ;
	if (ring_init(&l.ring, RING_ENTRIES, false) < 0)
		die("ring", "cannot be made");
	open_disk(&l, argv[1], conns, depth);
	l.now_ns = figures_now_ns();
	l.end_ns = l.now_ns + (uint64_t)(atof(argv[5]) * 1e9);
	start(&l);
	return ring_run(&l.ring, turn, &l) == 0 ? 0 : 1;
}
