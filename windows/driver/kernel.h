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

/* Monotonic, in steps of a clock tick; any IRQL. */
nbe_time time_now(void);
/* For KeWait: how long from now; at most an hour, so it always fits. */
LARGE_INTEGER time_left(nbe_time now, nbe_time until);

/*
 * A bug of ours about memory that others use, which stops the machine before it is
 * written to.  What the engine asserts (NBE_ASSERT) is about its own memory alone: that
 * raises an exception, and costs the disk; see guard.h.
 */
#define DRIVER_ASSERT(x)						\
	((x) ? (void)0 : wnbd_stop(#x, __FILE__, __LINE__))
void	 wnbd_stop(const char *what, const char *file, int line);

#endif
