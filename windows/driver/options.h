/*
 * options.h - the driver's options: their table, their present values.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure, but for the types of wnbd_ioctl.h.  The registry is registry.c's.  A value is
 * one aligned word, so reading one needs no lock; writers are serialised by
 * ioctl.c.
 */
#ifndef WNBD_OPTIONS_H
#define WNBD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum option {
	OPTION_LOG_LEVEL,
	OPTION_NEW_MAPPINGS_ALLOWED,
	OPTION_ETW_LOGGING,
	OPTION_WPP_LOGGING,
	OPTION_DBG_PRINT,
	OPTION_MAX_IO_PER_ADAPTER,
	OPTION_MAX_IO_PER_LUN,
	OPTION_REMOVE_STALE,
	OPTION_STALE_REQ_MS,
	OPTION_STALE_CONN_MS,
	OPTIONS
};

struct option_info {
	const char	*name;
	bool		 is_bool;
	int64_t		 standard, min, max;
};
extern const struct option_info option_table[OPTIONS];

int64_t	option(enum option);
bool	option_set(enum option, int64_t);	/* false: out of its range */
/* By a name of at most max units, which may lack its NUL; case does not matter.
 * OPTIONS: there is none. */
enum option option_by_name(const WCHAR *, size_t max);
/* A value of any type as this option's; false: it cannot be one. */
bool	option_convert(enum option, const WNBD_OPTION_VALUE *, int64_t *);
void	option_value(enum option, int64_t, WNBD_OPTION_VALUE *);
void	option_describe(enum option, int64_t value, WNBD_OPTION *);

#endif
