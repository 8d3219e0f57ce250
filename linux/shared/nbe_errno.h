/*
 * nbe_errno.h - the engine's errors as errno values.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBE_ERRNO_H
#define NBE_ERRNO_H

#include "nbe.h"

/* A positive errno value, 0 for NBE_OK. */
int	errno_of(enum nbe_err);

#endif
