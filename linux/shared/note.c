/*
 * note.c - what who serves after this process must know of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "note.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(NBE_MAX_PATHS <= 8, "a byte has a bit for each");

/* Of a file that does not say: all of them, and all is possible. */
static struct note_left
as_left(const struct note_file *f, ssize_t len)
{
	bool paths = len > (ssize_t)offsetof(struct note_file, active);
	bool whole = len == (ssize_t)sizeof(*f);
	struct note_left left = {
		.unflushed = len > 0 && f->unflushed != 0,
		.paths = paths ? f->paths : len > 0 ? UINT8_MAX : 0,
		.active = paths ? f->active : 0,
		.doubt = !whole || f->doubt != 0,
	};

	if (whole)
		memcpy(left.conn, f->conn, sizeof(left.conn));
	return left;
}

static struct note_left
read_left(int fd)
{
	struct note_file file;

	return as_left(&file, pread(fd, &file, sizeof(file), 0));
}

struct note_left
note_read(const char *path)
{
	struct note_left left = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return left;
	left = read_left(fd);
	close(fd);
	return left;
}

/* Written, not only made longer: there must be room for it.  What was unflushed is in
 * doubt, for no connection of this process is known to reach where that is. */
static bool
write_left(int fd, const struct note_left *left)
{
	const struct note_file file = {
		.unflushed = left->unflushed,
		.paths = (uint8_t)left->paths,
		.active = (uint8_t)left->active,
		.doubt = left->unflushed,
	};

	return pwrite(fd, &file, sizeof(file), 0) == (ssize_t)sizeof(file);
}

bool
note_open(struct note *n, const char *path, struct note_left *left,
    struct errtext *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *map = MAP_FAILED;

	*n = (struct note){ .file = NULL };
	*left = (struct note_left){ 0 };
	if (fd >= 0) {
		*left = read_left(fd);
		if (write_left(fd, left))
			map = mmap(NULL, sizeof(*n->file), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	}
	if (map == MAP_FAILED)
		errtext_set(err, "%s: %s", path, strerror(errno));
	else
		n->file = map;
	if (fd >= 0)
		close(fd);
	return n->file != NULL;
}

void
note_close(struct note *n)
{
	if (n->file != NULL)
		munmap((void *)(uintptr_t)n->file, sizeof(*n->file));
	n->file = NULL;
}

/* A flush covers what was acknowledged before it. */
static void
flushed(struct note *n, const struct nbe_req *r, uint64_t mark)
{
	if (r->error != NBE_OK)
		return;
	if (mark >= n->doubted)
		n->file->doubt = 0;
	if (mark >= n->changed)
		n->file->unflushed = 0;
}

void
note_done(struct note *n, const struct nbe_req *r, uint64_t mark)
{
	static const bool changes[NBE_OPS] = {
		[NBE_WRITE] = true, [NBE_TRIM] = true, [NBE_ZERO] = true,
	};

	if (n->file == NULL)
		return;
	if (r->op == NBE_FLUSH) {
		flushed(n, r, mark);
		return;
	}
	/* Also of one that failed a piece may be there. */
	if (!changes[r->op])
		return;
	if ((r->flags & NBE_FUA) == 0 || r->error != NBE_OK) {
		n->file->unflushed = 1;
		n->changed = ++n->moment;
	}
}

/* The set first: what is active is one of it. */
void
note_paths(struct note *n, uint32_t paths, unsigned active)
{
	if (n->file == NULL)
		return;
	n->file->paths = (uint8_t)paths;
	n->file->active = (uint8_t)active;
}

/* What is in doubt already stays so, until a flush that the user asks for is answered:
 * he may have to be told of a loss. */
void
note_epoch(struct note *n, bool flushed)
{
	if (n->file == NULL)
		return;
	if (flushed && n->file->doubt == 0) {
		n->file->unflushed = 0;
	} else if (!flushed) {
		n->doubted = ++n->moment;
		n->file->doubt = 1;
	}
}

void
note_no_doubt(struct note *n)
{
	if (n->file != NULL && n->changed == 0)
		n->file->unflushed = n->file->doubt = 0;
}

volatile struct note_conn *
note_conns(struct note *n)
{
	return n->file == NULL ? NULL : n->file->conn;
}
