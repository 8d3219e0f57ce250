/*
 * figures.h - what a load costs and how long its I/Os take.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

/* Eight per power of two, from 64 ns up. */
#define FIGURES_BUCKETS	(8 * 36)

struct figures {
	uint64_t done;
	uint64_t begin_ns, begin_cpu_ns;
	uint64_t bucket[FIGURES_BUCKETS];
};

uint64_t figures_now_ns(void);
void	figures_begin(struct figures *);
/* count I/Os took so long. */
void	figures_add(struct figures *, uint64_t ns, unsigned count);
/* One line of JSON: I/Os, IOPS, CPU seconds per million, percentiles in us. */
void	figures_print(const struct figures *);

#endif
