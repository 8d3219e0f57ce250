/*
 * sys/kernel.h - for the KPI host: nothing of it is needed but its name.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_KERNEL_H
#define KPI_SYS_KERNEL_H

#include <sys/systm.h>

#endif
