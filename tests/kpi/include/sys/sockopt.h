/*
 * sys/sockopt.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_SOCKOPT_H
#define KPI_SYS_SOCKOPT_H

struct socket;
int	so_setsockopt(struct socket *, int level, int name, void *, size_t);

#endif
