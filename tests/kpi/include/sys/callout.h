/*
 * sys/callout.h - for the KPI host: callouts with a mutex; one thread runs them all.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_CALLOUT_H
#define KPI_SYS_CALLOUT_H

#include <sys/mutex.h>
#include <sys/time.h>

struct callout {
	struct callout	*c_next;
	struct mtx	*c_mtx;
	void		(*c_func)(void *);
	void		*c_arg;
	sbintime_t	 c_time;
	bool		 c_armed;
};
void	callout_init_mtx(struct callout *, struct mtx *, int flags);
void	callout_reset_sbt(struct callout *, sbintime_t, sbintime_t precision,
	    void (*)(void *), void *, int flags);
void	callout_drain(struct callout *);

#endif
