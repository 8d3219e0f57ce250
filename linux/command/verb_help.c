/*
 * verb_help.c - help and version, from the tables.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "json.h"
#include "options.h"
#include "verb_help.h"

#define COLUMN	32

static void
print_option(FILE *out, const struct option_row *row)
{
	char left[80];
	const char *argument = row->argument == NULL ? "" : row->argument;
	int n = 0;

	if (row->letter != 0)
		n = snprintf(left, sizeof(left), "  -%c, --%s %s", row->letter,
		    row->name, argument);
	else
		n = snprintf(left, sizeof(left), "      --%s %s", row->name, argument);
	fprintf(out, "%-*s%s%s\n", COLUMN, left, n >= COLUMN ? "  " : "", row->help);
}

void
help_verb(FILE *out, const struct verb *v)
{
	fprintf(out, "usage: nbdisk %s [options]%s%s\n\n%s\n\n", v->name,
	    v->operands[0] != '\0' ? " " : "", v->operands, v->help);
	for (unsigned i = 0; i < option_count; i++)
		if (option_belongs(&option_table[i], verb_id(v)))
			print_option(out, &option_table[i]);
}

void
help_all(FILE *out)
{
	fputs("usage: nbdisk VERB [options] [operand ...]\n\n", out);
	for (unsigned i = 0; i < VERBS; i++)
		fprintf(out, "  %-12s %-11s  %s\n", verb_table[i].name,
		    verb_table[i].operands, verb_table[i].help);
	fputs("\nSERVER is a host name or address, the path of a UNIX socket, or an "
	    "NBD URI such\nas nbds://server/export.  \"nbdisk help VERB\" lists the "
	    "options of a verb.\n", out);
	fputs("\nWhat is \"nbd-client HOST PORT /dev/nbd0 -N EXPORT\" elsewhere is "
	    "here\n\"nbdisk connect -p PORT -n EXPORT HOST\", which prints the device "
	    "that it made;\n\"nbdisk import /etc/nbdtab\" translates it.\n", out);
}

static void
verb_to_json(struct json *j, const struct verb *v)
{
	json_open(j, NULL, '{');
	json_text(j, "verb", v->name);
	json_text(j, "operands", v->operands);
	json_text(j, "help", v->help);
	json_open(j, "options", '[');
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_row *row = &option_table[i];
		char letter[2] = { row->letter, '\0' };

		if (!option_belongs(row, verb_id(v)))
			continue;
		json_open(j, NULL, '{');
		json_text(j, "name", row->name);
		json_text(j, "letter", row->letter != 0 ? letter : NULL);
		json_text(j, "argument", row->argument);
		json_text(j, "help", row->help);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void
help_json(const struct verb *only)
{
	struct json j;

	json_start(&j, stdout, false);
	json_open(&j, NULL, '[');
	for (unsigned i = 0; i < VERBS; i++)
		if (only == NULL || only == &verb_table[i])
			verb_to_json(&j, &verb_table[i]);
	json_close(&j, ']');
	json_finish(&j);
}

enum exit_status
verb_help(const struct options *o)
{
	const struct verb *v = NULL;

	if (o->operands > 0) {
		v = verb_find(o->operand[0]);
		if (v == NULL) {
			fprintf(stderr, "nbdisk: there is no verb \"%s\"\n",
			    o->operand[0]);
			return EXIT_USAGE;
		}
	}
	if (o->json)
		help_json(v);
	else if (v != NULL)
		help_verb(stdout, v);
	else
		help_all(stdout);
	return EXIT_OK;
}

enum exit_status
verb_version(const struct options *o)
{
	struct json j;

	if (!o->json) {
		puts("nbdisk " NBDISK_VERSION);
		return EXIT_OK;
	}
	json_start(&j, stdout, false);
	json_open(&j, NULL, '{');
	json_text(&j, "version", NBDISK_VERSION);
	json_close(&j, '}');
	json_finish(&j);
	return EXIT_OK;
}
