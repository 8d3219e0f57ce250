/*
 * sys/param.h - for the KPI host: types and macros of the FreeBSD kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_PARAM_H
#define KPI_SYS_PARAM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef __FreeBSD_version
#define __FreeBSD_version 1400063
#endif
#define ENOIOCTL	(-3)

#define KPI_PAGE_SHIFT	12
#define PAGE_SHIFT	KPI_PAGE_SHIFT
#define PAGE_SIZE	4096
#define PAGE_MASK	4095
#define trunc_page(x)	((x) & ~(vm_paddr_t)PAGE_MASK)
#define MSIZE		256
#define MCLBYTES	2048
#define PRIBIO		76
#define PRI_MAX_TIMESHARE 223

#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))
#define nitems(x)	(sizeof(x) / sizeof((x)[0]))
#define powerof2(x)	((((x) - 1) & (x)) == 0)
#define rounddown2(x, y) ((x) & ~((typeof(x))(y) - 1))
#define __unused	__attribute__((unused))
#define __printflike(a, b) __attribute__((format(printf, a, b)))
#define __containerof(p, s, f) ((s *)(void *)((char *)(p) - offsetof(s, f)))
#define _PATH_DEV	"/dev/"

typedef uint64_t	vm_paddr_t;
typedef uintptr_t	vm_offset_t;
typedef int64_t		sbintime_t;
typedef int32_t		lwpid_t;

#endif
