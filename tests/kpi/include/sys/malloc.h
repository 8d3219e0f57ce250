/*
 * sys/malloc.h - for the KPI host: malloc(9), counted, and failing when the test
 * wants it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_MALLOC_H
#define KPI_SYS_MALLOC_H

#include <sys/systm.h>

#define M_NOWAIT	0x1
#define M_WAITOK	0x2
#define M_ZERO		0x100

struct malloc_type {
	const char	*ks_shortdesc;
	long		 inuse;
};
#define MALLOC_DECLARE(t)	extern struct malloc_type t[1]
#define MALLOC_DEFINE(t, name, desc) struct malloc_type t[1] = { { name, 0 } }

void	*kpi_malloc(size_t, struct malloc_type *, int flags);
void	 kpi_free(void *, struct malloc_type *);
char	*kpi_strdup(const char *, struct malloc_type *);
#undef strdup
#define malloc(size, type, flags) kpi_malloc(size, type, flags)
#define free(p, type)	kpi_free(p, type)
#define strdup(s, type)	kpi_strdup(s, type)

#endif
