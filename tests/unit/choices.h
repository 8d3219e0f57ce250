/*
 * choices.h - a run is a list of choices; the next run changes the last that can be.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CHOICES_H
#define CHOICES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX	64u

static uint8_t choice[CHOICES_MAX], choices[CHOICES_MAX];
static unsigned depth;

static inline void
first_run(void)
{
	memset(choice, 0, sizeof choice);
	depth = 0;
}

static inline unsigned
choose(unsigned n)
{
	if (depth == CHOICES_MAX)
		abort();
	choices[depth] = (uint8_t)n;
	return choice[depth++];
}

/* The next list of choices; false: that was the last one. */
static inline bool
next_run(void)
{
	while (depth > 0 && choice[depth - 1] + 1 == choices[depth - 1])
		depth--;
	if (depth == 0)
		return false;
	choice[depth - 1]++;
	memset(choice + depth, 0, CHOICES_MAX - depth);
	return true;
}

#endif
