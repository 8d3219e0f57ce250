/*
 * sys/mutex.h - for the KPI host: mutexes that know their owner and their order.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_MUTEX_H
#define KPI_SYS_MUTEX_H

#include <sys/lock.h>

struct thread;
struct mtx {
	struct lock_object lock_object;
	pthread_mutex_t	 mtx_lock;
	struct thread	*mtx_owner;
};
#define MTX_DEF		0
#define MA_OWNED	1
#define MA_NOTOWNED	2

void	kpi_mtx_init(struct mtx *, const char *name);
void	kpi_mtx_lock(struct mtx *);
void	kpi_mtx_unlock(struct mtx *);
bool	kpi_mtx_owned(struct mtx *);
void	kpi_mtx_destroy(struct mtx *);
#define mtx_init(m, name, type, opts) kpi_mtx_init(m, name)
#define mtx_lock(m)	kpi_mtx_lock(m)
#define mtx_unlock(m)	kpi_mtx_unlock(m)
#define mtx_destroy(m)	kpi_mtx_destroy(m)
#define mtx_assert(m, what) KASSERT(kpi_mtx_owned(m) == ((what) == MA_OWNED), \
	("%s: mutex %s", __func__, (m)->lock_object.lo_name))

/* In any function that may sleep: panics when the thread holds a mutex, but for
 * this one. */
void	kpi_may_sleep(const char *where, const struct mtx *but);
/* In one that must not be called with any lock of ours held. */
void	kpi_no_locks(const char *where);

#endif
