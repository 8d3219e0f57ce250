/*
 * format.h - what the commands print, as text and as JSON.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From the structures of wnbd_ioctl.h alone; nothing in here calls Windows.  Strings of
 * the structures are taken as ended by NUL.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include <windows.h>
#include <stdbool.h>
#include <stdio.h>

#include "wnbd_ioctl.h"

#define TICKS_PER_MS	10000		/* of the counters' timestamps */

struct io_limits {
	INT64	lun, adapter;		/* -1: not known */
};

/* ms since then; -1: never. */
struct activity {
	INT64	received_ms, submitted_ms, reply_ms;
};

void	format_list(FILE *, const WNBD_CONNECTION_INFO *, size_t count, bool json);
void	format_show(FILE *, const WNBD_CONNECTION_INFO *, struct io_limits, bool json);
void	format_stats(FILE *, const WNBD_DRV_STATS *, struct activity, bool json);
void	format_options(FILE *, const WNBD_OPTION *, size_t count, bool json);
void	format_option(FILE *, const char *name, const WNBD_OPTION_VALUE *, bool json);

/* driver NULL: it does not answer. */
void	format_version_json(FILE *, const char *client, const char *library,
	    const char *driver);

/* When the counters' timestamps were, seen from now; all in 100 ns. */
struct activity activity_of(const WNBD_DRV_STATS *, UINT64 now);

/* UTF-8 of at most count WCHARs; what is no character becomes U+FFFD. */
void	format_wide(char *buf, size_t size, const WCHAR *text, size_t count);

#endif
