/*
 * greet.h - what the programs that bound others begin with: a connection to an export.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef GREET_H
#define GREET_H

#include "stream.h"

#include <stdint.h>

/* Ends the program with errno's text. */
void	must(bool ok, const char *what);
/*
 * The default export of the server at FAMILY (unix, tcp) WHERE, by GO and nothing else;
 * with STARTTLS unless tls is NULL.  Replies will be simple.
 */
void	greet(struct stream *, const char *family, const char *where, SSL_CTX *tls,
	    uint64_t *size);

#endif
