/*
 * loopdev.c - a loop block device over the file that FUSE serves.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * State is read from sysfs: the loop ioctls that tell it ask the backing file
 * first, and a file whose server was killed no longer answers.
 */
#include "loopdev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

static uint32_t
block_size(uint32_t block_min)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	if (block_min < SECTOR)
		return SECTOR;
	return block_min < page ? block_min : page;
}

/* EBUSY: somebody else was faster.  0, or an errno. */
static int
configure(unsigned number, int backing, const struct loopdev_config *c)
{
	struct loop_config config = {
		.fd = (uint32_t)backing,
		.block_size = block_size(c->block_min),
		.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN |
		    (c->read_only ? LO_FLAGS_READ_ONLY : 0),
	};
	int loop = open_loop(number, c->read_only ? O_RDONLY : O_RDWR);
	int error;

	if (loop < 0)
		return errno;
	snprintf((char *)config.info.lo_file_name,
	    sizeof(config.info.lo_file_name), "%s", c->backing);
	error = ioctl(loop, LOOP_CONFIGURE, &config) < 0 ? errno : 0;
	close(loop);
	return error;
}

static bool
attach_free(unsigned *number, int backing, const struct loopdev_config *c,
    struct errtext *err)
{
	int control = open(LOOP_CONTROL, O_RDWR | O_CLOEXEC);
	int found, error = EBUSY;

	if (control < 0)
		return errtext_set(err, "%s: %s", LOOP_CONTROL, strerror(errno));
	for (int i = 0; i < ATTACH_TRIES && error == EBUSY; i++) {
		found = ioctl(control, LOOP_CTL_GET_FREE);
		error = found < 0 ? errno : configure((unsigned)found, backing, c);
	}
	close(control);
	if (error != 0)
		return errtext_set(err, "attach a loop device to %s: %s",
		    c->backing, strerror(error));
	*number = (unsigned)found;
	return true;
}

bool
loopdev_attach(unsigned *number, const struct loopdev_config *c,
    struct errtext *err)
{
	struct errtext ignored;
	char direct[8] = "";
	int backing = open(c->backing, (c->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	bool ok;

	if (backing < 0)
		return errtext_set(err, "%s: %s", c->backing, strerror(errno));
	ok = attach_free(number, backing, c, err);
	close(backing);
	if (!ok)
		return false;
	/* The kernel falls back to the page cache without a word. */
	if (read_sysfs(*number, "loop/dio", direct, sizeof(direct)) &&
	    strcmp(direct, "1") == 0)
		return true;
	(void)loopdev_detach(*number, 1000, &ignored);
	return errtext_set(err, "loop%u: this kernel refuses direct I/O on %s",
	    *number, c->backing);
}

bool
loopdev_resize(unsigned number, const char *backing, struct errtext *err)
{
	struct stat st;
	int loop, error;

	/* Older kernels take the size that was last seen: see the new one. */
	if (stat(backing, &st) < 0)
		return errtext_set(err, "%s: %s", backing, strerror(errno));
	loop = open_loop(number, O_RDONLY);
	if (loop < 0)
		return errtext_set(err, "/dev/loop%u: %s", number, strerror(errno));
	error = ioctl(loop, LOOP_SET_CAPACITY, 0) < 0 ? errno : 0;
	close(loop);
	if (error != 0)
		return errtext_set(err, "resize /dev/loop%u: %s", number,
		    strerror(error));
	return true;
}

static bool
is_attached(unsigned number)
{
	char line[PATH_MAX];

	return read_sysfs(number, "loop/backing_file", line, sizeof(line));
}

bool
loopdev_detach(unsigned number, unsigned timeout_ms, struct errtext *err)
{
	int loop = open_loop(number, O_RDONLY);
	int error;

	if (loop < 0)
		return errtext_set(err, "/dev/loop%u: %s", number, strerror(errno));
	error = ioctl(loop, LOOP_CLR_FD, 0) < 0 ? errno : 0;
	/* The last close does it; ENXIO: it was not attached. */
	close(loop);
	if (error != 0 && error != ENXIO)
		return errtext_set(err, "detach /dev/loop%u: %s", number,
		    strerror(error));
	for (unsigned ms = 0; is_attached(number); ms += POLL_MS) {
		if (ms >= timeout_ms)
			return errtext_set(err, "/dev/loop%u is still in use; it is "
			    "detached when its last user has gone", number);
		sleep_ms(POLL_MS);
	}
	return true;
}

/* Flags that are not given stay, but for the one that detaches at the last close
 * (LOOP_SET_STATUS64 in loop(4)). */
bool
loopdev_keep(unsigned number)
{
	struct loop_info64 info = { .lo_flags = 0 };
	int loop = open_loop(number, O_RDONLY);
	bool ok;

	if (loop < 0)
		return false;
	ok = ioctl(loop, LOOP_SET_STATUS64, &info) == 0;
	close(loop);
	return ok;
}

bool
loopdev_find(unsigned *number, const char *backing)
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *entry;
	bool found = false;

	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		char line[PATH_MAX];

		found = sscanf(entry->d_name, "loop%u", number) == 1 &&
		    read_sysfs(*number, "loop/backing_file", line, sizeof(line)) &&
		    strcmp(line, backing) == 0;
	}
	closedir(dir);
	return found;
}
