/*
 * values.h - the values that a user types: counts, times, sizes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each returns false, and leaves the result alone, where the text is anything but
 * the whole of one such value.
 */
#ifndef VALUES_H
#define VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "nbe.h"

bool	value_count(const char *text, unsigned min, unsigned max, unsigned *);
/* "10", "10s", "500ms", "2m", "1h", "never" (NBE_NEVER). */
bool	value_time(const char *text, nbe_time *ns);
/* "4096", "64K", "64M", "1G"; powers of 1024. */
bool	value_size(const char *text, uint64_t *bytes);
/* Letters, digits and ._- ; what may be a directory and a node in /dev. */
bool	value_device_name(const char *text);

#define DEVICE_NAME_MAX	64

#endif
