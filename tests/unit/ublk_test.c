/*
 * ublk_test.c - ublk without a kernel: requests, and what the kernel is told of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"
#include "note.h"
#include "ublk_op.h"
#include "ublk_params.h"

#define SIZE	(UINT64_C(64) << 20)
#define ALL	(NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA | \
		NBE_FLAG_SEND_TRIM | NBE_FLAG_SEND_WRITE_ZEROES)

static const struct nbe_export export_all = {
	.size = SIZE, .block_min = 4096, .block_pref = 65536, .flags = ALL,
};

/* ---- requests ------------------------------------------------------------------- */

static void
test_requests(void)
{
	static const struct {
		uint32_t	op_flags;
		uint8_t		op, flags;
		bool		has_range;
		int32_t		result;
	} t[] = {
		{ UBLK_IO_OP_READ, NBE_READ, 0, true, 8192 },
		{ UBLK_IO_OP_READ | UBLK_IO_F_FUA, NBE_READ, 0, true, 8192 },
		{ UBLK_IO_OP_WRITE, NBE_WRITE, 0, true, 8192 },
		{ UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, NBE_WRITE, NBE_FUA, true, 8192 },
		{ UBLK_IO_OP_FLUSH, NBE_FLUSH, 0, false, 0 },
		{ UBLK_IO_OP_DISCARD, NBE_TRIM, 0, true, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES, NBE_ZERO, 0, true, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_NOUNMAP, NBE_ZERO, NBE_NO_HOLE,
		    true, 0 },
		/* What fails fast elsewhere means nothing here. */
		{ UBLK_IO_OP_WRITE | 1u << 8, NBE_WRITE, 0, true, 8192 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ublksrv_io_desc d = {
			.op_flags = t[i].op_flags, .nr_sectors = 16,
			.start_sector = 24,
		};
		struct nbe_req r = { .op = NBE_OPS };

		CHECK(ublk_decode(&d, &export_all, false, &r) == 0);
		CHECK(r.op == t[i].op && r.flags == t[i].flags);
		CHECK(r.offset == (t[i].has_range ? 24 * 512 : 0));
		CHECK(r.length == (t[i].has_range ? 16 * 512 : 0));
		CHECK(ublk_result(&r) == t[i].result);
	}
}

static void
test_bad_requests(void)
{
	static const struct {
		uint32_t	op, sectors;
		uint64_t	start;
		int		error;
	} t[] = {
		{ UBLK_IO_OP_WRITE_SAME, 8, 0, EOPNOTSUPP },
		{ 6, 8, 0, EOPNOTSUPP },
		{ 255, 8, 0, EOPNOTSUPP },
		{ UBLK_IO_OP_READ, 0, 0, EINVAL },
		{ UBLK_IO_OP_READ, 8, SIZE / 512, EINVAL },
		{ UBLK_IO_OP_READ, 16, SIZE / 512 - 8, EINVAL },
		{ UBLK_IO_OP_READ, 8, UINT64_MAX, EINVAL },
		{ UBLK_IO_OP_READ, 8, UINT64_C(1) << 55, EINVAL },
		{ UBLK_IO_OP_WRITE, 8, 1, EINVAL },
		{ UBLK_IO_OP_WRITE, 1, 8, EINVAL },
		{ UBLK_IO_OP_WRITE, UBLK_PAYLOAD_MAX / 512, 0, 0 },
		{ UBLK_IO_OP_WRITE, UBLK_PAYLOAD_MAX / 512 + 8, 0, EINVAL },
		{ UBLK_IO_OP_DISCARD, SIZE / 512, 0, 0 },
		{ UBLK_IO_OP_DISCARD, UINT32_MAX, 0, EINVAL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ublksrv_io_desc d = {
			.op_flags = t[i].op, .nr_sectors = t[i].sectors,
			.start_sector = t[i].start,
		};
		struct nbe_req r;

		CHECK(ublk_decode(&d, &export_all, false, &r) == t[i].error);
	}
}

/* What was not offered is not taken, and a disk that is only read is only read. */
static void
test_not_offered(void)
{
	static const struct {
		uint32_t op, flag;
	} t[] = {
		{ UBLK_IO_OP_FLUSH, NBE_FLAG_SEND_FLUSH },
		{ UBLK_IO_OP_DISCARD, NBE_FLAG_SEND_TRIM },
		{ UBLK_IO_OP_WRITE_ZEROES, NBE_FLAG_SEND_WRITE_ZEROES },
	};
	struct ublksrv_io_desc d = { .op_flags = UBLK_IO_OP_WRITE, .nr_sectors = 8 };
	struct nbe_export exp = export_all;
	struct nbe_req r;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		d.op_flags = t[i].op;
		exp.flags = (uint16_t)(ALL & ~t[i].flag);
		CHECK(ublk_decode(&d, &exp, false, &r) == EOPNOTSUPP);
		CHECK(ublk_decode(&d, &export_all, true, &r) ==
		    (t[i].op == UBLK_IO_OP_FLUSH ? 0 : EROFS));
	}
	d.op_flags = UBLK_IO_OP_WRITE;
	CHECK(ublk_decode(&d, &export_all, true, &r) == EROFS);
	d.op_flags = UBLK_IO_OP_READ;
	CHECK(ublk_decode(&d, &export_all, true, &r) == 0);
}

/* ---- what the kernel is told --------------------------------------------------- */

static struct ublk_params
params(uint32_t flags, uint32_t sector_size, uint32_t block_pref, uint64_t discard_max)
{
	const struct ublkdev_config c = {
		.size = SIZE + 1536, .sector_size = sector_size,
		.block_pref = block_pref, .flags = flags, .discard_max = discard_max,
	};
	struct ublk_params p;

	ublk_params_make(&p, &c);
	return p;
}

static void
test_attributes(void)
{
	static const struct {
		uint32_t flags, attrs;
	} t[] = {
		{ 0, 0 },
		{ NBE_FLAG_SEND_FUA, 0 },	/* durable without any flush */
		{ NBE_FLAG_SEND_FLUSH, UBLK_ATTR_VOLATILE_CACHE },
		{ NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA | NBE_FLAG_ROTATIONAL,
		    UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA | UBLK_ATTR_ROTATIONAL },
	};
	struct ublkdev_config c = { .sector_size = 512, .read_only = true };
	struct ublk_params p;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(params(t[i].flags, 512, 4096, 0).basic.attrs == t[i].attrs);
	ublk_params_make(&p, &c);
	CHECK(p.basic.attrs == UBLK_ATTR_READ_ONLY);
}

static void
test_sizes(void)
{
	struct ublk_params p = params(ALL, 512, 4096, UINT64_MAX);

	CHECK(p.basic.dev_sectors == SIZE / 512 + 3);
	CHECK(p.basic.logical_bs_shift == 9 && p.basic.physical_bs_shift == 12);
	CHECK(p.basic.io_min_shift == 12 && p.basic.io_opt_shift == 12);
	CHECK(p.basic.max_sectors << 9 == UBLK_PAYLOAD_MAX);
	p = params(ALL, 4096, 4096, UINT64_MAX);
	CHECK(p.basic.dev_sectors == SIZE / 512);
	CHECK(p.basic.logical_bs_shift == 12 && p.basic.physical_bs_shift == 12);
	/* A physical block is no more than a page, hints are no more than a request. */
	p = params(ALL, 512, 65536, UINT64_MAX);
	CHECK(p.basic.physical_bs_shift < 16 && p.basic.io_min_shift == 16);
	p = params(ALL, 512, 32u << 20, UINT64_MAX);
	CHECK(1u << p.basic.io_opt_shift == UBLK_PAYLOAD_MAX);
}

static void
test_discards(void)
{
	struct ublk_params p = params(ALL, 512, 65536, UINT64_MAX);

	CHECK(p.discard.discard_granularity == 65536);
	CHECK(p.discard.max_discard_sectors > UINT32_MAX / 512 - 128);
	CHECK(p.discard.max_discard_sectors % 128 == 0);
	CHECK(p.discard.max_write_zeroes_sectors % 128 == 0);
	CHECK(p.discard.max_write_zeroes_sectors > 0);
	CHECK(params(ALL, 512, 65536, 1u << 20).discard.max_discard_sectors == 2048);
	CHECK(params(ALL, 512, 65536, 1).discard.max_discard_sectors == 128);
	CHECK(params(ALL, 512, 65536, 0).discard.max_discard_sectors == 0);
	p = params(NBE_FLAG_SEND_TRIM, 512, 4096, UINT64_MAX);
	CHECK(p.discard.max_discard_sectors > 0);
	CHECK(p.discard.max_write_zeroes_sectors == 0);
	p = params(NBE_FLAG_SEND_WRITE_ZEROES, 512, 4096, UINT64_MAX);
	CHECK(p.discard.max_discard_sectors == 0);
	CHECK(p.discard.max_write_zeroes_sectors > 0);
}

/* ---- what the next server is told --------------------------------------------- */

static bool
is_noted(const char *path)
{
	return note_read(path).unflushed;
}

static void
test_unflushed(void)
{
	static const struct {
		uint8_t	op, flags, error;
		bool	noted;		/* afterwards */
	} t[] = {
		{ NBE_READ, 0, NBE_OK, false },
		{ NBE_EXTENTS, 0, NBE_OK, false },
		{ NBE_CACHE, 0, NBE_OK, false },
		{ NBE_WRITE, NBE_FUA, NBE_OK, false },
		{ NBE_WRITE, 0, NBE_OK, true },
		{ NBE_FLUSH, 0, NBE_EIO, true },
		{ NBE_FLUSH, 0, NBE_OK, false },
		{ NBE_TRIM, 0, NBE_OK, true },
		{ NBE_FLUSH, 0, NBE_OK, false },
		{ NBE_ZERO, 0, NBE_OK, true },
		{ NBE_READ, 0, NBE_OK, true },
		{ NBE_EXTENTS, 0, NBE_OK, true },
		{ NBE_FLUSH, 0, NBE_OK, false },
		{ NBE_WRITE, NBE_FUA, NBE_EIO, true },	/* a piece may be there */
	};
	char path[] = "/tmp/ublk_test.XXXXXX";
	struct note n;
	struct errtext err;
	int fd = mkstemp(path);
	struct note_left left = { .unflushed = true };

	CHECK(note_open(&n, path, &left, &err) && !left.unflushed);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct nbe_req r = {
			.op = t[i].op, .flags = t[i].flags, .error = t[i].error,
		};

		note_done(&n, &r, note_mark(&n));
		CHECK(is_noted(path) == t[i].noted);
	}
	note_close(&n);
	close(fd);
	unlink(path);
	CHECK(!note_open(&n, "/nowhere/at/all", &left, &err) && !left.unflushed);
}

/* A flush covers what was acknowledged before it, not what was meanwhile. */
static void
test_flush_and_write(void)
{
	char path[] = "/tmp/ublk_test.XXXXXX";
	struct nbe_req write = { .op = NBE_WRITE }, flush = { .op = NBE_FLUSH };
	struct note n;
	struct errtext err;
	int fd = mkstemp(path);
	struct note_left left;
	uint64_t mark;

	CHECK(note_open(&n, path, &left, &err));
	mark = note_mark(&n);
	note_done(&n, &write, 0);
	note_done(&n, &flush, mark);
	CHECK(is_noted(path));
	note_done(&n, &flush, note_mark(&n));
	CHECK(!is_noted(path));
	note_close(&n);
	close(fd);
	unlink(path);
}

/* Which servers may have something, also as an older version has left it. */
static void
test_paths_left(void)
{
	char path[] = "/tmp/ublk_test.XXXXXX";
	struct note_left left;
	struct note n;
	struct errtext err;
	int fd = mkstemp(path);

	left = note_read("/nowhere/at/all");
	CHECK(!left.unflushed && left.paths == 0);
	CHECK(note_open(&n, path, &left, &err) && left.paths == 0);
	note_paths(&n, 6, 2);
	left = note_read(path);
	CHECK(!left.unflushed && left.paths == 6 && left.active == 2);
	note_close(&n);
	CHECK(note_open(&n, path, &left, &err) && left.paths == 6);
	CHECK(left.active == 2);
	note_close(&n);
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "\1", 1, 0) == 1);
	CHECK(note_open(&n, path, &left, &err));
	CHECK(left.unflushed && left.paths == 255 && left.active == 0);
	note_paths(&n, 1, 0);
	left = note_read(path);
	CHECK(left.unflushed && left.paths == 1);
	note_close(&n);
	close(fd);
	unlink(path);
}

/* Whether the next one may ask the server for what is unflushed. */
static void
test_doubt(void)
{
	char path[] = "/tmp/ublk_test.XXXXXX";
	struct nbe_req write = { .op = NBE_WRITE }, flush = { .op = NBE_FLUSH };
	struct note n = { .file = NULL };
	struct errtext err;
	int fd = mkstemp(path);
	struct note_left left;
	uint64_t mark;

	CHECK(note_conns(&n) == NULL);
	CHECK(note_open(&n, path, &left, &err));
	left = note_read(path);
	CHECK(!left.doubt && left.conn[0].can_ask == 0);
	note_conns(&n)[0].can_ask = note_conns(&n)[31].can_ask = 1;
	note_conns(&n)[31].tx_records = UINT64_MAX - 1;
	note_conns(&n)[31].rx_records = 5;
	left = note_read(path);
	CHECK(left.conn[0].can_ask == 1 && left.conn[30].can_ask == 0);
	CHECK(left.conn[31].can_ask == 1 && left.conn[31].rx_records == 5 &&
	    left.conn[31].tx_records == UINT64_MAX - 1);
	mark = note_mark(&n);
	note_epoch(&n, false);
	note_done(&n, &flush, mark);	/* asked for before */
	CHECK(note_read(path).doubt);
	mark = note_mark(&n);
	note_done(&n, &write, 0);	/* which is not covered, and not in doubt */
	note_done(&n, &flush, mark);
	left = note_read(path);
	CHECK(!left.doubt && left.unflushed);
	note_epoch(&n, true);		/* the last connection was left in order */
	left = note_read(path);
	CHECK(!left.doubt && !left.unflushed);
	note_done(&n, &write, 0);
	note_epoch(&n, false);
	note_epoch(&n, true);		/* what was lost before is still to be told */
	left = note_read(path);
	CHECK(left.doubt && left.unflushed);
	note_done(&n, &flush, note_mark(&n));
	note_done(&n, &write, 0);
	note_close(&n);
	/* One that comes after has lost sight of it, until the server has said it. */
	CHECK(note_open(&n, path, &left, &err));
	CHECK(left.unflushed && !left.doubt && note_read(path).doubt);
	CHECK(note_read(path).conn[31].can_ask == 0);
	note_no_doubt(&n);
	left = note_read(path);
	CHECK(!left.unflushed && !left.doubt);
	note_epoch(&n, false);
	note_done(&n, &write, 0);
	note_no_doubt(&n);		/* not what this one has acknowledged */
	left = note_read(path);
	CHECK(left.unflushed && left.doubt);
	note_close(&n);
	CHECK(ftruncate(fd, 3) == 0 && note_read(path).doubt);
	close(fd);
	unlink(path);
}

static const struct test tests[] = {
	{ "each request means what NBD means by it", test_requests },
	{ "what is outside of the disk, or unknown, is refused", test_bad_requests },
	{ "what was not offered is refused", test_not_offered },
	{ "write cache, FUA, rotational, read-only", test_attributes },
	{ "sizes of disk, blocks and requests", test_sizes },
	{ "discards and zeroes", test_discards },
	{ "unflushed changes are noted, and no others", test_unflushed },
	{ "a flush covers what came before it", test_flush_and_write },
	{ "servers that may have something are noted", test_paths_left },
	{ "what is noted for who may ask the server", test_doubt },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
