/*
 * named.h - the device that the command line names.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * By its name, or by a path of it: what connect printed, the loop device, one of the
 * partitions, or a link to one of these.
 */
#ifndef NAMED_H
#define NAMED_H

#include "state.h"

/* As state_open, which takes names only. */
bool	named_open(struct state *, const char *operand, struct errtext *);

#endif
