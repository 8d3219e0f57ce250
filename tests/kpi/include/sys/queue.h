/*
 * sys/queue.h - for the KPI host: only what geom.h lists are walked with.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_QUEUE_H
#define KPI_SYS_QUEUE_H

#define LIST_HEAD(name, type) struct name { struct type *lh_first; }
#define LIST_ENTRY(type) struct { struct type *le_next; }
#define LIST_FOREACH(var, head, field) \
	for ((var) = (head)->lh_first; (var) != NULL; (var) = (var)->field.le_next)

#endif
