/*
 * guard.h - calls that may raise an exception: pages of a process, the engine.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WNBD_GUARD_H
#define WNBD_GUARD_H

#include "kernel.h"

/*
 * Calls f.  False: it was left on the spot by an exception, which an assertion of the
 * engine raises that does not hold (kernel.c).  Up to DISPATCH_LEVEL; spin locks that
 * are held must have been taken outside of it.
 */
bool	 guarded(void (*f)(void *), void *arg);

/*
 * MmProbeAndLockPages raises an exception for memory that the process does not have;
 * this returns an error instead.  PASSIVE_LEVEL, in that process.
 */
NTSTATUS user_lock(MDL *, LOCK_OPERATION);

#endif
