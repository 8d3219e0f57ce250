/*
 * nbe_host.h - what nbe_port.h takes from frama-c.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Beyond an assertion EVA goes on with the values that pass it.
 */
#ifndef NBE_HOST_H
#define NBE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

//@ requires never: \false; assigns \nothing; ensures \false;
void assertion_failed(void);

#define NBE_ASSERT(c)	do { if (!(c)) assertion_failed(); } while (0)

#endif
