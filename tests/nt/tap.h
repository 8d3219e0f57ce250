/*
 * tap.h - what the test program says: lines that begin with "tap: ", by DbgPrint.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel sends them to its debugging port, where run finds them.
 */
#ifndef NT_TAP_H
#define NT_TAP_H

#include "nt.h"

/* One test; returns ok. */
bool	tap_ok(bool ok, const char *fmt, ...);
/* One test: the status must be the one that is wanted. */
bool	tap_is(NTSTATUS got, NTSTATUS wanted, const char *what);
void	tap_skip(const char *what, const char *why);
void	tap_note(const char *fmt, ...);
void	tap_end(void);

#endif
