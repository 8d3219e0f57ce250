/*
 * vm/vm.h - for the KPI host: physical addresses are virtual ones at a distance, so
 * that they cannot be mixed up.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_VM_VM_H
#define KPI_VM_VM_H

#include <sys/param.h>

#define KPI_DMAP	((vm_paddr_t)1 << 56)
#define PHYS_TO_DMAP(pa) ((vm_offset_t)((pa) - KPI_DMAP))

#endif
