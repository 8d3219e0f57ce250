/*
 * front.c - what serves a device's requests, whichever way they come.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "front.h"

#include <stddef.h>

#include "fuse.h"
#include "ublk.h"

static void
fuse_front_status(const struct fuse *f, struct front_status *s)
{
	static const enum front_state states[] = {
		[FUSE_STARTING] = FRONT_STARTING, [FUSE_CLASSIC] = FRONT_FUSE,
		[FUSE_URING] = FRONT_FUSE_URING, [FUSE_ENDED] = FRONT_ENDED,
	};
	struct fuse_status status;

	fuse_status(f, &status);
	*s = (struct front_status){
		.state = states[status.state], .in_flight = status.in_flight,
		.opens = status.opens,
	};
}

static void
ublk_front_status(const struct ublk *u, struct front_status *s)
{
	struct ublk_status status;

	ublk_status(u, &status);
	*s = (struct front_status){
		.state = status.ended ? FRONT_ENDED : status.registers ?
		    FRONT_UBLK_REGISTERED : FRONT_UBLK,
		.in_flight = status.in_flight, .straight = status.straight,
	};
}

void
front_status(const struct front *f, struct front_status *s)
{
	*s = (struct front_status){ .state = FRONT_STARTING };
	if (f->ublk != NULL)
		ublk_front_status(f->ublk, s);
	else if (f->fuse != NULL)
		fuse_front_status(f->fuse, s);
}

/* What ublk's device is like only the kernel is told, by who attaches it. */
void
front_resize(struct front *f)
{
	if (f->fuse != NULL)
		fuse_resize(f->fuse);
}

void
front_size_seen(struct front *f)
{
	if (f->fuse != NULL)
		fuse_size_seen(f->fuse);
}

void
front_rest(struct front *f)
{
	if (f->ublk != NULL)
		ublk_rest(f->ublk);
	else if (f->fuse != NULL)
		fuse_rest(f->fuse);
}

int
front_to_keep(const struct front *f)
{
	int fd;

	if (f->ublk != NULL)
		return FRONT_NOTHING;
	fd = fuse_to_keep(f->fuse);
	return fd >= 0 ? fd : FRONT_NEVER;
}

void
front_leave(struct front *f, void (*done)(void *arg), void *arg)
{
	if (f->ublk != NULL)
		ublk_leave(f->ublk, done, arg);
	else
		fuse_leave(f->fuse, done, arg);
}

void
front_stay(struct front *f)
{
	if (f->ublk != NULL)
		ublk_stay(f->ublk);
	else
		fuse_stay(f->fuse);
}

/* Of ublk nothing comes before the device was taken over. */
void
front_abandon(struct front *f)
{
	if (f->ublk != NULL)
		ublk_stop(f->ublk);
	else
		fuse_abandon(f->fuse);
}

void
front_stop(struct front *f)
{
	if (f->ublk != NULL)
		ublk_stop(f->ublk);
	else
		fuse_stop(f->fuse);
}

void
front_free(struct front *f)
{
	if (f->ublk != NULL)
		ublk_free(f->ublk);
	if (f->fuse != NULL)
		fuse_free(f->fuse);
	*f = (struct front){ NULL, NULL };
}
