/*
 * sys/refcount.h - for the KPI host: counts that no lock guards.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_REFCOUNT_H
#define KPI_SYS_REFCOUNT_H

#include <sys/systm.h>

static inline void
refcount_init(volatile u_int *count, u_int value)
{
	__atomic_store_n(count, value, __ATOMIC_RELAXED);
}

static inline void
refcount_acquire(volatile u_int *count)
{
	KASSERT(__atomic_fetch_add(count, 1, __ATOMIC_RELAXED) != 0,
	    ("a reference to what is gone"));
}

/* True: it was the last one. */
static inline bool
refcount_release(volatile u_int *count)
{
	u_int old = __atomic_fetch_sub(count, 1, __ATOMIC_ACQ_REL);

	KASSERT(old != 0, ("a reference too many was dropped"));
	return old == 1;
}

#endif
