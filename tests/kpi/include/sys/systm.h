/*
 * sys/systm.h - for the KPI host: assertions, printing, atomics, units.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SYSTM_H
#define KPI_SYS_SYSTM_H

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>

#define hz		1000
/* What is not ours to clean up after may call it with any lock held. */
void	kpi_panic(const char *fmt, ...) __printflike(1, 2)
	    __attribute__((noreturn));
#define panic		kpi_panic
/* Always on, as in a kernel with INVARIANTS. */
#define KASSERT(x, msg)	do { if (!(x)) kpi_panic msg; } while (0)

#define pause		kpi_pause
int	kpi_pause(const char *wmesg, int ticks);
size_t	kpi_strlcpy(char *, const char *, size_t);
#define strlcpy		kpi_strlcpy
uint32_t kpi_arc4random(void);
#define arc4random	kpi_arc4random

#define atomic_load_int(p)	__atomic_load_n(p, __ATOMIC_RELAXED)
#define atomic_load_64(p)	__atomic_load_n(p, __ATOMIC_RELAXED)
#define atomic_add_int(p, n)	(void)__atomic_fetch_add(p, n, __ATOMIC_SEQ_CST)
#define atomic_add_64(p, n)	(void)__atomic_fetch_add(p, n, __ATOMIC_SEQ_CST)

struct unrhdr;
struct mtx;
struct unrhdr *new_unrhdr(int low, int high, struct mtx *);
void	delete_unrhdr(struct unrhdr *);
int	alloc_unr(struct unrhdr *);
void	free_unr(struct unrhdr *, u_int);

#endif
