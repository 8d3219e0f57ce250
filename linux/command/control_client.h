/*
 * control_client.h - talk to the daemon of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "control.h"
#include "state.h"

/* A socket, or -1 with the reason. */
int	control_connect(const struct state *, struct errtext *);
/* There is the socket of a daemon that was killed, and nobody listens. */
bool	control_is_left(const struct state *);
bool	control_send(int sock, enum control_verb, uint64_t number, struct errtext *);

enum control_answer { ANSWER_OK, ANSWER_REFUSED, ANSWER_ENDED, ANSWER_LATE };
/* Waits so long for the reply; ENDED: the daemon has closed the socket. */
enum control_answer control_receive(int sock, struct control_reply *, int timeout_ms);

/* One request and its reply, within a few seconds. */
bool	control_ask(const struct state *, enum control_verb, uint64_t number,
	    struct control_reply *, struct errtext *);

#endif
