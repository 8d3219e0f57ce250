/*
 * nbe_port.h - what the engine needs from outside: for gcc and clang, anywhere.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The only thing that engine/ takes from outside.  What a system does in its own way
 * is in port/: user.h for programs, and for a kernel an nbe_host.h, which counts where
 * it is on the include path.  Either gives
 *
 *	bool, size_t, the fixed-width types, memcpy and memset
 *	NBE_ASSERT(x)	a bug of ours; never reached by anything that came from a
 *			network.  A release need not look.
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#if __has_include("nbe_host.h")
#include "nbe_host.h"
#else
#include "port/user.h"
#endif

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

/* What is stored before it is in memory before what is stored later, for who looks
 * when this process was killed in between; not for who looks while it runs. */
#define NBE_IN_ORDER()	__atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
