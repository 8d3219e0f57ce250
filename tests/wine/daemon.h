/*
 * daemon.h - a process that serves a disk, as rbd-wnbd does, from its memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEST_DAEMON_H
#define TEST_DAEMON_H

#include <stdint.h>
#include <windows.h>

/* Until the disk is removed.  mode: "", or "slow", "errors", "die" (after some
 * requests), "deaf" (fetches, and does not answer), "small" (buffers), "short"
 * (answers to reads), "hostile" (first says what nobody should, and prints the
 * errors). */
DWORD	daemon_run(HANDLE adapter, const char *instance, uint64_t blocks,
	    UINT32 block_size, const char *mode);

#endif
