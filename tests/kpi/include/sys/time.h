/*
 * sys/time.h - for the KPI host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_SYS_TIME_H
#define KPI_SYS_TIME_H

#include_next <sys/time.h>
#include <time.h>
#include <sys/param.h>

#define SBT_1S		((sbintime_t)1 << 32)
#define SBT_1MS		(SBT_1S / 1000)
sbintime_t sbinuptime(void);
#define time_second	time(NULL)
struct bintime {
	sbintime_t	 bt_sbt;	/* the host needs no finer one */
};
#define bttosbt(bt)	((bt).bt_sbt)
static inline int64_t
sbttons(sbintime_t t)
{

	return ((t >> 32) * 1000000000 + ((t & 0xffffffff) * 1000000000 >> 32));
}
static inline sbintime_t
nstosbt(int64_t ns)
{

	return ((ns / 1000000000 << 32) + ((ns % 1000000000) << 32) / 1000000000);
}

#endif
