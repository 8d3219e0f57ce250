/*
 * kernel.h - memory, threads and time of the Windows kernel, as the driver uses
 * them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WNBD_KERNEL_H
#define WNBD_KERNEL_H

#include <ntddk.h>

#include "nbe.h"

/* Nonpaged, zeroed, at any IRQL up to DISPATCH_LEVEL; NULL when there is none. */
void	*mem_alloc(size_t);
void	 mem_free(void *);		/* NULL is fine */

/* A system thread, which ends when run returns.  PASSIVE_LEVEL. */
NTSTATUS thread_start(void (*run)(void *), void *arg, void **thread);
/* Waits until it has left the driver's text. */
void	 thread_join(void *thread);

/* Monotonic; any IRQL. */
nbe_time time_now(void);
/* For KeWait: how long from now; at most an hour, so it always fits. */
LARGE_INTEGER time_left(nbe_time now, nbe_time until);

/*
 * MmProbeAndLockPages raises an exception for memory that the process does not
 * have; this returns its code instead.  PASSIVE_LEVEL, in that process.
 */
NTSTATUS user_lock(MDL *, LOCK_OPERATION);

#endif
