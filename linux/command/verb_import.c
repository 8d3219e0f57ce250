/*
 * verb_import.c - configuration files out of nbd-client's /etc/nbdtab.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A line of nbdtab(5) has a device, a host or socket, an export, and perhaps options
 * with commas between them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "options.h"
#include "text_file.h"
#include "values.h"

#define BLANKS		" \t\r"

struct entry {
	char	*device, *host, *export_name;
	char	*options;	/* NULL: none */
};

/* What becomes of an option: a line of nbdisk.conf(5), or why there is none. */
struct translation {
	const char	*option;
	const char	*name;		/* NULL: note says why */
	const char	*value;		/* NULL: the option's own */
	const char	*note;
	bool		is_loss;	/* said on stderr, too */
};

static const struct translation translations[] = {
	{ "port", "port", NULL, NULL, false },
	{ "conns", "connections", NULL, NULL, false },
	{ "timeout", "timeout", NULL, NULL, false },
	{ "persist", "dead-timeout", "never", NULL, false },
	{ "cacertfile", "ca", NULL, NULL, false },
	{ "certfile", "cert", NULL, NULL, false },
	{ "keyfile", "key", NULL, NULL, false },
	{ "tlshostname", "tls-hostname", NULL, NULL, false },
	{ "swap", NULL, NULL, "a device is always fit for swap", false },
	{ "bs", NULL, NULL, "the server tells the size of blocks", false },
	{ "no_optgo", NULL, NULL, "servers without NBD_OPT_GO are noticed", false },
	{ "unix", NULL, NULL, "a path is a UNIX socket", false },
	{ "sdp", NULL, NULL, "there is no SDP here; TCP is used", true },
};

/* ---- one line ---------------------------------------------------------------- */

static char *
next_field(char **rest)
{
	char *field;

	*rest += strspn(*rest, BLANKS);
	if (**rest == '\0')
		return NULL;
	field = *rest;
	*rest += strcspn(*rest, BLANKS);
	if (**rest != '\0')
		*(*rest)++ = '\0';
	return field;
}

static bool
split(struct entry *e, char *line, struct errtext *err)
{
	e->device = next_field(&line);
	e->host = next_field(&line);
	e->export_name = next_field(&line);
	e->options = next_field(&line);
	if (e->export_name == NULL)
		return errtext_set(err, "expected a device, a host and an export");
	return value_device_name(e->device) || errtext_set(err,
	    "\"%s\" cannot be the name of a device", e->device);
}

static const struct translation *
find_translation(const char *option, size_t len)
{
	for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++)
		if (strlen(translations[i].option) == len &&
		    memcmp(translations[i].option, option, len) == 0)
			return &translations[i];
	return NULL;
}

static void
note(const struct entry *e, const char *option, const char *text, bool is_loss)
{
	struct errtext err;

	printf("# %s: %s\n", option, text);
	if (!is_loss)
		return;
	errtext_set(&err, "warning: %s: %s: %s", e->device, option, text);
	complain(err.text);
}

static void
translate(const struct entry *e, const char *option)
{
	size_t len = strcspn(option, "=");
	const struct translation *t = find_translation(option, len);

	/* For local use, as nbdtab(5) has it. */
	if (option[0] == '_' || option[0] == '\0')
		return;
	if (t == NULL)
		note(e, option, "is not known", true);
	else if (t->name == NULL)
		note(e, option, t->note, t->is_loss);
	else if (t->value == NULL && option[len] == '\0')
		note(e, option, "has no value", true);
	else
		printf("%s = %s\n", t->name,
		    t->value != NULL ? t->value : option + len + 1);
}

static void
print_entry(struct entry *e)
{
	char *option;

	printf("# /etc/nbdisk/%s.conf\nuri = %s\n", e->device, e->host);
	printf("name = %s\n", e->export_name);
	while ((option = strsep(&e->options, ",")) != NULL)
		translate(e, option);
}

/* ---- the file ---------------------------------------------------------------- */

struct import {
	const char	*wanted;	/* NULL: all */
	unsigned	printed;
};

static bool
import_line(struct import *in, char *line, struct errtext *err)
{
	struct entry e = { .device = NULL };

	line[strcspn(line, "#")] = '\0';
	if (line[strspn(line, BLANKS)] == '\0')
		return true;
	if (!split(&e, line, err))
		return false;
	if (in->wanted != NULL && strcmp(in->wanted, e.device) != 0)
		return true;
	if (in->printed++ > 0)
		putchar('\n');
	print_entry(&e);
	return true;
}

static bool
import_text(struct import *in, const char *path, char *text, struct errtext *err)
{
	unsigned number = 0;
	struct errtext why;
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		number++;
		if (!import_line(in, line, &why))
			return errtext_set(err, "%s:%u: %.900s", path, number,
			    why.text);
	}
	return in->printed > 0 || in->wanted == NULL || errtext_set(err,
	    "%s: there is no %s", path, in->wanted);
}

enum exit_status
verb_import(const struct options *o)
{
	struct import in = { .wanted = o->operands > 1 ? o->operand[1] : NULL };
	const char *path = o->operand[0];
	struct errtext err;
	char *text = text_file_read(path, CONFIG_TEXT_MAX, NULL);
	bool ok;

	if (text == NULL) {
		errtext_set(&err, "%s: %s", path, strerror(errno));
		complain(err.text);
		return EXIT_FAILED;
	}
	ok = import_text(&in, path, text, &err);
	free(text);
	if (ok)
		return EXIT_OK;
	complain(err.text);
	return EXIT_USAGE;
}
