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

/* A release does not look, but still names what it would look at. */
#ifdef NDEBUG
#define NBE_ASSERT(x)	((void)sizeof(x))
#else
void	wnbd_assert_failed(const char *what, const char *file, int line);
#define NBE_ASSERT(x)							\
	((x) ? (void)0 : wnbd_assert_failed(#x, __FILE__, __LINE__))
#endif

#endif
