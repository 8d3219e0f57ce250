/*
 * progress.c - "this takes long" on a terminal.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A thread, because what takes long are calls that block.
 */
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ERASE_LINE	"\r\033[K"

static void *
show(void *arg)
{
	struct progress *p = arg;
	struct timespec next;
	unsigned seconds = 0;

	clock_gettime(CLOCK_REALTIME, &next);
	pthread_mutex_lock(&p->mutex);
	while (!p->ended) {
		next.tv_sec++;
		if (pthread_cond_timedwait(&p->ended_cond, &p->mutex, &next) !=
		    ETIMEDOUT)
			continue;
		fprintf(stderr, ERASE_LINE "%s ... %u s", p->what, ++seconds);
		fflush(stderr);
	}
	pthread_mutex_unlock(&p->mutex);
	if (seconds > 0)
		fputs(ERASE_LINE, stderr);
	return NULL;
}

void
progress_begin(struct progress *p, const char *what)
{
	*p = (struct progress){ .what = what };
	if (!isatty(STDERR_FILENO))
		return;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->ended_cond, NULL);
	p->running = pthread_create(&p->thread, NULL, show, p) == 0;
}

void
progress_end(struct progress *p)
{
	if (!p->running)
		return;
	pthread_mutex_lock(&p->mutex);
	p->ended = true;
	pthread_cond_signal(&p->ended_cond);
	pthread_mutex_unlock(&p->mutex);
	pthread_join(p->thread, NULL);
	p->running = false;
}
