/*
 * sys/condvar.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_CONDVAR_H
#define KPI_SYS_CONDVAR_H

#include <sys/mutex.h>

struct cv {
	const char	*cv_description;
	pthread_cond_t	 cv_cond;
	int		 cv_waiters;
};
void	cv_init(struct cv *, const char *);
void	cv_destroy(struct cv *);
void	cv_wait(struct cv *, struct mtx *);
int	cv_timedwait(struct cv *, struct mtx *, int ticks);
void	cv_signal(struct cv *);
void	cv_broadcast(struct cv *);

#endif
