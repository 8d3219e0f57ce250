/*
 * ublk_note.c - whether there are unflushed changes, for who serves after this process.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ublk_note.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool
ublk_note_open(struct ublk_note *n, const char *path, bool *was, struct errtext *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *map = MAP_FAILED;

	*n = (struct ublk_note){ NULL, 0 };
	/* Written, not only made longer: there must be room for it. */
	if (fd >= 0 && (lseek(fd, 0, SEEK_END) > 0 || write(fd, "", 1) == 1))
		map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		errtext_set(err, "%s: %s", path, strerror(errno));
	else
		n->byte = map;
	if (fd >= 0)
		close(fd);
	*was = n->byte != NULL && *n->byte != 0;
	return n->byte != NULL;
}

void
ublk_note_close(struct ublk_note *n)
{
	if (n->byte != NULL)
		munmap((void *)(uintptr_t)n->byte, 1);
	n->byte = NULL;
}

/* A flush covers what was acknowledged before it. */
void
ublk_note_done(struct ublk_note *n, const struct nbe_req *r, uint64_t mark)
{
	if (r->op == NBE_READ)
		return;
	if (r->op == NBE_FLUSH) {
		if (r->error == NBE_OK && mark == n->changes)
			*n->byte = 0;
		return;
	}
	/* Also of one that failed a piece may be there. */
	if ((r->flags & NBE_FUA) == 0 || r->error != NBE_OK) {
		*n->byte = 1;
		n->changes++;
	}
}
