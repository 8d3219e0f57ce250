/*
 * sys/protosw.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_PROTOSW_H
#define KPI_SYS_PROTOSW_H

#include <sys/param.h>

struct domain;
struct protosw {
	const struct domain *pr_domain;
};

#endif
