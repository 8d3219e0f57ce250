/*
 * link.h - one connection of a disk: its socket on the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * At most one send and one receive are in flight.  A send carries a whole batch of
 * the engine.  A receive brings the rest of the payload that is under way, straight
 * into its request, and behind it, in the same call, what the server has sent since
 * into a read-ahead buffer; so small replies come many at a time.  Payload in pages is
 * an operation of its own, linked behind what comes before it.  With TLS in this
 * process the bytes go through the session instead.
 */
#ifndef LINK_H
#define LINK_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "connect.h"
#include "nbe.h"
#include "note.h"
#include "overdue.h"
#include "ring.h"

#define LINK_TX_SEGS	128
#define LINK_RX_SEGS	64
#define LINK_AHEAD	(128 * 1024)
#define LINK_PLAIN	(128 * 1024)	/* sealed, or opened, at a time */
/* A front's largest command, with its header: sealed at a time where it must not be
 * left half sent (note). */
#define LINK_WHOLE	(1024 * 1024 + 4096)

struct link {
	struct nbe_dev	*dev;
	struct ring	*ring;
	struct overdue	*overdue;	/* of the disk */
	unsigned	*sends;		/* of the disk, in the ring */
	/* For who comes after this process, should it be killed.  NULL: nobody does. */
	volatile struct note_conn *note;
	unsigned	conn;		/* its number in the engine */
	nbe_time	(*now)(void *arg);
	void		(*ended)(void *arg, unsigned conn);	/* it is down */
	const uint8_t	*keep;		/* the keep buffer */
	void		*arg;
	struct nbc_conn	nbc;		/* fd -1: there is none */
	bool		sending, receiving, cancelling;
	bool		closing;	/* shut down; waits for the three above */
	bool		kept;		/* half closed, and its socket is for overdue */
	struct ring_op	send_op, before_op, recv_op, cancel_op;
	bool		awaits_room;	/* sending: not yet, but when there is room */
	bool		awaited_room;	/* there is as much as there will be */
	bool		tx_whole;	/* a send is whole commands, and all goes in */
	size_t		tx_length;	/* of tx_msg */
	size_t		tx_before;	/* linked before payload in pages, or 0 */
	size_t		room;		/* at least, in the socket: socket_room */
	uint64_t	given;		/* bytes to the socket: bytes_given */
	struct msghdr	tx_msg, rx_msg;
	struct iovec	tx_iov[LINK_TX_SEGS], rx_iov[2];
	uint64_t	rx_direct;	/* bytes of payload that come first */
	uint8_t		*ahead;		/* LINK_AHEAD bytes, while it is up */
	/* TLS in this process: sealed bytes on their way, room for plain ones */
	uint8_t		*sealed;
	size_t		sealed_len, sealed_pos;
	uint8_t		*plain;
	uint64_t	taken;		/* bytes_taken, when last asked */
	nbe_time	asked_limit_at;	/* records that a session has left */
	char		problem[256];	/* of the last connection, for people */
};

/* False: out of memory; nbc stays the caller's. */
bool	link_up(struct link *, struct nbc_conn *nbc);
/* The engine has bytes to send. */
void	link_send(struct link *);
/* The engine wants it closed.  Ends with nbe_conn_down, now or later. */
void	link_close(struct link *);
/* Now and then, while it owes an answer: tells the engine whether the peer has taken
 * bytes, and to make it anew when a session in the kernel nears its limit. */
void	link_tend(struct link *);
/* Nothing of it is in the ring. */
bool	link_quiet(const struct link *);

#endif
