/*
 * clock.c - the clock of all times of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "clock.h"

#include <time.h>

nbe_time
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (nbe_time)t.tv_sec * NBE_SECOND + (nbe_time)t.tv_nsec;
}

nbe_time
clock_after(nbe_time ns)
{
	nbe_time now = clock_now();

	return ns < NBE_NEVER - now ? now + ns : NBE_NEVER;
}
