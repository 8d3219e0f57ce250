/*
 * text_file.h - small files as strings.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEXT_FILE_H
#define TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The whole file, at most max bytes of it, to be freed; NULL with errno.  length, which
 * may be NULL, is without the NUL at the end. */
char	*text_file_read(const char *path, size_t max, size_t *length);
bool	text_file_write(const char *path, const char *text);

#endif
