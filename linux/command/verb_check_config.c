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
	enum exit_status status = EXIT_OK;
	struct server server;
	struct errtext err;

	if (o->operands == 0) {
		errtext_set(&err, "%s: \"uri\" is missing", path);
		complain(err.text);
		return EXIT_USAGE;
	}
	for (unsigned i = 0; status == EXIT_OK && i < o->operands; i++) {
		status = server_init(&server, o, o->operand[i]);
		if (status == EXIT_OK)
			server_free(&server);
	}
	if (status == EXIT_OK && !options_fence_ok(o, &err)) {
		complain(err.text);
		status = EXIT_USAGE;
	}
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
