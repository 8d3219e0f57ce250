/*
 * tap.h - a test program as a table of cases; prints TAP.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A case goes on after a failed CHECK, so that one run shows all that is wrong.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct tap_case {
	const char	*name;
	void		(*run)(void);
};

static unsigned tap_failures;

#define CHECK(cond) tap_check((cond), #cond, __FILE__, __LINE__)

static inline bool
tap_check(bool ok, const char *what, const char *file, int line)
{
	if (!ok) {
		tap_failures++;
		printf("# %s:%d: %s\n", file, line, what);
	}
	return ok;
}

static inline int
tap_main(const struct tap_case *cases, size_t count)
{
	unsigned failed = 0;

	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		tap_failures = 0;
		cases[i].run();
		failed += tap_failures > 0;
		printf("%sok %zu - %s\n", tap_failures > 0 ? "not " : "", i + 1,
		    cases[i].name);
		fflush(stdout);
	}
	return failed > 0;
}

#endif
