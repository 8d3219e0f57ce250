/*
 * text.c - names, into arrays of fixed size.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "lib.h"

bool
lib_copy_name(char *to, size_t size, const char *name)
{
	size_t len = name == NULL ? 0 : strnlen(name, size);

	if (len == 0 || len == size)
		return false;
	memcpy(to, name, len + 1);
	return true;
}

bool
lib_to_wide(WCHAR *to, size_t count, const char *text)
{
	return text != NULL && text[0] != '\0' &&
	    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, to,
	    (int)count) > 0;
}
