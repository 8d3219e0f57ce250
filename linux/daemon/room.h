/*
 * room.h - how much a socket holds.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ROOM_H
#define ROOM_H

/* So that neither side waits for the other to read amid a batch of large requests.
 * More than its system allows it does not get; that is no error. */
void	socket_make_room(int fd);

#endif
