/*
 * privilege.h - whether this process may do what only root may.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include <stdbool.h>

/* Root of the machine.  Root of a user name space (a rootless container) is a user
 * like others: loop devices are not his. */
bool	privilege_is_root(void);

#endif
