/*
 * sys/queue.h - for the KPI host: the lists that the module uses.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_QUEUE_H
#define KPI_SYS_QUEUE_H

#define LIST_HEAD(name, type) struct name { struct type *lh_first; }
#define LIST_ENTRY(type) struct { struct type *le_next, **le_prev; }
#define LIST_FOREACH(var, head, field) \
	for ((var) = (head)->lh_first; (var) != NULL; (var) = (var)->field.le_next)
#define LIST_INSERT_HEAD(head, elm, field) do {					\
	if (((elm)->field.le_next = (head)->lh_first) != NULL)			\
		(head)->lh_first->field.le_prev = &(elm)->field.le_next;	\
	(head)->lh_first = (elm);						\
	(elm)->field.le_prev = &(head)->lh_first;				\
} while (0)
#define LIST_REMOVE(elm, field) do {						\
	if ((elm)->field.le_next != NULL)					\
		(elm)->field.le_next->field.le_prev = (elm)->field.le_prev;	\
	*(elm)->field.le_prev = (elm)->field.le_next;				\
} while (0)

#endif
