/*
 * fuse_decode_test.c - the FUSE decoder against a hostile kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Every call lies in memory of exactly its length, so that the sanitizers see
 * one byte read too many.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fuse/tap.h"
#include "fuse_impl.h"

#define DISK_SIZE	(UINT64_C(1) << 30)
#define OPCODES		60
#define ARG_MAX_LEN	160

static const struct nbe_export export_all = {
	.size = DISK_SIZE, .block_min = 512, .block_pref = 4096,
	.flags = NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_TRIM |
	    NBE_FLAG_SEND_WRITE_ZEROES,
	.has_alloc = true,
};

struct outcome {
	enum fuse_verdict verdict;
	struct fuse_answer answer;
	bool split;
};

static uint8_t out[FUSE_PAYLOAD_MAX];
static struct fuse_agreed agreed;

/* One message as read(2) would return it, decoded. */
static struct outcome
decode(struct fuse_fs *fs, const struct nbe_export *exp, uint32_t opcode,
    uint64_t node, const void *arg, size_t arg_len)
{
	size_t len = sizeof(struct fuse_in_header) + arg_len;
	struct fuse_in_header head = {
		.len = (uint32_t)len, .opcode = opcode, .unique = 2, .nodeid = node,
	};
	struct outcome o = { .answer.out = out };
	struct fuse_call call;
	uint8_t *bytes = malloc(len);

	fs->agreed = &agreed;
	memcpy(bytes, &head, sizeof(head));
	if (arg_len > 0)
		memcpy(bytes + sizeof(head), arg, arg_len);
	o.split = fuse_call_split(&call, bytes, len);
	if (o.split)
		o.verdict = fuse_decode(fs, exp, &call, &o.answer);
	free(bytes);
	return o;
}

static struct outcome
decode_disk(uint32_t opcode, const void *arg, size_t arg_len)
{
	struct fuse_fs fs = { .mode = 0600 };

	return decode(&fs, &export_all, opcode, FUSE_INO_DISK, arg, arg_len);
}

/* What must hold of every outcome, whatever came in. */
static bool
is_sane(const struct outcome *o)
{
	const struct fuse_order *order = &o->answer.order;

	if (o->answer.error < 0 || o->answer.error >= 512 ||
	    o->answer.len > FUSE_PAYLOAD_MAX)
		return false;
	if (o->verdict != FUSE_ORDER || order->goal == GOAL_FLUSH)
		return true;
	if (order->length == 0 || order->offset >= DISK_SIZE ||
	    order->length > DISK_SIZE - order->offset)
		return false;
	return order->length <= FUSE_PAYLOAD_MAX ||
	    order->goal == GOAL_ZERO || order->goal == GOAL_SEEK;
}

static bool
refused(const struct outcome *o, int error)
{
	return o->verdict == FUSE_ANSWER && o->answer.error == error;
}

static bool
ordered(const struct outcome *o, uint64_t offset, uint64_t length)
{
	return o->verdict == FUSE_ORDER && o->answer.order.offset == offset &&
	    o->answer.order.length == length;
}

static void
case_every_length(void)
{
	uint8_t arg[ARG_MAX_LEN];

	for (int fill = 0; fill < 256; fill += 255) {
		memset(arg, fill, sizeof(arg));
		for (uint32_t opcode = 0; opcode < OPCODES; opcode++)
			for (size_t len = 0; len <= sizeof(arg); len++) {
				struct outcome o = decode_disk(opcode, arg, len);

				CHECK(o.split && is_sane(&o));
			}
	}
}

static void
case_random_bytes(void)
{
	uint8_t arg[ARG_MAX_LEN];
	unsigned seed = 1;

	for (unsigned i = 0; i < 300000; i++) {
		struct fuse_fs fs = { .mode = 0600 };
		size_t len = (size_t)rand_r(&seed) % sizeof(arg);
		uint64_t node = (uint64_t)rand_r(&seed) % 4;
		struct outcome o;

		/* Small values are the interesting ones. */
		for (size_t k = 0; k < len; k++)
			arg[k] = rand_r(&seed) % 4 == 0 ? (uint8_t)rand_r(&seed) : 0;
		o = decode(&fs, &export_all, (uint32_t)rand_r(&seed) % OPCODES, node,
		    arg, len);
		if (!CHECK(o.split && is_sane(&o)))
			return;
	}
}

static void
case_length_that_lies(void)
{
	struct fuse_in_header head = { .len = 41, .opcode = FUSE_GETATTR };
	struct fuse_call call;

	for (size_t len = 0; len <= sizeof(head); len++) {
		void *bytes = malloc(len + 1);

		memcpy(bytes, &head, len);
		CHECK(!fuse_call_split(&call, bytes, len));
		free(bytes);
	}
	head.len = UINT32_MAX;
	CHECK(!fuse_call_split(&call, &head, sizeof(head)));
}

static void
case_unknown_opcodes(void)
{
	static const uint32_t opcodes[] = {
		0, FUSE_MKDIR, FUSE_GETXATTR, FUSE_IOCTL, 55, 4096, UINT32_MAX,
	};

	for (size_t i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++) {
		struct outcome o = decode_disk(opcodes[i], NULL, 0);

		CHECK(refused(&o, ENOSYS));
	}
}

static void
case_read(void)
{
	struct fuse_read_in in = { .offset = 4096, .size = 8192 };
	struct outcome o = decode_disk(FUSE_READ, &in, sizeof(in));

	CHECK(ordered(&o, 4096, 8192));
	in.offset = DISK_SIZE - 100;
	o = decode_disk(FUSE_READ, &in, sizeof(in));
	CHECK(ordered(&o, DISK_SIZE - 100, 100));
	in.offset = DISK_SIZE;
	o = decode_disk(FUSE_READ, &in, sizeof(in));
	CHECK(refused(&o, 0) && o.answer.len == 0);
	in.offset = UINT64_MAX;
	o = decode_disk(FUSE_READ, &in, sizeof(in));
	CHECK(refused(&o, 0) && o.answer.len == 0);
	in = (struct fuse_read_in){ .size = FUSE_PAYLOAD_MAX + 1 };
	o = decode_disk(FUSE_READ, &in, sizeof(in));
	CHECK(refused(&o, EINVAL));
}

static void
case_write(void)
{
	struct {
		struct fuse_write_in in;
		uint8_t data[512];
	} w = { .in = { .offset = 512, .size = 512, .flags = O_DSYNC } };
	struct outcome o = decode_disk(FUSE_WRITE, &w, sizeof(w));

	CHECK(ordered(&o, 512, 512) && o.answer.order.flags == NBE_FUA);
	w.in.offset = DISK_SIZE - 12;
	o = decode_disk(FUSE_WRITE, &w, sizeof(w));
	CHECK(ordered(&o, DISK_SIZE - 12, 12));
	w.in.offset = DISK_SIZE;
	o = decode_disk(FUSE_WRITE, &w, sizeof(w));
	CHECK(refused(&o, ENOSPC));
	w.in.offset = UINT64_MAX;
	o = decode_disk(FUSE_WRITE, &w, sizeof(w));
	CHECK(refused(&o, ENOSPC));
	/* It claims more, or less, than was sent. */
	w.in.offset = 0;
	for (w.in.size = 0; w.in.size < 2000; w.in.size++) {
		o = decode_disk(FUSE_WRITE, &w, sizeof(w));
		CHECK(w.in.size == 0 || w.in.size == 512 || refused(&o, EINVAL));
	}
	w.in.size = UINT32_MAX;
	o = decode_disk(FUSE_WRITE, &w, sizeof(w));
	CHECK(refused(&o, EINVAL));
}

static void
case_fallocate(void)
{
	struct fuse_fallocate_in in = {
		.offset = DISK_SIZE - 4096, .length = INT64_MAX,
		.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	};
	struct outcome o = decode_disk(FUSE_FALLOCATE, &in, sizeof(in));
	struct fuse_fs fs = { .zero_slowly = true };

	CHECK(ordered(&o, DISK_SIZE - 4096, 4096) && o.answer.order.trim &&
	    o.answer.order.flags == (NBE_FAST_ZERO | NBE_FAST_ONLY));
	o = decode(&fs, &export_all, FUSE_FALLOCATE, FUSE_INO_DISK, &in, sizeof(in));
	CHECK(ordered(&o, DISK_SIZE - 4096, 4096) && o.answer.order.trim &&
	    o.answer.order.flags == NBE_FAST_ZERO);
	in.length = UINT64_MAX;
	o = decode_disk(FUSE_FALLOCATE, &in, sizeof(in));
	CHECK(refused(&o, EINVAL));
	in.mode = FALLOC_FL_ZERO_RANGE;
	in.length = 4096;
	o = decode_disk(FUSE_FALLOCATE, &in, sizeof(in));
	CHECK(ordered(&o, DISK_SIZE - 4096, 4096) && !o.answer.order.trim &&
	    o.answer.order.flags == NBE_NO_HOLE);
	in.length++;
	o = decode_disk(FUSE_FALLOCATE, &in, sizeof(in));
	CHECK(refused(&o, ENOSPC));
	in.mode = FALLOC_FL_COLLAPSE_RANGE;
	o = decode_disk(FUSE_FALLOCATE, &in, sizeof(in));
	CHECK(refused(&o, EOPNOTSUPP));
}

static void
case_read_only(void)
{
	struct fuse_fs fs = { .read_only = true };
	struct fuse_write_in write = { .size = 0 };
	struct fuse_open_in open = { .flags = O_RDWR };
	struct fuse_fallocate_in zero = { .mode = FALLOC_FL_ZERO_RANGE, .length = 512 };
	struct outcome o;

	o = decode(&fs, &export_all, FUSE_WRITE, FUSE_INO_DISK, &write, sizeof(write));
	CHECK(refused(&o, EROFS));
	o = decode(&fs, &export_all, FUSE_OPEN, FUSE_INO_DISK, &open, sizeof(open));
	CHECK(refused(&o, EROFS));
	o = decode(&fs, &export_all, FUSE_FALLOCATE, FUSE_INO_DISK, &zero,
	    sizeof(zero));
	CHECK(refused(&o, EROFS));
}

/* Room for no entry, for one, for all; and from every place on. */
static void
case_readdir(void)
{
	struct fuse_fs fs = { .mode = 0600 };

	for (uint32_t room = 0; room < 200; room++)
		for (uint64_t from = 0; from < 5; from++) {
			struct fuse_read_in in = { .offset = from, .size = room };
			struct outcome o = decode(&fs, &export_all, FUSE_READDIR,
			    FUSE_ROOT_ID, &in, sizeof(in));

			CHECK(refused(&o, 0) && o.answer.len <= room);
			CHECK(from < 3 || o.answer.len == 0);
			CHECK(from > 2 || room < 32 || o.answer.len >= 32);
		}
}

static void
case_lookup(void)
{
	struct fuse_fs fs = { .mode = 0600 };
	struct outcome o;

	o = decode(&fs, &export_all, FUSE_LOOKUP, FUSE_ROOT_ID, "disk", 5);
	CHECK(refused(&o, 0) && o.answer.len == sizeof(struct fuse_entry_out));
	o = decode(&fs, &export_all, FUSE_LOOKUP, FUSE_ROOT_ID, "disk", 4);
	CHECK(refused(&o, ENOENT));
	o = decode(&fs, &export_all, FUSE_LOOKUP, FUSE_ROOT_ID, "diskette", 9);
	CHECK(refused(&o, ENOENT));
	o = decode(&fs, &export_all, FUSE_LOOKUP, FUSE_INO_DISK, "disk", 5);
	CHECK(refused(&o, ENOTDIR));
}

static void
case_init(void)
{
	struct fuse_init_in in = {
		.major = 7, .minor = 45, .max_readahead = 131072,
		.flags = UINT32_MAX, .flags2 = UINT32_MAX,
	};
	struct fuse_fs fs = { .want_uring = true, .max_background = 64 };
	const struct fuse_init_out *reply = (const void *)out;
	struct outcome o;

	in.major = 8;
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, sizeof(in));
	CHECK(refused(&o, 0) && reply->major == 7 && !fs.inited);
	in.major = 7;
	/* A kernel before 7.36 sends no second word of flags. */
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, 16);
	CHECK(refused(&o, 0) && fs.inited && !fs.over_uring && reply->flags2 == 0);
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, sizeof(in));
	CHECK(refused(&o, EPROTO));
	fs.inited = false;
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, sizeof(in));
	CHECK(refused(&o, 0) && fs.over_uring && reply->max_write == FUSE_PAYLOAD_MAX);
	CHECK(fs.can_resend);
	in.flags2 &= ~(uint32_t)(FUSE_HAS_RESEND >> 32);
	fs.inited = false;
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, sizeof(in));
	CHECK(refused(&o, 0) && !fs.can_resend);
	fs = (struct fuse_fs){ .want_uring = false };
	o = decode(&fs, &export_all, FUSE_INIT, 0, &in, sizeof(in));
	CHECK(refused(&o, 0) && fs.inited && !fs.over_uring);
}

/* ---- what outlives the daemon -------------------------------------------------- */

static uint64_t
open_it(struct fuse_fs *fs, uint64_t unique)
{
	struct {
		struct fuse_in_header head;
		struct fuse_open_in in;
	} open = {
		.head = {
			.len = sizeof(open), .opcode = FUSE_OPEN, .unique = unique,
			.nodeid = FUSE_INO_DISK,
		},
	};
	struct fuse_answer answer = { .out = out };
	struct fuse_call call;

	fs->agreed = &agreed;
	if (!CHECK(fuse_call_split(&call, &open, sizeof(open)) &&
	    fuse_decode(fs, &export_all, &call, &answer) == FUSE_ANSWER))
		return 0;
	return answer.error == 0 ? ((const struct fuse_open_out *)(void *)out)->fh : 0;
}

static void
close_it(struct fuse_fs *fs, uint64_t handle)
{
	struct fuse_release_in in = { .fh = handle };

	(void)decode(fs, &export_all, FUSE_RELEASE, FUSE_INO_DISK, &in, sizeof(in));
}

/* A request that comes again has the highest bit of its number set. */
static void
case_open_again(void)
{
	struct fuse_fs fs = { .mode = 0600 };
	uint64_t first, second;

	agreed = (struct fuse_agreed){ .version = FUSE_AGREED_VERSION };
	first = open_it(&fs, 4);
	second = open_it(&fs, 6);
	CHECK(first != 0 && second != 0 && first != second && fs.opens == 2);
	CHECK(open_it(&fs, 6 | FUSE_UNIQUE_RESEND) == second && fs.opens == 2);
	close_it(&fs, first);
	close_it(&fs, first);
	CHECK(fs.opens == 1);
	close_it(&fs, 0);
	close_it(&fs, 12345);
	CHECK(fs.opens == 1);
	for (uint64_t i = 1; i < FUSE_HANDLES_MAX; i++)
		CHECK(open_it(&fs, 100 + 2 * i) != 0);
	CHECK(open_it(&fs, 2) == 0 && fs.opens == FUSE_HANDLES_MAX);
	close_it(&fs, second);
	CHECK(open_it(&fs, 2) != 0);
}

static void
case_left(void)
{
	static const struct {
		size_t	less;
		uint32_t version, max_write;
		uint64_t size;
		uint32_t block_min, flags;
		bool	fits;
	} t[] = {
#define ALL	(NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_TRIM | \
		NBE_FLAG_SEND_WRITE_ZEROES)
		{ 0, 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL, true },
		{ 0, 1, 4096, DISK_SIZE - 512, 4096, NBE_FLAG_SEND_FLUSH |
		    NBE_FLAG_CAN_MULTI_CONN, true },
		{ 1, 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL, false },
		{ sizeof(agreed), 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL, false },
		{ 0, 0, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL, false },
		{ 0, 2, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL, false },
		{ 0, 1, FUSE_PAYLOAD_MAX + 1, DISK_SIZE, 512, ALL, false },
		{ 0, 1, 0, DISK_SIZE, 512, ALL, false },
		{ 0, 1, FUSE_PAYLOAD_MAX, DISK_SIZE + 1, 512, ALL, false },
		{ 0, 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 256, ALL, false },
		{ 0, 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL | NBE_FLAG_SEND_FUA,
		    false },
		{ 0, 1, FUSE_PAYLOAD_MAX, DISK_SIZE, 512, ALL | NBE_FLAG_READ_ONLY,
		    false },
	};
	struct errtext err;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct fuse_agreed a = {
			.version = t[i].version, .max_write = t[i].max_write,
			.size = t[i].size, .block_min = t[i].block_min,
			.flags = t[i].flags,
		};
		size_t len = sizeof(a) - t[i].less;
		void *bytes = calloc(1, len + 1);

		memcpy(bytes, &a, len);
		CHECK(fuse_agreed_check(bytes, len, &export_all, &err) == t[i].fits);
		CHECK(!fuse_agreed_check(bytes, len + 1, &export_all, &err) ||
		    t[i].less == 1);
		free(bytes);
	}
}

/* What is noted is there for the next one, and nothing for who has no file. */
static void
case_left_in_file(void)
{
	char path[] = "/tmp/fuse_agreed.XXXXXX";
	struct fuse_agreed *a;
	struct errtext err;
	int fd = mkstemp(path);

	a = fuse_agreed_new(path, &export_all, 77, &err);
	CHECK(a != NULL && fuse_agreed_open(a, 4) && fuse_agreed_opens(a) == 1);
	fuse_agreed_free(a);
	a = fuse_agreed_take(path, &export_all, &err);
	CHECK(a != NULL && a->started_s == 77 && fuse_agreed_opens(a) == 1);
	fuse_agreed_free(a);
	CHECK(ftruncate(fd, sizeof(*a) + 1) == 0);
	CHECK(fuse_agreed_take(path, &export_all, &err) == NULL);
	close(fd);
	unlink(path);
	CHECK(fuse_agreed_take(path, &export_all, &err) == NULL);
	CHECK(fuse_agreed_new("/nowhere/at/all", &export_all, 0, &err) == NULL);
	a = fuse_agreed_new(NULL, &export_all, 0, &err);
	CHECK(a != NULL && fuse_agreed_opens(a) == 0);
	fuse_agreed_free(a);
}

static const struct tap_case cases[] = {
	{ "every opcode at every length", case_every_length },
	{ "random bytes", case_random_bytes },
	{ "a length that lies", case_length_that_lies },
	{ "unknown opcodes", case_unknown_opcodes },
	{ "read", case_read },
	{ "write", case_write },
	{ "fallocate", case_fallocate },
	{ "read-only", case_read_only },
	{ "readdir", case_readdir },
	{ "lookup", case_lookup },
	{ "a file that is opened or closed again", case_open_again },
	{ "what a daemon has left: versions, lengths, another disk", case_left },
	{ "what a daemon has left: its file", case_left_in_file },
	{ "init", case_init },
};

int
main(void)
{
	return tap_main(cases, sizeof(cases) / sizeof(*cases));
}
