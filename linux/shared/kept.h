/*
 * kept.h - a descriptor that outlives the daemon which opened it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A device by FUSE is there as long as somebody has its /dev/fuse open.  When the
 * daemon is dead, its helper has, and who starts the next daemon asks for it over a
 * socket in the device's directory, which only its owner can reach.
 */
#ifndef KEPT_H
#define KEPT_H

#include "state.h"

/* Who has something: a socket to wait at (POLLIN), in the place of any before; -1 with
 * errno. */
int	kept_listen(const struct state *);
/* Gives a copy of fd to the one who asks, if there is one. */
void	kept_give(int sock, int fd);
/* Whether somebody has it. */
bool	kept_is_there(const struct state *);
/* A copy, close-on-exec; -1: nobody has it, or he does not answer. */
int	kept_ask(const struct state *);

/* One descriptor with a message, over any UNIX socket; fd -1: none. */
bool	kept_send(int sock, int fd);
/* False: the end, or an error. *fd is -1 where none came. */
bool	kept_receive(int sock, int *fd);

#endif
