/*
 * sys/taskqueue.h - for the KPI host: a queue with one thread.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_TASKQUEUE_H
#define KPI_SYS_TASKQUEUE_H

#include <sys/systm.h>

struct task {
	struct task	*ta_next;
	bool		 ta_pending, ta_running;
	void		(*ta_func)(void *, int);
	void		*ta_context;
};
#define TASK_INIT(t, prio, func, ctx) \
	(*(t) = (struct task){ .ta_func = (func), .ta_context = (ctx) })
struct taskqueue;
void	taskqueue_thread_enqueue(void *);
struct taskqueue *taskqueue_create(const char *, int, void (*)(void *), void *);
int	taskqueue_start_threads(struct taskqueue **, int, int, const char *, ...);
int	taskqueue_enqueue(struct taskqueue *, struct task *);
void	taskqueue_drain(struct taskqueue *, struct task *);
void	taskqueue_free(struct taskqueue *);

#endif
