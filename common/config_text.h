/*
 * config_text.h - files of lines "name = value", as nbdisk.conf(5) describes them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "errtext.h"

#define CONFIG_TEXT_MAX	65536	/* bytes of such a file */

/* One of them, without the spaces around it; line counts from 1.  The strings lie in
 * the text.  False: the error says why, but not where. */
typedef bool config_take(void *arg, unsigned line, const char *name, char *value,
	    struct errtext *);
/* Until one is refused.  Empty lines and those that begin with # are skipped.  The
 * text, which a NUL ends behind len bytes, is changed; path is where it comes from. */
bool	config_text_load(const char *path, char *text, size_t len, config_take *,
	    void *arg, struct errtext *);
/* What is to be said once was first said in line *first, 0: not yet. */
bool	config_once(unsigned *first, unsigned line, const char *name,
	    struct errtext *);

#endif
