/*
 * calls.h - system calls that not every C library has (musl 1.2.3 has none of these).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CALLS_H
#define CALLS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int
call_close_range(unsigned first, unsigned last)
{
	return (int)syscall(SYS_close_range, first, last, 0);
}

/* Where nothing has that name yet; else errno is EEXIST. */
static inline int
call_rename_new(const char *from, const char *to)
{
	const unsigned no_replace = 1;		/* RENAME_NOREPLACE */

	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, no_replace);
}

/* statx(2), as far as it is looked at here.  Nobody is asked who might not answer, such
 * as a file system whose server is dead. */
struct call_statx {
	uint32_t	mask, block_size;
	uint64_t	attributes;
	uint8_t		rest[240];
};
#define CALL_STATX_MOUNT_ROOT	0x2000

static inline int
call_statx(const char *path, struct call_statx *st)
{
	const int flags = AT_SYMLINK_NOFOLLOW | 0x800 | 0x4000;	/* NO_AUTOMOUNT,
								 * STATX_DONT_SYNC */

	return (int)syscall(SYS_statx, AT_FDCWD, path, flags, 0, st);
}

#endif
