/*
 * nbe_port.h - what the engine needs from user space, Linux's or Windows's.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each front owns one file of this name and puts it on the include path; it is
 * the only thing that engine/ takes from outside.
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A bug of ours.  Never reached by anything that came from a network.  A release
 * does not look, but still names what it would look at. */
#ifdef NDEBUG
#define NBE_ASSERT(x)	((void)sizeof(x))
#else
#define NBE_ASSERT(x)	assert(x)
#endif

#endif
