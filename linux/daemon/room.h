/*
 * room.h - how much a socket holds.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef ROOM_H
#define ROOM_H

#include <stddef.h>

/* So that neither side waits for the other to read amid a batch of large requests, and
 * a batch goes in whole.  More than its system allows it does not get; that is no
 * error. */
void	socket_make_room(int fd);
/* Memory that it still takes; 0, too, where it cannot tell. */
size_t	socket_room(int fd);
/* What a send of so many bytes needs of that at most, with what describes them, and
 * pages that are not full.  With so much room it goes in whole. */
static inline size_t
socket_need(size_t length)
{
	return length + length / 8 + 4096;
}

#endif
