/*
 * verb_help.h - usage, from the tables.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VERB_HELP_H
#define VERB_HELP_H

#include <stdio.h>

#include "verbs.h"

void	help_verb(FILE *, const struct verb *);
void	help_all(FILE *);

#endif
