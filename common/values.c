/*
 * values.c - the values that a user types: counts, times, sizes.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char	*suffix;
	uint64_t	factor;
};

static const struct unit time_units[] = {
	{ "", NBE_SECOND }, { "s", NBE_SECOND }, { "ms", NBE_SECOND / 1000 },
	{ "m", 60 * NBE_SECOND }, { "h", 3600 * NBE_SECOND }, { NULL, 0 },
};

static const struct unit size_units[] = {
	{ "", 1 }, { "K", UINT64_C(1) << 10 }, { "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 }, { "T", UINT64_C(1) << 40 }, { NULL, 0 },
};

/* strtoull takes signs and spaces too, which are no part of a count. */
static bool
number(const char *text, uint64_t *n, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*n = strtoull(text, &end, 10);
	*rest = end;
	return errno == 0;
}

static bool
number_with_unit(const char *text, const struct unit *units, uint64_t *result)
{
	const char *suffix;
	uint64_t n;

	if (!number(text, &n, &suffix))
		return false;
	for (; units->suffix != NULL; units++) {
		if (strcmp(suffix, units->suffix) != 0)
			continue;
		/* The largest value stands for "never". */
		if (n > (UINT64_MAX - 1) / units->factor)
			return false;
		*result = n * units->factor;
		return true;
	}
	return false;
}

bool
value_count(const char *text, unsigned min, unsigned max, unsigned *result)
{
	const char *rest;
	uint64_t n;

	if (!number(text, &n, &rest) || *rest != '\0' || n < min || n > max)
		return false;
	*result = (unsigned)n;
	return true;
}

bool
value_time(const char *text, nbe_time *ns)
{
	if (strcmp(text, "never") == 0) {
		*ns = NBE_NEVER;
		return true;
	}
	return number_with_unit(text, time_units, ns);
}

bool
value_size(const char *text, uint64_t *bytes)
{
	return number_with_unit(text, size_units, bytes);
}

bool
value_device_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > DEVICE_NAME_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
			return false;
	return true;
}
