/*
 * geom/geom_disk.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_GEOM_GEOM_DISK_H
#define KPI_GEOM_GEOM_DISK_H

#define DISK_IDENT_SIZE	256
#define DISK_RR_UNKNOWN	0
#define DISK_RR_NON_ROTATING 1

#endif
