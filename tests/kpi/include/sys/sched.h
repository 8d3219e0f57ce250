/*
 * sys/sched.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SCHED_H
#define KPI_SYS_SCHED_H

#include <sys/proc.h>

#define sched_prio(td, prio) ((void)((td)->td_base_pri = (prio)))

#endif
