/*
 * nbe_port.h - the least that the engine can live with: nothing but a compiler.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void	*memcpy(void *restrict, const void *restrict, size_t);
void	*memset(void *, int, size_t);
_Noreturn void port_assert_failed(void);

#define NBE_ASSERT(x)	((x) ? (void)0 : port_assert_failed())

/* To big-endian; and the number of the highest bit that is set, of a number above 0. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NBE_TO_BE16(v)	(v)
#define NBE_TO_BE32(v)	(v)
#define NBE_TO_BE64(v)	(v)
#else
#define NBE_TO_BE16(v)	__builtin_bswap16(v)
#define NBE_TO_BE32(v)	__builtin_bswap32(v)
#define NBE_TO_BE64(v)	__builtin_bswap64(v)
#endif
#define NBE_LOG2(n)	(63u - (unsigned)__builtin_clzll(n))

#endif
