/*
 * disk_past.c - whether what a process before this one had acknowledged is safe.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Flushes wait until that is known: architecture.md, "A daemon that may die".
 */
#include <string.h>

#include "disk_impl.h"
#include "reset.h"
#include "taken.h"
#include "tls.h"

void
disk_park(struct disk *d, struct nbe_req *r)
{
	r->next = NULL;
	*d->parked_end = r;
	d->parked_end = &r->next;
}

enum disk_past
disk_past(const struct disk *d)
{
	return d->past;
}

static void
end_parked(struct disk *d, struct nbe_req *r)
{
	struct disk_io *io = container_of(r, struct disk_io, req);

	if (d->past == DISK_PAST_SAFE) {
		disk_submit(d, io);
		return;
	}
	r->error = NBE_EIO;
	io->done(io);
}

static void
past_is(struct disk *d, enum disk_past past)
{
	struct nbe_req *r = d->parked, *next;

	d->past = past;
	d->parked = NULL;
	d->parked_end = &d->parked;
	d->events.past(d->events.arg);
	for (; r != NULL; r = next) {
		next = r->next;
		end_parked(d, r);
	}
}

/* One is enough: there are several only if a flush on one is for all. */
void
disk_answered(void *arg, bool flushed)
{
	struct disk *d = arg;

	d->asked--;
	if (d->past != DISK_PAST_UNKNOWN && d->past != DISK_PAST_KEPT)
		return;
	if (flushed) {
		nbe_past_flushed(d->dev);
		past_is(d, DISK_PAST_SAFE);
	} else if (d->past == DISK_PAST_UNKNOWN && d->asked == 0) {
		past_is(d, DISK_PAST_LOST);
	}
}

_Static_assert(sizeof(struct nbc_tls_keys) <= KEPT_SESSION_MAX, "it is kept");

/*
 * A send that the process before did not live to see the end of has given nothing, or
 * all.  Of TCP it is known which, and without a session in that process it does not
 * matter.  Else most likely all: the call itself takes the longest.  If not, the server
 * cannot open what follows, and does not answer.
 */
static bool
ends_whole(const struct kept_conn *c, const struct note_conn *left,
    uint64_t *tx_records)
{
	uint64_t given = bytes_given(c->fd);
	bool nothing = left->giving == 0 || given == left->given;

	*tx_records = nothing ? left->tx_records : left->next_tx_records;
	return given == 0 || given == left->given + (nothing ? 0 : left->giving);
}

/* The session of the process before; NULL: nobody can go on with it. */
static struct nbc_tls_last *
old_session(const struct kept_conn *c, uint64_t tx_records, uint64_t rx_records)
{
	struct nbc_tls_keys keys;
	struct nbc_tls_last *tls;

	memcpy(&keys, c->session, sizeof(keys));
	tls = nbc_tls_last_new(&keys, (struct nbc_tls_records){
	    tx_records, rx_records });
	explicit_bzero(&keys, sizeof(keys));
	return tls;
}

/* False: the socket is still the caller's. */
static bool
ask_old_conn(struct disk *d, const struct kept_conn *c, const struct note_conn *left)
{
	struct nbc_tls_last *tls = NULL;
	uint64_t tx_records;

	if (!ends_whole(c, left, &tx_records))
		return false;
	if (c->has_session) {
		tls = old_session(c, tx_records, left->rx_records);
		if (tls == NULL)
			return false;
	}
	if (overdue_ask(&d->overdue, c->fd, c->path, (enum nbe_framing)c->framing,
	    tls)) {
		if (d->past == DISK_PAST_LOST)
			d->past = DISK_PAST_UNKNOWN;
		d->asked++;
	}
	return true;
}

/*
 * What is in our own system would arrive at any time: only a reset ends that.  But with
 * a last flush behind it, where there is a fence to wait for it, it may go on its way.
 */
void
disk_old_conn(struct disk *d, const struct kept_conn *c, const struct note_conn *left)
{
	bool all = all_taken(c->fd);

	if (left != NULL && d->past != DISK_PAST_SAFE &&
	    (all || nbe_old_writes(d->dev, c->path)) && ask_old_conn(d, c, left))
		return;
	if (all)
		overdue_keep(&d->overdue, c->fd, c->path);
	else
		socket_reset(c->fd);
}
