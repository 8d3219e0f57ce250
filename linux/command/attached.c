/*
 * attached.c - what is attached already, before one more is.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "attached.h"
#include "attachment.h"

#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "text_file.h"

char *
attached_config(const struct server *s, unsigned servers, const struct options *o)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	for (unsigned i = 0; i < servers; i++)
		fprintf(out, "uri = %s\n", s[i].uri);
	options_print(out, o);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static char *
read_config(const struct state *s)
{
	char path[STATE_PATH_MAX];

	return text_file_read(state_path(s, "config", path), CONFIG_TEXT_MAX, NULL);
}

/* ---- lines ----------------------------------------------------------------- */

/* len: that of "name = ". */
static const char *
find_line(const char *text, const char *line, size_t len)
{
	while (text != NULL && strncmp(text, line, len) != 0) {
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return text;
}

static bool
has_line(const char *text, const char *line)
{
	size_t len = strcspn(line, "\n");
	const char *found = find_line(text, line, len);

	while (found != NULL && found[len] != '\n' && found[len] != '\0')
		found = find_line(found + len, line, len);
	return found != NULL;
}

/* The lines of the servers are the first ones; how long they are. */
static size_t
servers_of(const char *text)
{
	size_t len = 0;

	while (strncmp(text + len, "uri = ", 6) == 0)
		len += strcspn(text + len, "\n") + 1;
	return len;
}

/* Each line of a that b has not, until one says what is different; with and without are
 * what a and b are called. */
static bool
differ(const char *name, const char *a, const char *b, const char *with,
    struct errtext *err)
{
	for (; *a != '\0'; a += strcspn(a, "\n"), a += *a == '\n') {
		size_t len = strcspn(a, "="), whole = strcspn(a, "\n");
		const char *other;

		if (has_line(b, a))
			continue;
		other = find_line(b, a, len + 1);
		if (other == NULL)
			return errtext_set(err, "%s is connected already, %s \"%.*s\"",
			    name, with, (int)whole, a);
		return errtext_set(err, "%s is connected already, with \"%.*s\", not "
		    "\"%.*s\"", name, (int)whole, a, (int)strcspn(other, "\n"), other);
	}
	return true;
}

static bool
is_same(const char *name, const char *there, const char *wanted, struct errtext *err)
{
	size_t len = servers_of(there);

	if (len != servers_of(wanted) || memcmp(there, wanted, len) != 0)
		return errtext_set(err, "%s is connected already, with other servers, "
		    "or in another order:\n%.*s", name, (int)len - 1, there);
	return differ(name, there, wanted, "with", err) &&
	    differ(name, wanted, there, "without", err);
}

/* ---- devices --------------------------------------------------------------- */

enum attached
attached_find(struct state *s, const char *name, const char *config,
    struct errtext *err)
{
	enum attached attached = ATTACHED_OTHER;
	enum attach_kind way;
	char *there;
	bool lives;

	if (!state_open(s, name, err))
		return ATTACHED_NOT;
	lives = state_pid(s) != 0;
	if (!lives && !attachment_outlives(s, &way))
		return ATTACHED_NOT;
	there = read_config(s);
	if (there == NULL)
		errtext_set(err, "%s is connected already", name);
	else if (is_same(name, there, config, err))
		attached = lives ? ATTACHED_SAME : ATTACHED_LEFT;
	free(there);
	return attached;
}

static bool
has_server(const char *there, const char *config)
{
	const char *end = config + servers_of(config);

	for (; config < end; config += strcspn(config, "\n") + 1)
		if (has_line(there, config))
			return true;
	return false;
}

static bool
writes_to(const struct state *s, const char *config)
{
	char *there = read_config(s);
	bool same = there != NULL && has_server(there, config) &&
	    has_line(there, "read-only = no");

	free(there);
	return same && state_pid(s) != 0;
}

bool
attached_twice(struct state *other, const char *name, const char *config)
{
	struct errtext ignored;
	bool found = false;
	size_t count;
	char **names = state_names(&count);

	for (size_t i = 0; !found && i < count; i++)
		found = strcmp(names[i], name) != 0 &&
		    state_open(other, names[i], &ignored) && writes_to(other, config);
	state_names_free(names, count);
	return found;
}
