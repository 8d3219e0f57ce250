/*
 * dialer.h - makes connections in threads, and hands them to the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Resolving names, TCP, TLS and the handshake block, so each attempt has a thread
 * of its own; none of them touches the engine.  Results come through a pipe.
 */
#ifndef DIALER_H
#define DIALER_H

#include "connect.h"
#include "ring.h"

#define DIALER_SEATS	(NBE_MAX_CONNS + NBE_MAX_PATHS)

struct dialer;

/* Where to, and how; these outlive the process' last attempt. */
struct dialer_server {
	const struct nbc_target *target;
	const struct nbc_tls_context *tls;	/* NULL: TLS is off */
	const struct nbc_options *options;
};

/* nbc is the callee's, if ok; else error says why not. */
typedef void dialer_done(void *arg, unsigned seat, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error);

/* NULL: no memory or descriptors. */
struct dialer *dialer_new(struct ring *, dialer_done *, void *arg);
/* For a seat below DIALER_SEATS that has no attempt.  Ends in one call of done.  False
 * with errno: there could be no thread. */
bool	dialer_dial(struct dialer *, unsigned seat, const struct dialer_server *);
bool	dialer_dials(const struct dialer *, unsigned seat);
/* Tell an attempt, if there is one, to give up; its result still comes. */
void	dialer_cancel(struct dialer *, unsigned seat);
/* Nothing of the dialer is in the ring when there is no attempt: when nothing is
 * pending, or after ring_free; an attempt that hangs in the resolver then cleans up
 * after itself.  SIGPIPE must be ignored. */
void	dialer_free(struct dialer *);

#endif
