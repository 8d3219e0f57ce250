/*
 * loopdev.c - a loop block device over the file that FUSE serves.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * State is read from sysfs: the loop ioctls that tell it ask the backing file
 * first, and a file whose server was killed no longer answers.
 */
#include "loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOP_CONTROL	"/dev/loop-control"
#define SECTOR		512u

/* Others may take the free device that the kernel named before we do. */
#define ATTACH_TRIES	64
#define POLL_MS		10
#define UNDO_MS		1000

static void
sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* The first line of /sys/block/loopN/<name>, without the newline. */
static bool
read_sysfs(unsigned number, const char *name, char *line, size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "/sys/block/loop%u/%s", number, name);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	ok = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static int
open_loop(unsigned number, int mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/loop%u", number);
	return open(path, mode | O_CLOEXEC);
}

uint32_t
loopdev_sector_size(uint32_t wanted)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	if (wanted < SECTOR)
		return SECTOR;
	return wanted < page ? wanted : page;
}

/* EBUSY: somebody else was faster.  0 and it is held, or an errno. */
static int
configure(struct loopdev *l, int backing, const struct loopdev_config *c)
{
	struct loop_config config = {
		.fd = (uint32_t)backing,
		.block_size = loopdev_sector_size(c->sector_size),
		.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN |
		    (c->read_only ? LO_FLAGS_READ_ONLY : 0),
	};
	int loop = open_loop(l->number, c->read_only ? O_RDONLY : O_RDWR);
	int error;

	if (loop < 0)
		return errno;
	snprintf((char *)config.info.lo_file_name,
	    sizeof(config.info.lo_file_name), "%s", c->backing);
	error = ioctl(loop, LOOP_CONFIGURE, &config) < 0 ? errno : 0;
	/* Held for reading: who closes what was open for writing wakes udev. */
	if (error == 0 && (l->held = open_loop(l->number, O_RDONLY)) < 0) {
		error = errno;
		(void)ioctl(loop, LOOP_CLR_FD, 0);
	}
	close(loop);
	return error;
}

static bool
attach_free(struct loopdev *l, int backing, const struct loopdev_config *c,
    struct errtext *err)
{
	int control = open(LOOP_CONTROL, O_RDWR | O_CLOEXEC);
	int found, error = EBUSY;

	if (control < 0)
		return errtext_set(err, "%s: %s", LOOP_CONTROL, strerror(errno));
	for (int i = 0; i < ATTACH_TRIES && error == EBUSY; i++) {
		found = ioctl(control, LOOP_CTL_GET_FREE);
		l->number = (unsigned)found;
		error = found < 0 ? errno : configure(l, backing, c);
	}
	close(control);
	return error == 0 || errtext_set(err, "attach a loop device to %s: %s",
	    c->backing, strerror(error));
}

static bool
read_sequence(unsigned number, uint64_t *sequence)
{
	char line[32];

	return read_sysfs(number, "diskseq", line, sizeof(line)) &&
	    sscanf(line, "%" SCNu64, sequence) == 1;
}

/* ---- what an earlier user left ------------------------------------------------- */

/*
 * As a new device has them: what is written, and what is read then, one of them.  Only
 * what is not so is written, for with most of these the kernel stops the queue and
 * waits until every CPU has noticed, some 20 ms each time.
 */
static const struct {
	const char	*name, *value, *reads[2];
} defaults[] = {
	{ "scheduler", "none", { "[none]", "none" } },
	{ "nomerges", "0", { "0" } }, { "rq_affinity", "1", { "1" } },
	{ "nr_requests", "128", { "128" } }, { "read_ahead_kb", "128", { "128" } },
	{ "iostats", "1", { "1" } }, { "wbt_lat_usec", "-1", { "2000", "75000" } },
	{ "write_cache", "write back", { "write back" } },
};

static bool
write_queue(unsigned number, const char *name, const char *value)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/block/loop%u/queue/%s", number, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = write(fd, value, strlen(value));
	close(fd);
	return n == (ssize_t)strlen(value);
}

static uint64_t
read_queue(unsigned number, const char *name)
{
	char path[64], line[32];
	uint64_t n = 0;

	snprintf(path, sizeof(path), "queue/%s", name);
	if (!read_sysfs(number, path, line, sizeof(line)) ||
	    sscanf(line, "%" SCNu64, &n) != 1)
		return 0;
	return n;
}

/* What is chosen among others is in the first place, or in brackets. */
static bool
begins_with(const char *line, const char *value)
{
	size_t len = strlen(value);
	const char *at = value[0] == '[' ? strstr(line, value) : line;

	return at != NULL && strncmp(at, value, len) == 0 &&
	    (at[len] == '\0' || at[len] == ' ');
}

static void
set_default(unsigned number, size_t i)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "queue/%s", defaults[i].name);
	if (!read_sysfs(number, path, line, sizeof(line)))
		return;
	for (unsigned r = 0; r < 2 && defaults[i].reads[r] != NULL; r++)
		if (begins_with(line, defaults[i].reads[r]))
			return;
	(void)write_queue(number, defaults[i].name, defaults[i].value);
}

static bool
write_limit(unsigned number, const char *name, uint64_t value)
{
	char text[24];

	if (read_queue(number, name) == value)
		return true;
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return write_queue(number, name, text);
}

/* The kernel takes whole granules only. */
static bool
limit_discards(unsigned number, uint64_t most)
{
	uint64_t possible = read_queue(number, "discard_max_hw_bytes");
	uint64_t granule = read_queue(number, "discard_granularity");

	if (granule == 0)
		return most == 0 || possible == 0;
	if (most > possible)
		most = possible;
	if (most != 0 && most < granule)
		most = granule;
	return write_limit(number, "discard_max_bytes", most - most % granule);
}

/* Linux 6.9 and later: where discards were switched off nobody can switch them on
 * again, on that number. */
static bool
is_worn_out(unsigned number)
{
	return read_queue(number, "discard_max_hw_bytes") != 0 &&
	    read_queue(number, "discard_granularity") == 0;
}

/* Where /sys is read-only most of it cannot be helped, and does no harm; but a kernel
 * that keeps flushes to itself would lose what it promised. */
static bool
set_back(const struct loopdev *l, const struct loopdev_config *c, struct errtext *err)
{
	char cache[16] = "";
	int off = 0;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		set_default(l->number, i);
	(void)write_limit(l->number, "max_sectors_kb",
	    read_queue(l->number, "max_hw_sectors_kb"));
	if (!limit_discards(l->number, c->discard_max) && c->discard_max != UINT64_MAX)
		return errtext_set(err, "loop%u: its discards cannot be limited: %s",
		    l->number, strerror(errno));
	if (c->read_only)
		return true;
	if (ioctl(l->held, BLKROSET, &off) < 0)
		return errtext_set(err, "loop%u: cannot be made writable: %s",
		    l->number, strerror(errno));
	return (read_sysfs(l->number, "queue/write_cache", cache, sizeof(cache)) &&
	    strcmp(cache, "write back") == 0) || errtext_set(err, "loop%u: an earlier "
	    "user has set its write cache to \"%s\", which keeps flushes from the "
	    "server; write \"write back\" to /sys/block/loop%u/queue/write_cache",
	    l->number, cache, l->number);
}

/* ---- attach, find -------------------------------------------------------------- */

/* The kernel falls back to the page cache without a word. */
static bool
is_direct(const struct loopdev *l, const struct loopdev_config *c, struct errtext *err)
{
	char direct[8] = "";

	return (read_sysfs(l->number, "loop/dio", direct, sizeof(direct)) &&
	    strcmp(direct, "1") == 0) || errtext_set(err, "loop%u: this kernel refuses "
	    "direct I/O on %s", l->number, c->backing);
}

static bool
attach_once(struct loopdev *l, const struct loopdev_config *c, struct errtext *err)
{
	int backing = open(c->backing, (c->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	bool ok;

	if (backing < 0)
		return errtext_set(err, "%s: %s", c->backing, strerror(errno));
	ok = attach_free(l, backing, c, err);
	close(backing);
	return ok;
}

bool
loopdev_attach(struct loopdev *l, const struct loopdev_config *c, struct errtext *err)
{
	struct errtext ignored;

	/* By it a device is known again, and set back to what a new one is like. */
	if (access("/sys/block", R_OK) < 0)
		return errtext_set(err, "/sys/block: %s; a block device needs it: "
		    "mount -t sysfs sysfs /sys", strerror(errno));
	for (int i = 0; i < ATTACH_TRIES; i++) {
		*l = (struct loopdev){ .held = -1 };
		if (!attach_once(l, c, err))
			return false;
		if (!read_sequence(l->number, &l->sequence)) {
			errtext_set(err, "/sys/block/loop%u/diskseq: %s; Linux 5.15 "
			    "has it", l->number, strerror(errno));
			break;
		}
		if (c->discard_max != 0 && is_worn_out(l->number)) {
			if (!loopdev_detach(l, UNDO_MS, err))
				return false;
			continue;
		}
		if (is_direct(l, c, err) && set_back(l, c, err))
			return true;
		break;
	}
	(void)loopdev_detach(l, UNDO_MS, &ignored);
	return false;
}

bool
loopdev_in_use(unsigned number)
{
	char line[PATH_MAX];

	return read_sysfs(number, "loop/backing_file", line, sizeof(line));
}

bool
loopdev_is(const struct loopdev *l)
{
	uint64_t sequence;

	return loopdev_in_use(l->number) && read_sequence(l->number, &sequence) &&
	    sequence == l->sequence;
}

bool
loopdev_hold(struct loopdev *l)
{
	l->held = open_loop(l->number, O_RDONLY);
	if (l->held >= 0 && loopdev_is(l))
		return true;
	loopdev_release(l);
	return false;
}

void
loopdev_release(struct loopdev *l)
{
	if (l->held >= 0)
		close(l->held);
	l->held = -1;
}

/* ---- change, detach ------------------------------------------------------------ */

bool
loopdev_resize(const struct loopdev *l, const char *backing, struct errtext *err)
{
	struct stat st;

	/* Older kernels take the size that was last seen: see the new one. */
	if (stat(backing, &st) < 0)
		return errtext_set(err, "%s: %s", backing, strerror(errno));
	return ioctl(l->held, LOOP_SET_CAPACITY, 0) == 0 || errtext_set(err,
	    "resize /dev/loop%u: %s", l->number, strerror(errno));
}

/* No more than that: a flush would wait for a server that is gone, though nothing else
 * does, and the disk's own comes at its end. */
bool
loopdev_write_back(const struct loopdev *l, struct errtext *err)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
	    SYNC_FILE_RANGE_WAIT_AFTER;

	return sync_file_range(l->held, 0, 0, all) == 0 || errtext_set(err,
	    "/dev/loop%u: what was written to it is not on the server: %s", l->number,
	    strerror(errno));
}

/* Nobody uses it: the next one of that number is a new one. */
static void
remove_worn_out(unsigned number)
{
	int control;

	if (!is_worn_out(number))
		return;
	control = open(LOOP_CONTROL, O_RDWR | O_CLOEXEC);
	if (control < 0)
		return;
	(void)ioctl(control, LOOP_CTL_REMOVE, number);
	close(control);
}

bool
loopdev_detach(struct loopdev *l, unsigned timeout_ms, struct errtext *err)
{
	int error;

	if (!loopdev_is(l)) {
		loopdev_release(l);
		return true;
	}
	error = ioctl(l->held, LOOP_CLR_FD, 0) < 0 ? errno : 0;
	/* The last close does it; ENXIO: it was not attached. */
	loopdev_release(l);
	if (error != 0 && error != ENXIO)
		return errtext_set(err, "detach /dev/loop%u: %s", l->number,
		    strerror(error));
	for (unsigned ms = 0; loopdev_is(l); ms += POLL_MS) {
		if (ms >= timeout_ms)
			return errtext_set(err, "/dev/loop%u is still in use; it is "
			    "detached when its last user has gone", l->number);
		sleep_ms(POLL_MS);
	}
	remove_worn_out(l->number);
	return true;
}

/* Flags that are not given stay, but for the one that detaches at the last close
 * (LOOP_SET_STATUS64 in loop(4)). */
bool
loopdev_keep(struct loopdev *l)
{
	struct loop_info64 info = { .lo_flags = 0 };

	return loopdev_hold(l) && ioctl(l->held, LOOP_SET_STATUS64, &info) == 0;
}
