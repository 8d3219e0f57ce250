/*
 * json.c - JSON, written piece by piece.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "json.h"

#include <inttypes.h>

void
json_start(struct json *j, FILE *out, bool compact)
{
	*j = (struct json){ .out = out, .compact = compact };
}

void
json_finish(struct json *j)
{
	fputc('\n', j->out);
	j->comma = false;
}

/* How long the UTF-8 character at s is; 0: it is none. */
static unsigned
utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char mask, lead, second_min, second_max, length;
	} forms[] = {
		{ 0x80, 0x00, 0, 0, 1 },
		{ 0xff, 0xe0, 0xa0, 0xbf, 3 },	/* neither too long a form, */
		{ 0xff, 0xed, 0x80, 0x9f, 3 },	/* nor a surrogate, */
		{ 0xff, 0xf0, 0x90, 0xbf, 4 },
		{ 0xff, 0xf4, 0x80, 0x8f, 4 },	/* nor beyond the last one */
		{ 0xe0, 0xc0, 0x80, 0xbf, 2 },
		{ 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xfc, 0xf0, 0x80, 0xbf, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (forms[i].length == 1)
			return 1;
		if (s[0] < 0xc2 || s[1] < forms[i].second_min ||
		    s[1] > forms[i].second_max)
			return 0;
		for (unsigned k = 2; k < forms[i].length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static void
put_string(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', out);
	while (*s != '\0') {
		unsigned len = utf8_length(s);

		if (len == 0)
			fputs("\\ufffd", out);
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, len, out);
		s += len == 0 ? 1 : len;
	}
	fputc('"', out);
}

static void
new_line(struct json *j)
{
	if (j->compact)
		return;
	fputc('\n', j->out);
	for (unsigned i = 0; i < j->level; i++)
		fputs("  ", j->out);
}

static void
begin_value(struct json *j, const char *key)
{
	if (j->comma)
		fputc(',', j->out);
	if (j->comma && j->compact)
		fputc(' ', j->out);
	if (j->level > 0)
		new_line(j);
	if (key != NULL) {
		put_string(j->out, key);
		fputs(": ", j->out);
	}
	j->comma = true;
}

void
json_open(struct json *j, const char *key, char bracket)
{
	begin_value(j, key);
	fputc(bracket, j->out);
	j->level++;
	j->comma = false;
}

void
json_close(struct json *j, char bracket)
{
	j->level--;
	if (j->comma)
		new_line(j);
	fputc(bracket, j->out);
	j->comma = true;
}

void
json_text(struct json *j, const char *key, const char *text)
{
	begin_value(j, key);
	if (text == NULL)
		fputs("null", j->out);
	else
		put_string(j->out, text);
}

void
json_number(struct json *j, const char *key, uint64_t number)
{
	begin_value(j, key);
	fprintf(j->out, "%" PRIu64, number);
}

void
json_real(struct json *j, const char *key, double number)
{
	begin_value(j, key);
	fprintf(j->out, "%.3f", number);
}

void
json_bool(struct json *j, const char *key, bool yes)
{
	begin_value(j, key);
	fputs(yes ? "true" : "false", j->out);
}
