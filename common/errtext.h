/*
 * errtext.h - why something failed, as a text for a person.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ERRTEXT_H
#define ERRTEXT_H

#include <stdbool.h>

struct errtext {
	char	text[1024];	/* one or more lines, no newline at the end */
};

/* Always false, so that a failure is said and returned in one statement. */
bool	errtext_set(struct errtext *, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
