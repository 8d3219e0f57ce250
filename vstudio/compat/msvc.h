/*
 * msvc.h - what Microsoft's C library calls otherwise; included before everything else.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef COMPAT_MSVC_H
#define COMPAT_MSVC_H

#include <stddef.h>

typedef ptrdiff_t ssize_t;

/* prepare.ps1 makes an empty strings.h. */
#define strcasecmp	_stricmp
#define strncasecmp	_strnicmp

#endif
