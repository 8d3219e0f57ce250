/*
 * fuse_test.c - the client's side of fuse_test.sh.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: fuse_test COMMAND ...; the table at the end names them.
 *
 * "file" looks at the served file as a program would and prints TAP; the others
 * call what nbdisk_attach offers to other processes than the one that serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "loopdev.h"
#include "mounts.h"
#include "tap.h"

/* ---- file -------------------------------------------------------------------- */

#define SPAN		(8u << 20)	/* bytes of the file that are compared */
#define LENGTH_MAX	(3u << 20)	/* more than one FUSE request */
#define ROUNDS		300

/* The cases of one run share these. */
static struct {
	const char	*path;
	int		 fd;
	uint64_t	 size;
	uint8_t		 shadow[SPAN], got[LENGTH_MAX];
	uint64_t	 random;
} t;

static uint64_t
random_below(uint64_t limit)
{
	t.random ^= t.random << 13;
	t.random ^= t.random >> 7;
	t.random ^= t.random << 17;
	return t.random % limit;
}

/* Mostly small, odd and at odd places; sometimes large. */
static void
random_range(uint64_t *offset, uint64_t *length)
{
	uint64_t most = random_below(10) == 0 ? LENGTH_MAX : 20000;

	*length = 1 + random_below(most);
	*offset = random_below(SPAN - *length);
	if (random_below(3) == 0) {
		*length = (*length + 4095) / 4096 * 4096;
		*offset = *offset / 4096 * 4096;
		if (*offset + *length > SPAN)
			*offset = 0;
	}
}

static bool
read_matches(uint64_t offset, uint64_t length)
{
	if (length > LENGTH_MAX)
		length = LENGTH_MAX;
	return pread(t.fd, t.got, length, (off_t)offset) == (ssize_t)length &&
	    memcmp(t.got, t.shadow + offset, length) == 0;
}

static void
case_random_io(void)
{
	for (unsigned i = 0; i < ROUNDS && tap_failures == 0; i++) {
		uint64_t offset, length;

		random_range(&offset, &length);
		for (uint64_t k = 0; k < length; k++)
			t.shadow[offset + k] = (uint8_t)(random_below(255) + 1);
		CHECK(pwrite(t.fd, t.shadow + offset, length, (off_t)offset) ==
		    (ssize_t)length);
		random_range(&offset, &length);
		CHECK(read_matches(offset, length));
	}
	for (uint64_t at = 0; at < SPAN; at += 1u << 20)
		CHECK(read_matches(at, 1u << 20));
}

static void
case_end_of_file(void)
{
	uint8_t bytes[8192] = { 0 };

	CHECK(pread(t.fd, bytes, 100, (off_t)t.size - 10) == 10);
	CHECK(pread(t.fd, bytes, 100, (off_t)t.size) == 0);
	CHECK(pwrite(t.fd, bytes, sizeof(bytes), (off_t)t.size - 4096) == 4096);
	CHECK(pwrite(t.fd, bytes, 100, (off_t)t.size - 10) == 10);
	CHECK(pwrite(t.fd, bytes, 100, (off_t)t.size) < 0 && errno == ENOSPC);
}

static void
case_size_is_fixed(void)
{
	struct stat st;

	CHECK(ftruncate(t.fd, (off_t)t.size) == 0);
	CHECK(ftruncate(t.fd, 0) < 0 && errno == EPERM);
	CHECK(ftruncate(t.fd, (off_t)t.size + 1) < 0 && errno == EPERM);
	CHECK(open(t.path, O_WRONLY | O_TRUNC | O_CLOEXEC) < 0);
	CHECK(fstat(t.fd, &st) == 0 && (uint64_t)st.st_size == t.size);
}

static void
case_zeroing(void)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
	};

	for (unsigned i = 0; i < 60; i++) {
		uint64_t offset, length;

		random_range(&offset, &length);
		CHECK(fallocate(t.fd, modes[i % 2], (off_t)offset,
		    (off_t)length) == 0);
		memset(t.shadow + offset, 0, length);
		offset = offset > 5000 ? offset - 5000 : 0;
		CHECK(read_matches(offset, SPAN - offset < length + 10000 ?
		    SPAN - offset : length + 10000));
	}
	CHECK(fallocate(t.fd, 0, 0, 4096) < 0 && errno == EOPNOTSUPP);
	/* A punch beyond the end is cut there; zeroing would have to grow. */
	CHECK(fallocate(t.fd, modes[0], (off_t)t.size - 4096, 8192) == 0);
	CHECK(fallocate(t.fd, modes[1], (off_t)t.size - 4096, 8192) < 0 &&
	    errno == ENOSPC);
}

/* Behind SPAN nothing was written yet. */
static void
case_holes(void)
{
	off_t base = 16 << 20, data = base + (3 << 20) + 65536;
	uint8_t byte = 1;

	CHECK(lseek(t.fd, base, SEEK_HOLE) == base);
	CHECK(pwrite(t.fd, &byte, 1, data + 5) == 1);
	CHECK(lseek(t.fd, base, SEEK_DATA) == data);
	CHECK(lseek(t.fd, data + 7, SEEK_DATA) == data + 7);
	CHECK(lseek(t.fd, data + 7, SEEK_HOLE) == data + 65536);
	CHECK(lseek(t.fd, data + 65536, SEEK_DATA) == (off_t)t.size - 65536);
	CHECK(lseek(t.fd, (off_t)t.size - 1, SEEK_HOLE) == (off_t)t.size);
	CHECK(lseek(t.fd, (off_t)t.size, SEEK_DATA) < 0 && errno == ENXIO);
	CHECK(fallocate(t.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, data,
	    65536) == 0);
	CHECK(lseek(t.fd, base, SEEK_DATA) == (off_t)t.size - 65536);
}

/* Coherent both ways, or refused by a kernel before 6.6. */
static void
case_shared_mapping(void)
{
	uint8_t *map = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);

	if (map == MAP_FAILED) {
		CHECK(errno == ENODEV);
		return;
	}
	CHECK(memcmp(map, t.shadow, SPAN) == 0);
	memset(map + 12345, 'm', 100000);
	memset(t.shadow + 12345, 'm', 100000);
	CHECK(msync(map, SPAN, MS_SYNC) == 0);
	CHECK(read_matches(0, 200000));
	memset(t.shadow + 500, 'w', 10000);
	CHECK(pwrite(t.fd, t.shadow + 500, 10000, 500) == 10000);
	CHECK(memcmp(map, t.shadow, SPAN) == 0);
	CHECK(munmap(map, SPAN) == 0);
}

static void
case_names(void)
{
	char dir[4096], other[4096 + 8];
	struct stat st;

	snprintf(dir, sizeof(dir), "%s", t.path);
	*strrchr(dir, '/') = '\0';
	snprintf(other, sizeof(other), "%s/other", dir);
	CHECK(stat(other, &st) < 0 && errno == ENOENT);
	CHECK(open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600) < 0);
	CHECK(unlink(t.path) < 0);
	CHECK(chmod(t.path, 0666) < 0 && errno == EPERM);
	CHECK(stat(t.path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1);
}

static const struct tap_case file_cases[] = {
	{ "random reads and writes", case_random_io },
	{ "end of the device", case_end_of_file },
	{ "the size is fixed", case_size_is_fixed },
	{ "zeroing", case_zeroing },
	{ "holes", case_holes },
	{ "shared mapping", case_shared_mapping },
	{ "names", case_names },
};

static int
check_file(char **arg)
{
	struct stat st;

	t.path = arg[0];
	t.random = 88172645463325252u;
	t.fd = open(t.path, O_RDWR | O_CLOEXEC);
	if (t.fd < 0 || fstat(t.fd, &st) < 0 ||
	    pread(t.fd, t.shadow, SPAN, 0) != SPAN) {
		perror(t.path);
		return 1;
	}
	t.size = (uint64_t)st.st_size;
	return tap_main(file_cases, sizeof(file_cases) / sizeof(*file_cases));
}

/* ---- contend: parts of one block, written by several at once -------------------- */

#define WRITERS		8
#define RECORD		100	/* each block holds records of all */
#define RECORDS		400
#define LONE_BLOCK	(1u << 20)

/* Its records among those of the others. */
static bool
write_records(int fd, unsigned writer)
{
	uint8_t wrote[RECORD], got[RECORD];
	bool ok = true;

	memset(wrote, (int)writer + 1, sizeof(wrote));
	for (unsigned i = 0; i < RECORDS; i++)
		ok &= pwrite(fd, wrote, RECORD,
		    (off_t)(i * WRITERS + writer) * RECORD) == RECORD;
	for (unsigned i = 0; i < RECORDS; i++)
		ok &= pread(fd, got, RECORD,
		    (off_t)(i * WRITERS + writer) * RECORD) == RECORD &&
		    memcmp(got, wrote, RECORD) == 0;
	return ok;
}

/* A whole block, again and again, while others write ten bytes of it. */
static bool
write_block(int fd)
{
	uint8_t wrote[65536], got[65536];
	bool ok = true;

	for (int i = 0; i < RECORDS; i++) {
		memset(wrote, i, sizeof(wrote));
		ok &= pwrite(fd, wrote, sizeof(wrote), LONE_BLOCK) == sizeof(wrote) &&
		    pread(fd, got, sizeof(got), LONE_BLOCK) == sizeof(got) &&
		    memcmp(got, wrote, 10) == 0 &&
		    memcmp(got + 20, wrote + 20, sizeof(got) - 20) == 0;
	}
	return ok;
}

static bool
write_ten_bytes(int fd)
{
	bool ok = true;

	for (unsigned i = 0; i < 2 * RECORDS; i++)
		ok &= pwrite(fd, "0123456789", 10, LONE_BLOCK + 10) == 10;
	return ok;
}

static int
contend(char **arg)
{
	int status, failed = 0;

	for (unsigned i = 0; i < WRITERS + 2; i++) {
		if (fork() == 0) {
			int fd = open(arg[0], O_RDWR | O_CLOEXEC);

			_exit(!(i < WRITERS ? write_records(fd, i) :
			    i == WRITERS ? write_block(fd) : write_ten_bytes(fd)));
		}
	}
	while (wait(&status) > 0)
		failed += status != 0;
	return failed > 0;
}

/* One write with O_DSYNC and one fsync: for the disk's counters. */
static int
sync_file(char **arg)
{
	int fd = open(arg[0], O_RDWR | O_DSYNC | O_CLOEXEC);
	uint8_t block[4096] = { 0 };
	bool ok = fd >= 0 && pwrite(fd, block, sizeof(block), 0) == sizeof(block) &&
	    fsync(fd) == 0;

	if (!ok)
		perror(arg[0]);
	return !ok;
}

/* ---- the library ------------------------------------------------------------- */

static int
result(bool ok, const struct errtext *err)
{
	if (!ok)
		printf("%s\n", err->text);
	return !ok;
}

static int
attach(char **arg)
{
	struct loopdev_config config = {
		.backing = arg[0],
		.sector_size = (uint32_t)strtoul(arg[1], NULL, 0),
		.read_only = access(arg[0], W_OK) < 0,
	};
	struct loopdev loop;
	struct errtext err;

	config.discard_max = strtoull(arg[2], NULL, 0);
	if (!loopdev_attach(&loop, &config, &err))
		return result(false, &err);
	printf("%u:%" PRIu64 "\n", loop.number, loop.sequence);
	return 0;
}

/* A device as attach has printed it, held. */
static bool
hold(struct loopdev *loop, const char *text)
{
	return sscanf(text, "%u:%" SCNu64, &loop->number, &loop->sequence) == 2 &&
	    loopdev_hold(loop);
}

static int
resize(char **arg)
{
	struct loopdev loop;
	struct errtext err;

	return !hold(&loop, arg[0]) ||
	    result(loopdev_resize(&loop, arg[1], &err), &err);
}

static int
detach(char **arg)
{
	struct loopdev loop;
	struct errtext err;

	return !hold(&loop, arg[0]) || result(loopdev_detach(&loop,
	    (unsigned)strtoul(arg[1], NULL, 0), &err), &err);
}

static int
is(char **arg)
{
	struct loopdev loop;

	return !hold(&loop, arg[0]);
}

/* Until it is killed. */
static int
keep_open(char **arg)
{
	struct loopdev loop;

	if (!hold(&loop, arg[0]))
		return 1;
	puts("held");
	fflush(stdout);
	pause();
	return 0;
}

static int
users(char **arg)
{
	struct errtext text;
	struct stat st;
	bool used;

	if (stat(arg[0], &st) < 0 || !S_ISBLK(st.st_mode))
		return 2;
	used = mounts_in_use(st.st_rdev, &text);
	if (used)
		printf("%s\n", text.text);
	return !used;
}

static int
unmount(char **arg)
{
	struct errtext err;

	return result(fuse_unmount(arg[0], strcmp(arg[1], "lazy") == 0, &err), &err);
}

static int
support(char **arg)
{
	static const char *const text[] = { "unknown", "off", "on" };

	(void)arg;
	puts(text[fuse_uring_support()]);
	return 0;
}

static const struct {
	const char	*name, *args;
	int		 count;
	int		(*run)(char **);
} commands[] = {
	{ "file", "FILE", 1, check_file },
	{ "contend", "FILE", 1, contend },
	{ "sync", "FILE", 1, sync_file },
	{ "attach", "FILE BLOCK_MIN DISCARD_MAX", 3, attach },
	{ "resize", "DEVICE FILE", 2, resize },
	{ "detach", "DEVICE TIMEOUT_MS", 2, detach },
	{ "is", "DEVICE", 1, is },
	{ "hold", "DEVICE", 1, keep_open },
	{ "users", "NODE", 1, users },
	{ "unmount", "DIR now|lazy", 2, unmount },
	{ "support", "", 0, support },
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (argc >= 2 && strcmp(argv[1], commands[i].name) == 0 &&
		    argc == commands[i].count + 2)
			return commands[i].run(argv + 2);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(stderr, "usage: fuse_test %s %s\n", commands[i].name,
		    commands[i].args);
	return 2;
}
