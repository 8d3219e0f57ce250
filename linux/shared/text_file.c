/*
 * text_file.c - small files as strings.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *
text_file_read(const char *path, size_t max, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	char *text = NULL;
	size_t len = 0;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	text = malloc(max + 1);
	if (text != NULL)
		while (len < max && (n = read(fd, text + len, max - len)) > 0)
			len += (size_t)n;
	error = text == NULL ? ENOMEM : errno;
	close(fd);
	if (text == NULL || n < 0) {
		free(text);
		errno = error;
		return NULL;
	}
	text[len] = '\0';
	if (length != NULL)
		*length = len;
	return text;
}

bool
text_file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, len) == (ssize_t)len;
	close(fd);
	return ok;
}
