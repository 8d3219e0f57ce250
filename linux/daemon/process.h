/*
 * process.h - what makes a process a daemon that a disk may depend on.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PROCESS_H
#define PROCESS_H

#include "errtext.h"

/* False: too few files may be open for a daemon to work at all. */
bool	process_has_room(struct errtext *);
/* A session of its own, no terminal. */
void	process_leave_terminal(void);
/* Nothing here is needed to work, so nothing fails. */
void	process_prepare(void);
/* Takes that back, in a child that starts programs; locked memory no child has. */
void	process_be_ordinary(void);

/* Tells systemd, where it waits for that: "READY=1". */
void	process_notify(const char *text);

#endif
