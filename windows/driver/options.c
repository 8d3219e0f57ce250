/*
 * options.c - the table of the driver's options.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "port.h"

#include "options.h"

#define DAY_MS	(24 * 3600 * 1000)

const struct option_info option_table[OPTIONS] = {
	[OPTION_LOG_LEVEL] = { "LogLevel", false, 1, 0, 4 },
	[OPTION_NEW_MAPPINGS_ALLOWED] = { "NewMappingsAllowed", true, 1, 0, 1 },
	[OPTION_ETW_LOGGING] = { "EtwLoggingEnabled", true, 1, 0, 1 },
	[OPTION_WPP_LOGGING] = { "WppLoggingEnabled", true, 0, 0, 1 },
	[OPTION_DBG_PRINT] = { "DbgPrintEnabled", true, 1, 0, 1 },
	[OPTION_MAX_IO_PER_ADAPTER] = { "MaxIOReqPerAdapter", false,
	    WNBD_DEFAULT_MAX_IO_REQ_PER_ADAPTER, 1,
	    WNBD_ABS_MAX_IO_REQ_PER_ADAPTER },
	[OPTION_MAX_IO_PER_LUN] = { "MaxIOReqPerLun", false,
	    WNBD_DEFAULT_MAX_IO_REQ_PER_LUN, 1, WNBD_ABS_MAX_IO_REQ_PER_LUN },
	[OPTION_REMOVE_STALE] = { "RemoveStaleConnections", true, 1, 0, 1 },
	[OPTION_STALE_REQ_MS] = { "StaleReqTimeoutMs", false,
	    WNBD_DEFAULT_STALE_REQ_TIMEOUT_MS, 0, DAY_MS },
	[OPTION_STALE_CONN_MS] = { "StaleConnTimeoutMs", false,
	    WNBD_DEFAULT_STALE_CONN_TIMEOUT_MS, 0, DAY_MS },
};

/* As a difference to the default: a static object cannot begin with the table's
 * values without telling them twice. */
static volatile int64_t change[OPTIONS];

int64_t
option(enum option o)
{
	return option_table[o].standard + change[o];
}

bool
option_set(enum option o, int64_t value)
{
	if (value < option_table[o].min || value > option_table[o].max)
		return false;
	change[o] = value - option_table[o].standard;
	return true;
}

/* ---- names and texts ------------------------------------------------------- */

static unsigned
lower(unsigned c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool
same(const WCHAR *w, size_t max, const char *s)
{
	size_t i;

	for (i = 0; i < max && w[i] != 0 && s[i] != '\0'; i++)
		if (lower(w[i]) != lower((unsigned char)s[i]))
			return false;
	return (i == max || w[i] == 0) && s[i] == '\0';
}

enum option
option_by_name(const WCHAR *name, size_t max)
{
	unsigned o;

	for (o = 0; o < OPTIONS; o++)
		if (same(name, max, option_table[o].name))
			break;
	return (enum option)o;
}

/* Decimal digits, at most 18 of them: that cannot overflow. */
static bool
number(const WCHAR *w, size_t max, int64_t *value)
{
	bool negative = w[0] == '-';
	size_t i = negative, digits = 0;
	int64_t v = 0;

	for (; i < max && w[i] != 0; i++, digits++) {
		if (w[i] < '0' || w[i] > '9' || digits == 18)
			return false;
		v = 10 * v + (w[i] - '0');
	}
	*value = negative ? -v : v;
	return digits > 0 && i < max;
}

static bool
from_text(enum option o, const WCHAR *w, int64_t *value)
{
	const size_t max = WNBD_MAX_NAME_LENGTH;

	if (!option_table[o].is_bool)
		return number(w, max, value);
	*value = same(w, max, "true") || same(w, max, "1") || same(w, max, "yes") ||
	    same(w, max, "on");
	return *value != 0 || same(w, max, "false") || same(w, max, "0") ||
	    same(w, max, "no") || same(w, max, "off");
}

bool
option_convert(enum option o, const WNBD_OPTION_VALUE *in, int64_t *value)
{
	switch (in->Type) {
	case WnbdOptBool:
		*value = in->Data.AsBool != 0;
		break;
	case WnbdOptInt64:
		*value = in->Data.AsInt64;
		break;
	case WnbdOptWstr:
		if (!from_text(o, in->Data.AsWstr, value))
			return false;
		break;
	default:
		return false;
	}
	return *value >= option_table[o].min && *value <= option_table[o].max;
}

void
option_value(enum option o, int64_t value, WNBD_OPTION_VALUE *out)
{
	memset(out, 0, sizeof(*out));
	if (option_table[o].is_bool) {
		out->Type = WnbdOptBool;
		out->Data.AsBool = value != 0;
	} else {
		out->Type = WnbdOptInt64;
		out->Data.AsInt64 = value;
	}
}

void
option_describe(enum option o, int64_t value, WNBD_OPTION *out)
{
	const char *name = option_table[o].name;
	size_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i + 1 < WNBD_MAX_OPT_NAME_LENGTH && name[i] != '\0'; i++)
		out->Name[i] = (WCHAR)name[i];
	option_value(o, option_table[o].standard, &out->Default);
	option_value(o, value, &out->Value);
	out->Type = out->Value.Type;
}
