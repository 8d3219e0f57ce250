/*
 * tap.h - what the tests say: the Test Anything Protocol, version 12.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread says it all.
 */
#ifndef TAP_H
#define TAP_H

#include <windows.h>
#include <stdbool.h>

#if defined(__GNUC__) && !defined(__clang__)
#define TAP_PRINTF(f, a) __attribute__((format(gnu_printf, f, a)))
#else
#define TAP_PRINTF(f, a)
#endif

/* One test; returns ok. */
bool	tap_ok(bool ok, const char *fmt, ...) TAP_PRINTF(2, 3);
/* One test: the call must have returned what is wanted, an error of Windows or 0. */
bool	tap_is(DWORD got, DWORD wanted, const char *what);
void	tap_skip(const char *what, const char *why);
/* For people. */
void	tap_note(const char *fmt, ...) TAP_PRINTF(1, 2);
/* The plan and the sum; the exit status. */
int	tap_end(void);

#endif
