/*
 * sys/kthread.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_KTHREAD_H
#define KPI_SYS_KTHREAD_H

#include <sys/proc.h>

int	kthread_add(void (*)(void *), void *, struct proc *, struct thread **,
	    int flags, int pages, const char *fmt, ...) __printflike(7, 8);
void	kthread_exit(void) __attribute__((noreturn));

#endif
