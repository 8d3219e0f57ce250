/*
 * link.h - one connection: its socket, and the engine's bytes on it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Used by the disk's thread alone, at PASSIVE_LEVEL; (d): with disk.lock held, at
 * DISPATCH_LEVEL.  One round: link_harvest (d), link_plan (d), then link_act.
 */
#ifndef WNBD_LINK_H
#define WNBD_LINK_H

#include "dial.h"

#define LINK_SEGS	48		/* of one send or receive */

struct link {
	struct nbe_dev	*dev;		/* NULL: it is not to be called any more */
	unsigned	 conn;
	uint8_t		*waste;		/* LINK_WASTE bytes nobody wants */
	bool		 up;		/* the engine has it */
	bool		 closing;
	bool		 politely;	/* ... after all has arrived; else by reset */
	bool		 disconnected;	/* ... which is over */
	nbe_time	 close_by;	/* then it is reset */
	struct wsk_socket *socket;
	struct wsk_op	 tx, rx, end;
	MDL		*tx_chain, *rx_chain;
	bool		 tx_open, rx_open;	/* a begin of the engine is */
	bool		 tx_new, rx_new;	/* ... and nothing started yet */
	bool		 rx_zeroed;	/* ... and there was nothing to read */
	bool		 no_memory;	/* for MDLs: try again a little later */
	size_t		 send_max;	/* bytes of one send */
	nbe_time	 sent_at;	/* when the present one began */
	unsigned	 tx_segs, rx_segs;
	uint64_t	 rx_need;
	struct nbe_seg	 tx_seg[LINK_SEGS], rx_seg[LINK_SEGS];
	struct dial	*dial;		/* under way, or to be taken */
};
#define LINK_WASTE	65536

/* event: of the disk's thread, for ends of operations. */
NTSTATUS link_init(struct link *, struct nbe_dev *, unsigned conn, uint8_t *waste,
	    KEVENT *);
void	 link_free(struct link *);
/* The engine took the connection; the socket is the link's. */
void	 link_up(struct link *, struct wsk_socket *);
/* (d) Ends of operations become nbe_tx_end, nbe_rx_end; nbe_conn_down, when the
 * socket is gone.  True: there were some. */
bool	 link_harvest(struct link *, nbe_time now);
/* (d) Plans what is to be sent, if wanted, and received. */
void	 link_plan(struct link *, bool tx, nbe_time now);
/* Starts what was planned.  True: something ended at once. */
bool	 link_act(struct link *, nbe_time now);
/* (d) The engine has failed: what follows is not told to it. */
void	 link_orphan(struct link *);
/* The socket shall be closed; link_harvest tells when it is. */
void	 link_close(struct link *, bool politely, nbe_time now);
/* When to call again, at the latest. */
nbe_time link_wake(const struct link *, nbe_time now);
/* The bytes of a request: nbd.c. */
uint8_t	*link_data(struct nbe_req *, uint64_t off);

#endif
