/*
 * sys/sysctl.h - for the KPI host: sysctls that a test finds by name.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SYSCTL_H
#define KPI_SYS_SYSCTL_H

#include <sys/systm.h>

#define CTLFLAG_RD	0
#define CTLFLAG_RW	0
#define CTLFLAG_RWTUN	0
#define CTLFLAG_MPSAFE	0

void	kpi_sysctl_add(const char *parent, const char *name, void *);
#define KPI_SYSCTL(parent, name, ptr)					\
	static void __attribute__((constructor))			\
	kpi_add##parent##_##name(void)					\
	{								\
		kpi_sysctl_add(#parent, #name, ptr);			\
	}								\
	struct kpi_swallow_semicolon
#define SYSCTL_DECL(n)	struct kpi_swallow_semicolon
#define SYSCTL_NODE(p, nr, name, acc, h, d) \
	__attribute__((unused)) int kpi_node##p##_##name
#define SYSCTL_UINT(p, nr, name, acc, ptr, v, d) KPI_SYSCTL(p, name, ptr)
#define SYSCTL_ULONG(p, nr, name, acc, ptr, v, d) KPI_SYSCTL(p, name, ptr)
#define SYSCTL_U64(p, nr, name, acc, ptr, v, d) KPI_SYSCTL(p, name, ptr)
#define FEATURE(name, desc) struct kpi_swallow_semicolon

#endif
