/*
 * fd_message.h - a message over a UNIX socket, and perhaps a descriptor with it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FD_MESSAGE_H
#define FD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Does not wait.  fd -1: none. */
bool	fd_send(int sock, const void *message, size_t len, int fd);
/* False: the end, an error, or a message that has neither of the two lengths.  *fd is
 * close-on-exec, and -1 where none came. */
bool	fd_receive(int sock, void *message, size_t len, size_t or_len, int *fd);

#endif
