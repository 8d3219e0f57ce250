/*
 * sys/thr.h - for gnbd_kpi.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_THR_H
#define KPI_SYS_THR_H

int	thr_self(long *);

#endif
