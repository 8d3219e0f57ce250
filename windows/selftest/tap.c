/*
 * tap.c - what the tests say: the Test Anything Protocol, version 12.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>

static unsigned run, failed, skipped;

bool
tap_ok(bool ok, const char *fmt, ...)
{
	va_list args;

	printf("%sok %u - ", ok ? "" : "not ", ++run);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	failed += !ok;
	return ok;
}

bool
tap_is(DWORD got, DWORD wanted, const char *what)
{
	bool ok = tap_ok(got == wanted, "%s", what);

	if (!ok)
		tap_note("error %lu, wanted %lu", got, wanted);
	return ok;
}

void
tap_skip(const char *what, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++run, what, why);
	fflush(stdout);
	skipped++;
}

void
tap_note(const char *fmt, ...)
{
	va_list args;

	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

int
tap_end(void)
{
	printf("1..%u\n# %u passed, %u failed, %u skipped\n", run,
	    run - failed - skipped, failed, skipped);
	fflush(stdout);
	return failed != 0;
}
