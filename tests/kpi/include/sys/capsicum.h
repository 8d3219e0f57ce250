/*
 * sys/capsicum.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_CAPSICUM_H
#define KPI_SYS_CAPSICUM_H

typedef int cap_rights_t;
#define CAP_SOCK_CLIENT	1
#define cap_rights_init_one(r, c) (*(r) = (c), (r))

#endif
