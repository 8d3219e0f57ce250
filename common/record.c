/*
 * record.c - a table of fields, printed as text or as JSON.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "nbe.h"

/* ---- values ------------------------------------------------------------------ */

void
value_text(struct value *v, const char *text)
{
	v->kind = text != NULL ? VALUE_TEXT : VALUE_NONE;
	v->text = text;
}

void
value_number(struct value *v, uint64_t number)
{
	v->kind = VALUE_NUMBER;
	v->number = number;
}

void
value_bool(struct value *v, bool yes)
{
	v->kind = VALUE_BOOL;
	v->number = yes;
	v->text = yes ? "yes" : "no";
}

void
value_say(struct value *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->room, sizeof(v->room), format, args);
	va_end(args);
	v->text = v->room;
}

void
value_add(struct value *v, const char *item)
{
	size_t len = strlen(v->room);

	v->kind = VALUE_LIST;
	snprintf(v->room + len, sizeof(v->room) - len, "%s%s", len > 0 ? ", " : "",
	    item);
	v->text = v->room;
}

void
value_ms(struct value *v, uint64_t ns)
{
	if (ns == NBE_NEVER) {
		value_text(v, "never");
		return;
	}
	value_number(v, ns / (NBE_SECOND / 1000));
	value_say(v, "%" PRIu64 " ms", v->number);
}

const char *
human_size(char *buf, size_t size, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double n = (double)bytes;
	unsigned i = 0;

	while (n >= 1024 && i + 2 < sizeof(units)) {
		n /= 1024;
		i++;
	}
	snprintf(buf, size, "%.*f%c", i > 0 && n < 10 ? 1 : 0, n, units[i]);
	return buf;
}

const char *
human_ns(char *buf, size_t size, uint64_t ns)
{
	if (ns == 0)
		snprintf(buf, size, "-");
	else if (ns < 1000000)
		snprintf(buf, size, "%.1fus", (double)ns / 1e3);
	else if (ns < NBE_SECOND)
		snprintf(buf, size, "%.2fms", (double)ns / 1e6);
	else
		snprintf(buf, size, "%.2fs", (double)ns / 1e9);
	return buf;
}

/* ---- fields ------------------------------------------------------------------ */

static void
print_value(FILE *out, const struct value *v)
{
	if (v->text != NULL)
		fputs(v->text, out);
	else
		fprintf(out, "%" PRIu64, v->number);
}

void
record_print(FILE *out, const char *indent, const struct field *f, size_t count,
    const void *object)
{
	for (size_t i = 0; i < count; i++) {
		struct value v = { .kind = VALUE_NONE };

		if (f[i].label == NULL)
			continue;
		f[i].get(object, &v);
		if (v.kind == VALUE_NONE)
			continue;
		fprintf(out, "%s%s: ", indent, f[i].label);
		print_value(out, &v);
		fputc('\n', out);
	}
}

static void
list_to_json(struct json *j, const char *key, char *items)
{
	char *item = items;

	json_open(j, key, '[');
	while (item != NULL && *item != '\0') {
		char *comma = strstr(item, ", ");

		if (comma != NULL)
			*comma = '\0';
		json_text(j, NULL, item);
		item = comma != NULL ? comma + 2 : NULL;
	}
	json_close(j, ']');
}

static void
value_to_json(struct json *j, const char *key, struct value *v)
{
	switch (v->kind) {
	case VALUE_NONE:
		json_text(j, key, NULL);
		break;
	case VALUE_TEXT:
		json_text(j, key, v->text);
		break;
	case VALUE_NUMBER:
		json_number(j, key, v->number);
		break;
	case VALUE_BOOL:
		json_bool(j, key, v->number != 0);
		break;
	case VALUE_LIST:
		list_to_json(j, key, v->room);
		break;
	}
}

void
record_json(struct json *j, const struct field *f, size_t count, const void *object)
{
	for (size_t i = 0; i < count; i++) {
		struct value v = { .kind = VALUE_NONE };

		if (f[i].key == NULL)
			continue;
		f[i].get(object, &v);
		value_to_json(j, f[i].key, &v);
	}
}
