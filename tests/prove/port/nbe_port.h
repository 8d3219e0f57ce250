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

/* To big-endian; and the number of the highest bit that is set, of a number above 0. */
#define NBE_TO_BE16(v)	__builtin_bswap16(v)
#define NBE_TO_BE32(v)	__builtin_bswap32(v)
#define NBE_TO_BE64(v)	__builtin_bswap64(v)
#define NBE_LOG2(n)	(63u - (unsigned)__builtin_clzll(n))

#endif
