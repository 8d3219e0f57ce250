/*
 * errtext.c - why something failed, as a text for a person.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "errtext.h"

#include <stdarg.h>
#include <stdio.h>

bool
errtext_set(struct errtext *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return false;
}
