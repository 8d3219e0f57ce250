/*
 * note.c - what who serves after this process must know of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "note.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(NBE_MAX_PATHS <= 8, "a byte has a bit for each");

/* Of a file that does not say: all of them, and all is possible. */
static struct note_left
as_left(const uint8_t *byte, ssize_t len)
{
	struct note_left left = {
		.unflushed = len > 0 && byte[NOTE_UNFLUSHED] != 0,
		.paths = len > NOTE_ACTIVE ? byte[NOTE_PATHS] : len > 0 ? UINT8_MAX : 0,
		.active = len > NOTE_ACTIVE ? byte[NOTE_ACTIVE] : 0,
		.doubt = len != NOTE_BYTES || byte[NOTE_DOUBT] != 0,
	};

	for (unsigned i = 0; len == NOTE_BYTES && i < NBE_MAX_CONNS; i++)
		left.can_ask |= (uint32_t)(byte[NOTE_CAN_ASK + i] != 0) << i;
	return left;
}

static struct note_left
read_left(int fd)
{
	uint8_t byte[NOTE_BYTES];

	return as_left(byte, pread(fd, byte, sizeof(byte), 0));
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
	const uint8_t byte[NOTE_BYTES] = {
		[NOTE_UNFLUSHED] = left->unflushed,
		[NOTE_PATHS] = (uint8_t)left->paths,
		[NOTE_ACTIVE] = (uint8_t)left->active,
		[NOTE_DOUBT] = left->unflushed,
	};

	return pwrite(fd, byte, sizeof(byte), 0) == (ssize_t)sizeof(byte);
}

bool
note_open(struct note *n, const char *path, struct note_left *left,
    struct errtext *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *map = MAP_FAILED;

	*n = (struct note){ .byte = NULL };
	*left = (struct note_left){ 0 };
	if (fd >= 0) {
		*left = read_left(fd);
		if (write_left(fd, left))
			map = mmap(NULL, NOTE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	}
	if (map == MAP_FAILED)
		errtext_set(err, "%s: %s", path, strerror(errno));
	else
		n->byte = map;
	if (fd >= 0)
		close(fd);
	return n->byte != NULL;
}

void
note_close(struct note *n)
{
	if (n->byte != NULL)
		munmap((void *)(uintptr_t)n->byte, NOTE_BYTES);
	n->byte = NULL;
}

/* A flush covers what was acknowledged before it. */
static void
flushed(struct note *n, const struct nbe_req *r, uint64_t mark)
{
	if (r->error != NBE_OK)
		return;
	if (mark >= n->doubted)
		n->byte[NOTE_DOUBT] = 0;
	if (mark >= n->changed)
		n->byte[NOTE_UNFLUSHED] = 0;
}

void
note_done(struct note *n, const struct nbe_req *r, uint64_t mark)
{
	static const bool changes[NBE_OPS] = {
		[NBE_WRITE] = true, [NBE_TRIM] = true, [NBE_ZERO] = true,
	};

	if (n->byte == NULL)
		return;
	if (r->op == NBE_FLUSH) {
		flushed(n, r, mark);
		return;
	}
	/* Also of one that failed a piece may be there. */
	if (!changes[r->op])
		return;
	if ((r->flags & NBE_FUA) == 0 || r->error != NBE_OK) {
		n->byte[NOTE_UNFLUSHED] = 1;
		n->changed = ++n->moment;
	}
}

/* The set first: what is active is one of it. */
void
note_paths(struct note *n, uint32_t paths, unsigned active)
{
	if (n->byte == NULL)
		return;
	n->byte[NOTE_PATHS] = (uint8_t)paths;
	n->byte[NOTE_ACTIVE] = (uint8_t)active;
}

void
note_doubt(struct note *n)
{
	if (n->byte == NULL)
		return;
	n->doubted = ++n->moment;
	n->byte[NOTE_DOUBT] = 1;
}

void
note_no_doubt(struct note *n)
{
	if (n->byte != NULL && n->changed == 0)
		n->byte[NOTE_UNFLUSHED] = n->byte[NOTE_DOUBT] = 0;
}

volatile uint8_t *
note_can_ask(struct note *n)
{
	return n->byte == NULL ? NULL : &n->byte[NOTE_CAN_ASK];
}
