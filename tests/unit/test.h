/*
 * test.h - the least that a unit test needs; prints TAP.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A test program is a table of struct test and a main that returns TEST_MAIN(it).
 * A CHECK that fails says where, and the test goes on.
 */
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stdio.h>

struct test {
	const char *name;
	void (*run)(void);
};

static unsigned test_failed_checks;

static inline void
test_check(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	test_failed_checks++;
	printf("# %s:%d: failed: %s\n", file, line, what);
}
#define CHECK(cond) test_check((cond), #cond, __FILE__, __LINE__)

static inline int
test_main(const struct test *tests, size_t count)
{
	unsigned failed_tests = 0;
	size_t i;

	printf("1..%zu\n", count);
	for (i = 0; i < count; i++) {
		test_failed_checks = 0;
		tests[i].run();
		if (test_failed_checks > 0)
			failed_tests++;
		printf("%sok %zu - %s\n", test_failed_checks > 0 ? "not " : "",
		    i + 1, tests[i].name);
		fflush(stdout);
	}
	return failed_tests > 0;
}
#define TEST(name) { #name, test_##name }
#define TEST_MAIN(tests) test_main(tests, sizeof(tests) / sizeof(tests)[0])

#endif
