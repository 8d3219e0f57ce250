/*
 * nbe_host.h - what nbe_port.h takes from the Windows kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * memcpy and memset are ntoskrnl's.
 */
#ifndef NBE_HOST_H
#define NBE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What gcc and clang have, of Microsoft's compiler. */
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define __ORDER_LITTLE_ENDIAN__	1234
#define __ORDER_BIG_ENDIAN__	4321
#define __BYTE_ORDER__		__ORDER_LITTLE_ENDIAN__
#define __builtin_bswap16(v)	_byteswap_ushort(v)
#define __builtin_bswap32(v)	_byteswap_ulong(v)
#define __builtin_bswap64(v)	_byteswap_uint64(v)
#define __builtin_clzll(v)	((int)__lzcnt64(v))
#endif

/* A release does not look, but still names what it would look at. */
#ifdef NDEBUG
#define NBE_ASSERT(x)	((void)sizeof(x))
#else
void	wnbd_assert_failed(const char *what, const char *file, int line);
#define NBE_ASSERT(x)							\
	((x) ? (void)0 : wnbd_assert_failed(#x, __FILE__, __LINE__))
#endif

#endif
