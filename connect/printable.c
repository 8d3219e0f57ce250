/*
 * printable.c - a server's text on somebody's terminal.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names and messages come from whoever answers, perhaps before TLS.  Nothing of
 * them may move a cursor or end a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define ESCAPED_LEN	4	/* \xNN */

/* Bytes of the UTF-8 sequence that c begins, by its first byte alone; 0: none. */
static unsigned
sequence_len(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c < 0xe0)
		return 2;
	if (c >= 0xe0 && c < 0xf0)
		return 3;
	if (c >= 0xf0 && c < 0xf5)
		return 4;
	return 0;
}

/* Unicode: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool
is_valid_code(uint32_t code, unsigned len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	return code >= least[len] && code <= 0x10ffff &&
	    !(code >= 0xd800 && code <= 0xdfff);
}

/* Controls, and the marks that turn the direction of text around. */
static bool
is_harmful(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	    (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069);
}

/* Bytes of the printable character at p; 0 when there is none. */
static unsigned
printable_len(const uint8_t *p, size_t left)
{
	unsigned i, len = sequence_len(p[0]);
	uint32_t code;

	if (len == 0 || len > left)
		return 0;
	code = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (!is_valid_code(code, len) || is_harmful(code))
		return 0;
	return len;
}

void
nbc_printable(char *buf, size_t size, struct nbe_text text)
{
	const uint8_t *p = (const uint8_t *)text.ptr;
	size_t at = 0, out = 0;

	while (at < text.len) {
		unsigned len = printable_len(p + at, text.len - at);

		if (out + (len > 0 ? len : ESCAPED_LEN) >= size)
			break;
		if (len > 0) {
			memcpy(buf + out, p + at, len);
			out += len;
			at += len;
		} else {
			snprintf(buf + out, size - out, "\\x%02x", p[at]);
			out += ESCAPED_LEN;
			at++;
		}
	}
	buf[out] = '\0';
}

char *
nbc_printable_dup(struct nbe_text text)
{
	size_t size = (size_t)text.len * ESCAPED_LEN + 1;
	char *wide = malloc(size), *fitting;

	if (wide == NULL)
		return NULL;
	nbc_printable(wide, size, text);
	fitting = realloc(wide, strlen(wide) + 1);
	return fitting != NULL ? fitting : wide;
}
