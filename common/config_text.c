/*
 * config_text.c - files of lines "name = value", as nbdisk.conf(5) describes them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config_text.h"

#include <ctype.h>
#include <string.h>

static char *
trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static unsigned
line_of(const char *text, const char *place)
{
	unsigned line = 1;

	for (; text < place; text++)
		line += *text == '\n';
	return line;
}

/* Else what is behind them would be passed over without a word. */
static bool
is_text(const char *path, const char *text, size_t len, struct errtext *err)
{
	const char *nul = memchr(text, '\0', len);

	if (nul != NULL)
		return errtext_set(err, "%s:%u: a NUL byte; this is no text", path,
		    line_of(text, nul));
	return len <= CONFIG_TEXT_MAX || errtext_set(err, "%s:%u: the file is longer "
	    "than %d bytes", path, line_of(text, text + CONFIG_TEXT_MAX),
	    CONFIG_TEXT_MAX);
}

static bool
load_line(unsigned number, char *line, config_take *take, void *arg,
    struct errtext *err)
{
	char *equals = strchr(line, '=');

	if (line[0] == '\0' || line[0] == '#')
		return true;
	if (equals == NULL)
		return errtext_set(err, "\"%s\": expected name = value", line);
	*equals = '\0';
	return take(arg, number, trim(line), trim(equals + 1), err);
}

bool
config_text_load(const char *path, char *text, size_t len, config_take *take, void *arg,
    struct errtext *err)
{
	struct errtext why;
	unsigned number = 0;
	char *line, *end;

	if (!is_text(path, text, len, err))
		return false;
	for (line = text; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		if (!load_line(++number, trim(line), take, arg, &why))
			return errtext_set(err, "%s:%u: %.900s", path, number,
			    why.text);
	}
	return true;
}

bool
config_once(unsigned *first, unsigned line, const char *name, struct errtext *err)
{
	if (*first != 0)
		return errtext_set(err, "\"%s\" is in line %u already; say it once",
		    name, *first);
	*first = line;
	return true;
}
