/*
 * machine/vmparam.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_MACHINE_VMPARAM_H
#define KPI_MACHINE_VMPARAM_H

#include <vm/vm.h>

#endif
