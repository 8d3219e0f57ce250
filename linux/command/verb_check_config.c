/*
 * verb_check_config.c - whether a configuration file describes a device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All that connect refuses before it asks the server.
 */
#include <stdlib.h>

#include "config_file.h"
#include "server.h"

static enum exit_status
check_servers(const struct options *o, const char *path)
{
	struct server server[NBE_MAX_PATHS];
	enum exit_status status;
	struct errtext err;
	unsigned count;

	if (o->operands == 0) {
		errtext_set(&err, "%s: \"uri\" is missing", path);
		complain(err.text);
		return EXIT_USAGE;
	}
	status = servers_init(server, &count, o);
	for (unsigned i = 0; i < count; i++)
		server_free(&server[i]);
	if (status == EXIT_OK)
		return EXIT_OK;
	errtext_set(&err, "%s: no device can be made of this", path);
	complain(err.text);
	return status;
}

static enum exit_status
check(const char *path)
{
	char *text;
	struct options o;
	enum exit_status status;

	options_init(&o);
	status = config_load(&o, VERB_CONNECT, path, &text);
	if (status == EXIT_OK)
		status = check_servers(&o, path);
	free(text);
	return status;
}

enum exit_status
verb_check_config(const struct options *o)
{
	enum exit_status worst = EXIT_OK;

	for (unsigned i = 0; i < o->operands; i++) {
		enum exit_status status = check(o->operand[i]);

		if (status > worst)
			worst = status;
	}
	return worst;
}
