/*
 * sys/lock.h - for the KPI host: the part that all locks share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_LOCK_H
#define KPI_SYS_LOCK_H

#include <pthread.h>
#include <sys/systm.h>

/* Order is checked between names, as WITNESS does. */
struct lock_object {
	const char	*lo_name;
	int		 lo_class;	/* index of the name */
};

#endif
