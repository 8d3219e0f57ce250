/*
 * nbe_port.h - what the engine takes from where it runs: frama-c.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Beyond an assertion EVA goes on with the values that pass it.
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

//@ requires never: \false; assigns \nothing; ensures \false;
void assertion_failed(void);

#define NBE_ASSERT(c)	do { if (!(c)) assertion_failed(); } while (0)

#endif
