/*
 * nbe_port.h - what the engine needs from the FreeBSD kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each front owns one file of this name and puts it on the include path; it is
 * the only thing that engine/ takes from outside.
 */
#ifndef NBE_PORT_H
#define NBE_PORT_H

#include <sys/param.h>
#include <sys/endian.h>
#include <sys/libkern.h>
#include <sys/stdint.h>
#include <sys/systm.h>

/* A bug of ours.  Never reached by anything that came from a network. */
#define	NBE_ASSERT(x)	KASSERT((x), ("%s: %s", __func__, #x))

/* To big-endian; and the number of the highest bit that is set, of a number above 0. */
#define	NBE_TO_BE16(v)	htobe16(v)
#define	NBE_TO_BE32(v)	htobe32(v)
#define	NBE_TO_BE64(v)	htobe64(v)
#define	NBE_LOG2(n)	((unsigned)flsll((long long)(n)) - 1)

#endif
