/*
 * sys/module.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_MODULE_H
#define KPI_SYS_MODULE_H

#define MODULE_VERSION(name, version) struct kpi_swallow_semicolon

#endif
