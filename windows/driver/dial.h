/*
 * dial.h - one attempt to reach the server: a thread from name to negotiated socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * PASSIVE_LEVEL.
 */
#ifndef WNBD_DIAL_H
#define WNBD_DIAL_H

#include "wsk.h"

#include "port.h"

#include "wnbd_servers.h"

#define DIAL_TIMEOUT	(30 * NBE_SECOND)

struct dial {
	/* in */
	const WNBD_PROPERTIES *props;	/* lives longer than this */
	KEVENT		*event;		/* set when it is over */
	/* out, once done is set */
	volatile LONG	 done, over;
	NTSTATUS	 status;
	enum nbe_why	 why;		/* the server's or the protocol's reason */
	struct wsk_socket *socket;	/* the caller's from then on */
	struct nbe_export exp;
	/* its own */
	void		*thread;
	struct wsk_op	 op;
	KEVENT		 ended, cancel, verdict;
	bool		 refused, connected;
	nbe_time	 deadline;	/* of the present step */
	struct nbe_hs	 hs;
	WCHAR		 host[WNBD_MAX_NAME_LENGTH], port[6];
};

/* The server is one of the properties' own.  NULL without memory or thread. */
struct dial *dial_start(const WNBD_PROPERTIES *, const WNBD_SERVER *, KEVENT *);
/* Soon done. */
void	 dial_cancel(struct dial *);
/* After done: the connection is not wanted.  The server is told, and the socket
 * closed, which takes a moment; then over is set. */
void	 dial_refuse(struct dial *);
/* After done, and after over if it was refused.  The socket is not closed. */
void	 dial_free(struct dial *);

#endif
