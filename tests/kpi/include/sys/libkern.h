/*
 * sys/libkern.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_LIBKERN_H
#define KPI_SYS_LIBKERN_H

#define flsll(n) ((n) == 0 ? 0 : 64 - __builtin_clzll((unsigned long long)(n)))

#endif
