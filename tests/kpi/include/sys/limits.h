/*
 * sys/limits.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_LIMITS_H
#define KPI_SYS_LIMITS_H

#include <limits.h>

#endif
