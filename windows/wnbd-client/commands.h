/*
 * commands.h - the commands, done.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <winsock2.h>

#include "cmdline.h"
#include "wnbd.h"

/* Each returns 0 or an error of Windows, and has said what went wrong. */
DWORD	command_run(const struct arguments *);
DWORD	command_map(const struct arguments *);

/* "wnbd-client: WHAT: the error's text (number)"; returns the error. */
DWORD	complain(DWORD error, const char *what);
/* "wnbd-client: MESSAGE" */
void	complain_text(const char *message);

#define OWNER_NAME "wnbd-client"

#endif
