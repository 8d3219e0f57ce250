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

#endif
