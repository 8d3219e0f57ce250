/*
 * connect_again.h - a new daemon for a device whose old one was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONNECT_AGAIN_H
#define CONNECT_AGAIN_H

#include "options.h"
#include "state.h"

/* The options are those that connect had; dead is locked.  Where it fails, all stays as
 * it was. */
enum exit_status connect_again(const struct options *, const struct state *dead);

#endif
