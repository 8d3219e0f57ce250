/*
 * host.h - what the files of the KPI host share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_HOST_H
#define KPI_HOST_H

#include <stdbool.h>

/* The test wants this M_NOWAIT allocation to fail. */
bool	kpi_fails(void);

#endif
