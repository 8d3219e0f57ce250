/*
 * tap.c - what the test program says.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_MAX	200

ULONG	DbgPrint(const char *, ...);

static unsigned run;

static void
say(const char *head, const char *fmt, va_list args)
{
	char text[LINE_MAX];

	_vsnprintf(text, sizeof(text) - 1, fmt, args);
	text[sizeof(text) - 1] = '\0';
	DbgPrint("\ntap: %s%s\n", head, text);
}

bool
tap_ok(bool ok, const char *fmt, ...)
{
	char head[32];
	va_list args;

	_snprintf(head, sizeof(head), "%sok %u - ", ok ? "" : "not ", ++run);
	va_start(args, fmt);
	say(head, fmt, args);
	va_end(args);
	return ok;
}

bool
tap_is(NTSTATUS got, NTSTATUS wanted, const char *what)
{
	bool ok = tap_ok(got == wanted, "%s", what);

	if (!ok)
		tap_note("status %08lx, wanted %08lx", (unsigned long)got,
		    (unsigned long)wanted);
	return ok;
}

void
tap_skip(const char *what, const char *why)
{
	tap_ok(true, "%s # SKIP %s", what, why);
}

void
tap_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("# ", fmt, args);
	va_end(args);
}

void
tap_end(void)
{
	DbgPrint("\ntap: 1..%u\n", run);
}
