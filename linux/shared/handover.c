/*
 * handover.c - what a front does so that another process can serve its device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "handover.h"

#include "clock.h"
#include "ring.h"

#define FAIL_TIME	NBE_SECOND

void
handover_init(struct handover *h, const struct handover_config *config,
    struct disk *disk)
{
	*h = (struct handover){ .config = *config, .disk = disk };
}

bool
handover_fails_flush(struct handover *h)
{
	nbe_time now;

	if (!h->past_told && disk_past(h->disk) == DISK_PAST_LOST)
		h->lost = h->past_told = true;
	if (!h->lost)
		return false;
	if (h->config.replays && disk_has_old_writes(h->disk))
		return true;
	now = clock_now();
	if (h->fail_until == 0)
		h->fail_until = now + FAIL_TIME;
	h->lost = now < h->fail_until;
	return h->lost;
}

/* What it says of a loss nobody else would: then the next flush of a user does. */
static void
own_flush_done(struct disk_io *io)
{
	struct handover *h = container_of(io, struct handover, own_flush);

	h->flushing = false;
	if (io->req.error != NBE_OK) {
		h->lost = true;
		h->fail_until = 0;
	}
	note_done(h->config.note, &io->req, h->own_mark);
	if (h->left != NULL)
		h->left(h->left_arg);
}

void
handover_step(struct handover *h, unsigned in_flight)
{
	if (h->left == NULL || in_flight != 0 || h->flushing)
		return;
	if ((disk_export(h->disk)->flags & NBE_FLAG_SEND_FLUSH) == 0) {
		h->left(h->left_arg);
		return;
	}
	h->flushing = true;
	h->own_flush.req = (struct nbe_req){ .op = NBE_FLUSH };
	h->own_flush.done = own_flush_done;
	h->own_mark = note_mark(h->config.note);
	disk_submit(h->disk, &h->own_flush);
}

void
handover_leave(struct handover *h, void (*done)(void *arg), void *arg)
{
	h->left = done;
	h->left_arg = arg;
}

void
handover_stay(struct handover *h)
{
	h->left = NULL;
}
