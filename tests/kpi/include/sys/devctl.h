/*
 * sys/devctl.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_DEVCTL_H
#define KPI_SYS_DEVCTL_H

void	devctl_notify(const char *system, const char *subsystem,
	    const char *type, const char *data);

#endif
