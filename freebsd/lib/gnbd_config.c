/*
 * gnbd_config.c - a device's file, in place of options and hosts.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the file says becomes parameters of the request, as if they were options.  So an
 * option that is there already counts more, and the kernel judges both alike.
 */
#include <sys/param.h>

#include <errno.h>
#include <libgeom.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "misc/subr.h"

#include "config_text.h"
#include "gnbd.h"
#include "values.h"

#define	CONFIG_END	".conf"


enum kind { TEXT, COUNT, SECONDS, BYTES };

/* Names of nbdisk.conf(5), and of the verb's parameters. */
static const struct setting {
	const char	*name, *param;
	enum kind	kind;
} settings[] = {
	{ "connections", "connections", COUNT },
	{ "name", "name", TEXT }, { "port", "port", TEXT },
	{ "timeout", "timeout", SECONDS }, { "dead-timeout", "dead_timeout", SECONDS },
	{ "fence", "fence", SECONDS }, { "unflushed", "unflushed", TEXT },
	{ "sector-size", "sectorsize", BYTES }, { "stripe-size", "stripesize", BYTES },
	{ "path-timeout", "path_timeout", SECONDS },
	{ "failback", "failback", SECONDS },
	{ "ca", "cacert", TEXT }, { "cert", "cert", TEXT }, { "key", "key", TEXT },
};
_Static_assert(sizeof(settings) / sizeof(settings[0]) == GNBD_SETTINGS, "number[]");

struct loading {
	struct gnbd_config *config;
	struct gctl_req	*req;
	unsigned	 line[GNBD_SETTINGS];	/* 0: not yet */
	unsigned	 by_line, command_line;	/* likewise */
	const char	*by, *command;		/* of fence-by and fence-command */
};

bool
gnbd_is_config(const char *operand)
{
	size_t len = strlen(operand), end = strlen(CONFIG_END);

	return (strchr(operand, '/') != NULL && strstr(operand, "://") == NULL &&
	    len > end && strcmp(operand + len - end, CONFIG_END) == 0);
}

static bool
number(const struct setting *s, const char *value, intmax_t *n)
{
	uint64_t u = 0;
	unsigned count;

	switch (s->kind) {
	case COUNT:
		if (!value_count(value, 0, INT32_MAX, &count))
			return (false);
		*n = count;
		return (true);
	case SECONDS:
		if (!value_time(value, &u) || (u != NBE_NEVER && u % NBE_SECOND != 0))
			return (false);
		*n = u == NBE_NEVER ? 0 : (intmax_t)(u / NBE_SECOND);
		return (true);
	default:
		if (!value_size(value, &u) || u > INTMAX_MAX)
			return (false);
		*n = (intmax_t)u;
		return (true);
	}
}

static bool
add(struct loading *l, unsigned i, const char *value, struct errtext *err)
{
	const struct setting *s = &settings[i];
	intmax_t *n = &l->config->number[i];

	if (s->kind != TEXT && !number(s, value, n))
		return (errtext_set(err, "%s = %s: expected %s", s->name, value,
		    s->kind == SECONDS ? "whole seconds, as 30s, 2m, never" :
		    s->kind == BYTES ? "bytes, as 4096 or 64K" : "a number"));
	if (gctl_has_param(l->req, s->param))
		return (true);
	if (s->kind == TEXT)
		gctl_ro_param(l->req, s->param, -1, value);
	else
		gctl_ro_param(l->req, s->param, sizeof(*n), n);
	return (true);
}

static bool
add_uri(struct gnbd_config *c, char *value, struct errtext *err)
{

	if (c->count == NBE_MAX_PATHS)
		return (errtext_set(err, "there can be %u servers, not more",
		    NBE_MAX_PATHS));
	c->uri[c->count++] = value;
	return (true);
}

static bool
take(void *arg, unsigned line, const char *name, char *value, struct errtext *err)
{
	struct loading *l = arg;

	if (strcmp(name, "uri") == 0)
		return (add_uri(l->config, value, err));
	if (strcmp(name, "fence-by") == 0) {
		l->by = value;
		return (config_once(&l->by_line, line, name, err));
	}
	if (strcmp(name, "fence-command") == 0) {
		l->command = value;
		return (config_once(&l->command_line, line, name, err));
	}
	for (unsigned i = 0; i < GNBD_SETTINGS; i++) {
		if (strcmp(name, settings[i].name) != 0)
			continue;
		return (config_once(&l->line[i], line, name, err) &&
		    add(l, i, value, err));
	}
	return (errtext_set(err, "gnbd has no \"%s\"", name));
}

/* The verb has one option for both, where a program is known by its path. */
static bool
add_fence(struct loading *l, const char *path, struct nbc_error *err)
{
	bool by_command = l->by != NULL && strcmp(l->by, "command") == 0;

	if (by_command && l->command == NULL)
		return (nbc_fail(err, NBC_USAGE, "%s:%u: fence-by = command: "
		    "fence-command is missing", path, l->by_line));
	if (l->by != NULL && l->command != NULL && !by_command)
		return (nbc_fail(err, NBC_USAGE, "%s:%u: fence-command: fence-by says "
		    "%s", path, l->command_line, l->by));
	if ((l->by != NULL || l->command != NULL) &&
	    !gctl_has_param(l->req, "fence_by"))
		gctl_ro_param(l->req, "fence_by", -1, l->command != NULL ? l->command :
		    l->by);
	return (true);
}

static bool
read_all(struct gnbd_config *c, const char *path, size_t *len, struct nbc_error *err)
{
	FILE *file = fopen(path, "r");
	bool ok;

	c->text = malloc(CONFIG_TEXT_MAX + 2);
	if (file == NULL || c->text == NULL) {
		ok = nbc_fail(err, NBC_USAGE, "%s: %s", path, strerror(errno));
	} else {
		*len = fread(c->text, 1, CONFIG_TEXT_MAX + 1, file);
		c->text[*len] = '\0';
		ok = !ferror(file) || nbc_fail(err, NBC_USAGE, "%s: cannot be read",
		    path);
	}
	if (file != NULL)
		(void)fclose(file);
	return (ok);
}

bool
gnbd_config_load(struct gnbd_config *c, const char *path, struct gctl_req *req,
    struct nbc_error *err)
{
	struct loading l = { .config = c, .req = req };
	struct errtext why;
	size_t len = 0;

	if (!read_all(c, path, &len, err))
		return (false);
	if (!config_text_load(path, c->text, len, take, &l, &why))
		return (nbc_fail(err, NBC_USAGE, "%s", why.text));
	if (c->count == 0)
		return (nbc_fail(err, NBC_USAGE, "%s: no line \"uri = SERVER\"", path));
	return (add_fence(&l, path, err));
}

void
gnbd_config_free(struct gnbd_config *c)
{

	free(c->text);
}
