/*
 * nbd_dialer.h - makes connections to the servers of a disk, in threads.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All calls come with the disk's lock held, but nbd_dialer_open.  An attempt has a
 * seat: the number of its connection, or, behind these, of a server that is only tried.
 */
#ifndef NBD_DIALER_H
#define NBD_DIALER_H

#include "nbd_disk.h"

#define NBD_DIALER_SEATS (NBE_MAX_CONNS + NBE_MAX_PATHS)

struct nbd_attempt {
	unsigned	seat, path;
	bool		ok;
	struct nbc_conn	nbc;		/* ok: the taker's */
	struct nbc_error error;
	struct nbd_attempt *next;
};

struct nbd_dialer;

/* ended: from an attempt's thread, under the lock; there is one to be taken. */
struct nbd_dialer *nbd_dialer_new(const struct nbd_config *, CRITICAL_SECTION *,
	    void (*ended)(void *arg), void *arg);
/* Nothing is under way, and all was taken. */
void	nbd_dialer_free(struct nbd_dialer *);

/* Here and now: waits. */
bool	nbd_dialer_open(struct nbd_dialer *, unsigned path, struct nbc_conn *,
	    struct nbc_error *);
/* Begins an attempt; false: there is no memory, thread or socket for it. */
bool	nbd_dialer_dial(struct nbd_dialer *, unsigned seat, unsigned path);
/* Is one under way, or to be taken? */
bool	nbd_dialer_dials(const struct nbd_dialer *, unsigned seat);
bool	nbd_dialer_idle(const struct nbd_dialer *);
/* Soon ended, with NBC_CANCELLED if it has not succeeded. */
void	nbd_dialer_cancel(struct nbd_dialer *, unsigned seat);
/* One that has ended, to be freed; NULL: none. */
struct nbd_attempt *nbd_dialer_take(struct nbd_dialer *);
bool	nbd_dialer_has_ended(const struct nbd_dialer *);

/* A socket that is connected to itself: what is sent to it wakes who polls it.  -1:
 * there is none. */
int	nbd_bell_open(void);
void	nbd_bell_ring(int bell);
void	nbd_bell_answer(int bell);

#endif
