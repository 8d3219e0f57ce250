/*
 * vm/pmap.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_VM_PMAP_H
#define KPI_VM_PMAP_H

#include <vm/vm.h>

#define pmap_kextract(va) ((vm_paddr_t)(va) + KPI_DMAP)

#endif
