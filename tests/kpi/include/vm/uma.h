/*
 * vm/uma.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_VM_UMA_H
#define KPI_VM_UMA_H

#include <sys/malloc.h>

typedef struct uma_zone *uma_zone_t;
#define UMA_ALIGN_PTR	7
uma_zone_t kpi_uma_zcreate(const char *, size_t);
#define uma_zcreate(name, size, c, d, i, f, align, flags) \
	kpi_uma_zcreate(name, size)
void	 uma_zdestroy(uma_zone_t);
void	*uma_zalloc(uma_zone_t, int flags);
void	 uma_zfree(uma_zone_t, void *);

#endif
