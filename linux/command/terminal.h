/*
 * terminal.h - the terminal as "top" wants it, and as it was.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * However the program ends, or is stopped, the terminal is put back; only SIGKILL
 * leaves nobody to do that.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>

/* From now on keys come one by one, where the standard input is a terminal; SIGINT and
 * SIGTERM end terminal_wait. */
void	terminal_open(void);
void	terminal_close(void);
/* Waits for so long, for "q", or for an interrupt; true: the user has enough. */
bool	terminal_wait(int timeout_ms);
/* Of the standard output; 0: it is no terminal. */
unsigned terminal_columns(void);

#endif
