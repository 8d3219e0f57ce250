/*
 * process.h - what makes a process a daemon that a disk may depend on.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <sys/types.h>

#include "errtext.h"

/* False: too few files may be open for a daemon to work at all. */
bool	process_has_room(struct errtext *);
/* A session of its own, no terminal. */
void	process_leave_terminal(void);
/* Nothing here is needed to work, so nothing fails. */
void	process_prepare(void);
/*
 * Forks a process that starts programs for the daemon, which may start none itself;
 * before confine.  As fork(2): in the parent *sock is its end of a socket pair; the
 * child is an ordinary process called name, which what ends a terminal or unit does not
 * end, with its end as PROCESS_SERVANT_FD and no other file above 2.  Below 0: err says
 * why.
 */
#define PROCESS_SERVANT_FD	3
pid_t	process_servant(const char *name, int *sock, struct errtext *err);

/* systemd ends no process whose name begins with "@" when the machine is turned off:
 * the root file system may need it until the last moment.  Holds for children, too. */
void	process_outlive_system(void);
/* Tells systemd, where it waits for that: "READY=1". */
void	process_notify(const char *text);

#endif
