/*
 * config_file.h - the file that describes a device, nbdisk.conf(5).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "options.h"

/* Fills in what the command line did not say, and complains.  *text, to be freed, holds
 * the strings of the options; NULL: there are none. */
enum exit_status config_load(struct options *, enum verb_id, const char *path,
	    char **text);

#endif
