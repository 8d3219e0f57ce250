/*
 * record.h - a table of fields, printed as text or as JSON.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "json.h"

struct value {
	enum { VALUE_NONE, VALUE_TEXT, VALUE_NUMBER, VALUE_BOOL, VALUE_LIST } kind;
	uint64_t	number;		/* NUMBER; BOOL: 0 or 1 */
	const char	*text;		/* TEXT; others: how people read it, or NULL.
					 * LIST: items with ", " between them */
	char		room[512];	/* where text may be */
};

struct field {
	const char	*label;		/* NULL: only in JSON */
	const char	*key;		/* NULL: only as text */
	void		(*get)(const void *object, struct value *);
};

void	value_text(struct value *, const char *);	/* NULL: VALUE_NONE */
void	value_number(struct value *, uint64_t);
void	value_bool(struct value *, bool);
/* Sets how people read it. */
void	value_say(struct value *, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
/* A list grows by one item. */
void	value_add(struct value *, const char *item);
/* A time in ms, or "never". */
void	value_ms(struct value *, uint64_t ns);

/* "4.0G"; 1024, at most three digits. */
const char *human_size(char *buf, size_t size, uint64_t bytes);
/* "12.3us", "4.56ms", "1.20s"; "-" for 0. */
const char *human_ns(char *buf, size_t size, uint64_t ns);

/* Each field with a value: "indent label: value". */
void	record_print(FILE *, const char *indent, const struct field *, size_t count,
	    const void *object);
/* Into the object that is open. */
void	record_json(struct json *, const struct field *, size_t count,
	    const void *object);

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

#endif
