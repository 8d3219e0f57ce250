/*
 * vm/vm_page.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_VM_VM_PAGE_H
#define KPI_VM_VM_PAGE_H

#include <vm/vm.h>

struct vm_page {
	vm_paddr_t	 phys_addr;
};
#define VM_PAGE_TO_PHYS(m) ((m)->phys_addr)

#endif
