/*
 * taken.h - has the peer taken bytes that were sent?
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TAKEN_H
#define TAKEN_H

#include <stdbool.h>
#include <stdint.h>

/* A number that changes when it has: of TCP, the bytes that its system has
 * acknowledged; of a UNIX socket, those that the peer has not read yet.  False: nobody
 * knows. */
bool	bytes_taken(int fd, uint64_t *taken);
/* Bytes that the socket was ever given, if it is TCP's, where a number of any beginning
 * grows with them; else 0. */
uint64_t bytes_given(int fd);
/* Nothing is left in our own system, from where it would go on its way at any time. */
bool	all_taken(int fd);

#endif
