/*
 * dial.h - a connected socket: for connect/ and for fronts that dial themselves.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_DIAL_H
#define NBC_DIAL_H

#include "connect.h"

/* How long a call may take, and what ends it early. */
struct nbc_limit {
	int64_t	deadline_ms;	/* nbc_now_ms then */
	int	cancel_fd;	/* -1: none */
};

/* A connected, blocking socket, or -1. */
int	nbc_dial(const struct nbc_target *, const struct nbc_limit *,
	    struct nbc_error *);

#endif
