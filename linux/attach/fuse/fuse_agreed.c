/*
 * fuse_agreed.c - what the kernel was told, and holds a file system to.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fuse_agreed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse_impl.h"

_Static_assert(sizeof(struct fuse_agreed) <= 4096, "one page");

/* fd -1: of this process alone. */
static struct fuse_agreed *
map(int fd)
{
	void *p = mmap(NULL, sizeof(struct fuse_agreed), PROT_READ | PROT_WRITE,
	    fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	return p != MAP_FAILED ? p : NULL;
}

static struct fuse_agreed *
map_file(int fd, const char *path, struct errtext *err)
{
	struct fuse_agreed *a = map(fd);

	if (a == NULL)
		errtext_set(err, "%s: %s", path, strerror(errno));
	return a;
}

struct fuse_agreed *
fuse_agreed_new(const char *path, const struct nbe_export *exp, int64_t started_s,
    struct errtext *err)
{
	const struct fuse_agreed first = {
		.version = FUSE_AGREED_VERSION, .max_write = FUSE_PAYLOAD_MAX,
		.started_s = started_s, .size = exp->size,
		.block_min = exp->block_min, .flags = exp->flags,
	};
	struct fuse_agreed *a = NULL;
	int fd = -1;

	if (path == NULL) {
		a = map(-1);
		if (a != NULL)
			*a = first;
		else
			errtext_set(err, "out of memory");
		return a;
	}
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Written, not only made longer: there must be room for it. */
	if (fd >= 0 && write(fd, &first, sizeof(first)) == (ssize_t)sizeof(first))
		a = map_file(fd, path, err);
	else
		errtext_set(err, "%s: %s", path, strerror(fd >= 0 ? ENOSPC : errno));
	if (fd >= 0)
		close(fd);
	return a;
}

/* What the device can do it must be able to do still. */
static bool
is_like(const struct fuse_agreed *a, const struct nbe_export *exp)
{
	uint32_t needed = a->flags & ~(uint32_t)NBE_FLAG_CAN_MULTI_CONN;

	return exp->size >= a->size && exp->block_min <= a->block_min &&
	    (exp->flags & needed) == needed &&
	    ((exp->flags ^ a->flags) & NBE_FLAG_READ_ONLY) == 0;
}

bool
fuse_agreed_check(const void *bytes, size_t len, const struct nbe_export *exp,
    struct errtext *err)
{
	struct fuse_agreed a;

	if (len != sizeof(a))
		return errtext_set(err, "what the daemon has left is of another "
		    "version");
	memcpy(&a, bytes, sizeof(a));
	if (a.version != FUSE_AGREED_VERSION || a.max_write == 0 ||
	    a.max_write > FUSE_PAYLOAD_MAX)
		return errtext_set(err, "what the daemon has left is of another "
		    "version");
	return is_like(&a, exp) || errtext_set(err, "the server offers another disk "
	    "than the device is: its size, block sizes or flags are not the same");
}

struct fuse_agreed *
fuse_agreed_take(const char *path, const struct nbe_export *exp, struct errtext *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	uint8_t bytes[sizeof(struct fuse_agreed) + 1];
	struct fuse_agreed *a = NULL;
	ssize_t len;

	if (fd < 0) {
		errtext_set(err, "%s: %s", path, strerror(errno));
		return NULL;
	}
	len = read(fd, bytes, sizeof(bytes));
	if (len >= 0 && fuse_agreed_check(bytes, (size_t)len, exp, err))
		a = map_file(fd, path, err);
	else if (len < 0)
		errtext_set(err, "%s: %s", path, strerror(errno));
	close(fd);
	return a;
}

void
fuse_agreed_free(struct fuse_agreed *a)
{
	if (a != NULL)
		munmap(a, sizeof(*a));
}

/* ---- handles ------------------------------------------------------------------ */

static uint64_t *
find(struct fuse_agreed *a, uint64_t handle)
{
	for (unsigned i = 0; i < FUSE_HANDLES_MAX; i++)
		if (a->handle[i] == handle)
			return &a->handle[i];
	return NULL;
}

bool
fuse_agreed_open(struct fuse_agreed *a, uint64_t unique)
{
	uint64_t *free_one;

	if (find(a, unique) != NULL)
		return true;
	free_one = find(a, 0);
	if (free_one != NULL)
		*free_one = unique;
	return free_one != NULL;
}

void
fuse_agreed_release(struct fuse_agreed *a, uint64_t handle)
{
	uint64_t *found = handle != 0 ? find(a, handle) : NULL;

	if (found != NULL)
		*found = 0;
}

unsigned
fuse_agreed_opens(const struct fuse_agreed *a)
{
	unsigned opens = 0;

	for (unsigned i = 0; i < FUSE_HANDLES_MAX; i++)
		opens += a->handle[i] != 0;
	return opens;
}
