/*
 * help.c - the tables of cmdline.c, for people.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmdline.h"

#define LINE_WIDTH	80
#define NAME_WIDTH	26	/* of the left column of options */

static void
spaces(FILE *out, size_t n)
{
	while (n-- > 0)
		fputc(' ', out);
}

/* Words of text, from column margin on; begin is where the cursor is. */
static void
wrapped(FILE *out, size_t margin, size_t begin, const char *text)
{
	size_t column = begin;

	if (column < margin) {
		spaces(out, margin - column);
		column = margin;
	}
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > margin && column + 1 + len > LINE_WIDTH) {
			fputc('\n', out);
			spaces(out, margin);
			column = margin;
		} else if (column > margin) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, len, out);
		column += len;
		text += len + strspn(text + len, " ");
	}
	fputc('\n', out);
}

/* ---- all commands -------------------------------------------------------- */

static size_t
joined_names(const struct command *c, char *buf, size_t size)
{
	size_t len = (size_t)snprintf(buf, size, "%s", c->name);

	for (unsigned i = 0; c->alias[i] != NULL; i++)
		len += (size_t)snprintf(buf + len, size - len, " | %s", c->alias[i]);
	return len;
}

void
help_commands(FILE *out)
{
	char names[64];
	size_t width = 0;

	for (unsigned i = 0; i < COMMANDS; i++) {
		size_t len = joined_names(&command_table[i], names, sizeof(names));

		width = len > width ? len : width;
	}
	fprintf(out, "wnbd-client commands: \n\n");
	for (unsigned i = 0; i < COMMANDS; i++) {
		size_t len = joined_names(&command_table[i], names, sizeof(names));

		fputs(names, out);
		wrapped(out, width + 1, len, command_table[i].about);
	}
}

/* ---- one command --------------------------------------------------------- */

/* One unit of the usage line: it is not broken inside. */
static void
usage_unit(FILE *out, size_t margin, size_t *column, const char *unit)
{
	size_t len = strlen(unit);

	if (*column > margin && *column + 1 + len > LINE_WIDTH) {
		fputc('\n', out);
		spaces(out, margin);
		*column = margin;
	} else {
		fputc(' ', out);
		(*column)++;
	}
	fputs(unit, out);
	*column += len;
}

static void
usage(FILE *out, enum command_id id)
{
	const struct command *c = &command_table[id];
	size_t column = (size_t)fprintf(out, "Usage: wnbd-client %s", c->name);
	size_t margin = column + 1;
	struct option_text o;
	char unit[80];

	for (unsigned i = 0; i < OPERANDS_MAX && c->operand[i] != NULL; i++) {
		snprintf(unit, sizeof(unit), i < c->operands_min ? "<%s>" : "[<%s>]",
		    c->operand[i]);
		usage_unit(out, margin, &column, unit);
	}
	for (unsigned i = 0; cmdline_option(id, false, i, &o); i++) {
		snprintf(unit, sizeof(unit), o.value != NULL ? "[--%s <%s>]" :
		    "[--%s]", o.name, o.value);
		usage_unit(out, margin, &column, unit);
	}
	fputc('\n', out);
}

static void
entry(FILE *out, const char *name, const char *about)
{
	size_t len = (size_t)fprintf(out, "  %s", name);

	/* A name that reaches into the right column stands alone. */
	if (len >= NAME_WIDTH) {
		fputc('\n', out);
		len = 0;
	}
	wrapped(out, NAME_WIDTH, len, about);
}

static void
option_group(FILE *out, enum command_id id, bool common, const char *title)
{
	struct option_text o;
	char name[80];

	if (!cmdline_option(id, common, 0, &o))
		return;
	fprintf(out, "\n%s:\n", title);
	for (unsigned i = 0; cmdline_option(id, common, i, &o); i++) {
		snprintf(name, sizeof(name), o.value != NULL ? "--%s <%s>" : "--%s",
		    o.name, o.value);
		entry(out, name, o.about);
	}
}

static const char *
about_operand(const char *operand)
{
	static const struct { const char *operand, *about; } texts[] = {
		{ "command-name", "One of the commands." },
		{ "instance-name", "Name of the disk; up to 255 bytes." },
		{ "hostname", "Name or address of the NBD server, or an NBD URI. Or "
		    "several: host1,host2:10810,[2001:db8::3]:10810." },
		{ "name", "Name of the option, in any case." },
		{ "value", "true or false, a number, or a text." },
		{ "filename", "Path of wnbd.inf." },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(operand, texts[i].operand) == 0)
			return texts[i].about;
	return "";
}

void
help_command(FILE *out, enum command_id id)
{
	const struct command *c = &command_table[id];

	usage(out, id);
	fputc('\n', out);
	wrapped(out, 0, 0, c->about);
	if (c->operand[0] != NULL)
		fprintf(out, "\nPositional arguments:\n");
	for (unsigned i = 0; i < OPERANDS_MAX && c->operand[i] != NULL; i++)
		entry(out, c->operand[i], about_operand(c->operand[i]));
	option_group(out, id, false, "Optional arguments");
	option_group(out, id, true, "Common arguments");
}
