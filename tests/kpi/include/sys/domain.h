/*
 * sys/domain.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_DOMAIN_H
#define KPI_SYS_DOMAIN_H

struct domain {
	int		 dom_family;
};

#endif
