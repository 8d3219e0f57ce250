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

struct dialer;

/* nbc is the callee's, if ok; else error says why not. */
typedef void dialer_done(void *arg, unsigned conn, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error);

/* The three pointers must outlive the process' last attempt.  NULL: no memory or
 * descriptors. */
struct dialer *dialer_new(struct ring *, const struct nbc_target *,
	    const struct nbc_tls_context *, const struct nbc_options *,
	    dialer_done *, void *arg);
/* Ends in one call of done.  False: there could be no thread. */
bool	dialer_dial(struct dialer *, unsigned conn);
/* Tell all attempts to give up; their results still come. */
void	dialer_cancel(struct dialer *);
/* Attempts whose result has not come.  Nothing of the dialer is in the ring when
 * there are none. */
unsigned dialer_pending(const struct dialer *);
/* When nothing is pending, or after ring_free; an attempt that hangs in the
 * resolver then cleans up after itself.  SIGPIPE must be ignored. */
void	dialer_free(struct dialer *);

#endif
