/*
 * progress.h - "this takes long" on a terminal.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing is printed in the first second, nor where stderr is not a terminal.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <pthread.h>
#include <stdbool.h>

struct progress {
	pthread_t	thread;
	pthread_mutex_t	mutex;
	pthread_cond_t	ended_cond;
	const char	*what;
	bool		running, ended;
};

/* what stays valid until progress_end, which must precede any fork. */
void	progress_begin(struct progress *, const char *what);
void	progress_end(struct progress *);

#endif
