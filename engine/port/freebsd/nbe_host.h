/*
 * nbe_host.h - what nbe_port.h takes from the FreeBSD kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBE_HOST_H
#define NBE_HOST_H

#include <sys/param.h>
#include <sys/stdint.h>
#include <sys/systm.h>

#define	NBE_ASSERT(x)	KASSERT((x), ("%s: %s", __func__, #x))

#endif
