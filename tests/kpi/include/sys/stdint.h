/*
 * sys/stdint.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_STDINT_H
#define KPI_SYS_STDINT_H

#include <stdint.h>

#endif
