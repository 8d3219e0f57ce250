/*
 * sys/endian.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_ENDIAN_H
#define KPI_SYS_ENDIAN_H

#include <endian.h>

#endif
