/*
 * check.h - what a process may say to the driver.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure, but for the types of wnbd_ioctl.h.  The input is a copy that the process
 * cannot change any more, so what was found good stays good.
 */
#ifndef WNBD_CHECK_H
#define WNBD_CHECK_H

#include "port.h"

enum check {
	CHECK_OK,
	CHECK_UNKNOWN_CODE,
	CHECK_SHORT_INPUT,
	CHECK_SHORT_OUTPUT,
	CHECK_BAD_NAME,			/* empty, or without an end */
	CHECK_BAD_VALUE,
};

/* Lengths and values of the command that begins at in. */
enum check check_command(const void *in, size_t in_len, size_t out_len);

#endif
