/*
 * nbe_errno.c - the engine's errors as errno values.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nbe_errno.h"

#include <errno.h>

static const int table[] = {
	[NBE_OK]	= 0,
	[NBE_EPERM]	= EPERM,
	[NBE_EIO]	= EIO,
	[NBE_ENOMEM]	= ENOMEM,
	[NBE_EINVAL]	= EINVAL,
	[NBE_ENOSPC]	= ENOSPC,
	[NBE_EOVERFLOW]	= EOVERFLOW,
	[NBE_ENOTSUP]	= EOPNOTSUPP,
	[NBE_ESHUTDOWN]	= ENOTCONN,	/* what a program knows of a gone server */
	[NBE_ETIMEDOUT]	= ETIMEDOUT,
	[NBE_EABORTED]	= ECANCELED,
};
_Static_assert(sizeof(table) / sizeof(*table) == NBE_ERRS, "one line per error");

int
errno_of(enum nbe_err err)
{
	return err < NBE_ERRS ? table[err] : EIO;
}
