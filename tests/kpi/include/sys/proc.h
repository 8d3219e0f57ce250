/*
 * sys/proc.h - for the KPI host: threads that have a number and can be found by it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_PROC_H
#define KPI_SYS_PROC_H

#include <sys/lock.h>

struct proc {
	int		 p_pid;
	int		 p_held;
};
struct thread {
	lwpid_t		 td_tid;
	unsigned char	 td_base_pri;	/* less is more urgent */
	struct proc	*td_proc;
	struct thread	*td_next;
	const struct mtx *td_locks[8];
	int		 td_nlocks;
	int		 td_topology;
	char		 td_name[24];
};
struct thread *kpi_curthread(void);
#define curthread	kpi_curthread()
struct thread *tdfind(lwpid_t, pid_t);
void	kpi_proc_unlock(struct proc *);
#define PROC_UNLOCK(p)	kpi_proc_unlock(p)
#define _PHOLD(p)	((p)->p_held++)
#define PRELE(p)	((p)->p_held--)
#define thread_lock(td)	((void)(td))
#define thread_unlock(td) ((void)(td))

#endif
