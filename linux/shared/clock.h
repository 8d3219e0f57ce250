/*
 * clock.h - the clock of all times of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CLOCK_H
#define CLOCK_H

#include "nbe.h"

/* CLOCK_BOOTTIME in ns, so that time asleep counts. */
nbe_time clock_now(void);
/* So long from now; NBE_NEVER where that is beyond all times. */
nbe_time clock_after(nbe_time ns);

#endif
