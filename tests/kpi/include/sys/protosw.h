/*
 * sys/protosw.h - for the KPI host: nothing of it is needed but its name.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_PROTOSW_H
#define KPI_SYS_PROTOSW_H

#include <sys/param.h>

#endif
