/*
 * config_file.c - the file that describes a device, nbdisk.conf(5).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "text_file.h"

enum exit_status
config_load(struct options *o, enum verb_id verb, const char *path, char **text)
{
	struct errtext err;
	size_t len;

	*text = text_file_read(path, CONFIG_TEXT_MAX + 1, &len);
	if (*text == NULL) {
		errtext_set(&err, "%s: %s", path, strerror(errno));
		complain(err.text);
		return EXIT_FAILED;
	}
	if (options_load(o, verb, path, *text, len, &err))
		return EXIT_OK;
	complain(err.text);
	return EXIT_USAGE;
}
