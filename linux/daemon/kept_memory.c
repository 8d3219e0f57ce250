/*
 * kept_memory.c - memory that outlives the daemon: what replay keeps.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "kept_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"

#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008u		/* Linux 6.3 */
#endif

/* The keep buffer begins at a page. */
static size_t
keep_at(const struct nbe_dev_config *c)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (nbe_records_size(c) + page - 1) & ~(page - 1);
}

static bool
is_fit(int fd, size_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
	    st.st_size == (off_t)size;
}

static int
make(size_t size)
{
	int fd = memfd_create("nbdisk", MFD_CLOEXEC | MFD_ALLOW_SEALING |
	    MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("nbdisk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || (ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, SEALS) == 0))
		return fd;
	close(fd);
	return -1;
}

static bool
map(struct kept_memory *m)
{
	void *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

	if (p == MAP_FAILED)
		return false;
	m->map = p;
	return pages_ready(p, m->size);
}

size_t
kept_memory_size(const struct nbe_dev_config *c)
{
	return c->unflushed != NBE_UNFLUSHED_REPLAY ? 0 : keep_at(c) + c->keep_size;
}

bool
kept_memory_open(struct kept_memory *m, int taken, const struct nbe_dev_config *c,
    struct errtext *err)
{
	*m = (struct kept_memory){ .fd = -1, .size = kept_memory_size(c) };
	if (taken >= 0 && is_fit(taken, m->size))
		m->fd = fcntl(taken, F_DUPFD_CLOEXEC, 0);
	if (m->fd < 0)
		m->fd = make(m->size);
	if (m->fd >= 0 && map(m)) {
		m->keep = (uint8_t *)m->map + keep_at(c);
		return true;
	}
	errtext_set(err, "memory for what replay keeps: %s", strerror(errno));
	kept_memory_close(m);
	return false;
}

void
kept_memory_close(struct kept_memory *m)
{
	if (m->map != NULL)
		munmap(m->map, m->size);
	if (m->size != 0 && m->fd >= 0)
		close(m->fd);
	*m = (struct kept_memory){ .fd = -1 };
}
