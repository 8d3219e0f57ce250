/*
 * control_server.h - the daemon's side of control.h, on the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A few clients at a time; one that keeps the daemon waiting is hung up on, and one
 * that no longer waits for its answer makes room for the next.
 */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include "control.h"
#include "ring.h"

struct control_server;
struct control_client;

/* Ends with control_answer, at once or later, for each client once. */
typedef void control_handler(void *arg, struct control_client *,
    const struct control_request *);

/* A client that was to be answered later has hung up: it is not to be answered. */
typedef void control_forget(void *arg, struct control_client *);

bool	control_server_start(struct control_server **, struct ring *, const char *path,
	    control_handler *, control_forget *, void *arg, struct errtext *);
/* ns until it wants to be called again. */
uint64_t control_server_turn(struct control_server *, nbe_time now);
/* After ring_free. */
void	control_server_free(struct control_server *);

/* The reply to fill, whose head is OK already. */
struct control_reply *control_client_reply(struct control_client *);
/* Sends it; with or without the snapshot. */
void	control_answer(struct control_client *, bool snapshot);

#endif
