/*
 * reset.h - ends a connection, whoever else has its socket.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef RESET_H
#define RESET_H

/*
 * A close ends nothing as long as another process has a copy, as the helper has
 * (kept.h).  Over TCP this sends a reset now, and throws away what was not sent yet.
 * fd is closed.
 */
void	socket_reset(int fd);

#endif
