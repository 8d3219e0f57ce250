/*
 * user.h - what nbe_port.h takes from user space, whatever system it is.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBE_USER_H
#define NBE_USER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A release does not look, but still names what it would look at. */
#ifdef NDEBUG
#define NBE_ASSERT(x)	((void)sizeof(x))
#else
#define NBE_ASSERT(x)	assert(x)
#endif

#endif
