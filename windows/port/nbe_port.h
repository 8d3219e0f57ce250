/*
 * nbe_port.h - what the engine needs from the Windows kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each front owns one file of this name and puts it on the include path; it is
 * the only thing that engine/ takes from outside.  memcpy and memset are
 * ntoskrnl's.
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A bug of ours.  Never reached by anything that came from a network.  A release
 * does not look, but still names what it would look at. */
#ifdef NDEBUG
#define NBE_ASSERT(x)	((void)sizeof(x))
#else
void	wnbd_assert_failed(const char *what, const char *file, int line);
#define NBE_ASSERT(x)							\
	((x) ? (void)0 : wnbd_assert_failed(#x, __FILE__, __LINE__))
#endif

/* To big-endian; and the number of the highest bit that is set, of a number above 0. */
#define NBE_TO_BE16(v)	__builtin_bswap16(v)
#define NBE_TO_BE32(v)	__builtin_bswap32(v)
#define NBE_TO_BE64(v)	__builtin_bswap64(v)
#define NBE_LOG2(n)	(63u - (unsigned)__builtin_clzll(n))

#endif
