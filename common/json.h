/*
 * json.h - JSON, written piece by piece.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * key is NULL for a value in an array and for the outermost one.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE		*out;
	unsigned	level;
	bool		comma;		/* something stands before the next value */
	bool		compact;	/* all in one line */
};

void	json_start(struct json *, FILE *, bool compact);
/* Ends the line. */
void	json_finish(struct json *);
void	json_open(struct json *, const char *key, char bracket);	/* { or [ */
void	json_close(struct json *, char bracket);			/* } or ] */
/* NULL is null.  Bytes that are not UTF-8 become U+FFFD. */
void	json_text(struct json *, const char *key, const char *);
void	json_number(struct json *, const char *key, uint64_t);
void	json_real(struct json *, const char *key, double);
void	json_bool(struct json *, const char *key, bool);

#endif
