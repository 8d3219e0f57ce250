/*
 * sys/sysctl.h - for gnbd_kpi.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_USER_SYS_SYSCTL_H
#define KPI_USER_SYS_SYSCTL_H

#include <stddef.h>

int	sysctlbyname(const char *, void *, size_t *, const void *, size_t);

#endif
