/*
 * nbd_link.h - one connection of an NBD device: its socket, its TLS session.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing in here waits.  All calls come from the disk's thread, under its lock.
 */
#ifndef NBD_LINK_H
#define NBD_LINK_H

#include "connect.h"
#include "lib.h"

/* What a request's data is, for the engine's segments. */
struct nbd_io {
	struct nbe_req	req;
	uint8_t		*data;
	HANDLE		done;
	struct nbd_io	*next_free;
};

struct nbd_link {
	struct nbe_dev	*dev;
	unsigned	conn;		/* its number in the engine */
	struct nbc_conn	nbc;		/* fd -1: there is none */
	bool		blocked;	/* the socket takes no more for now */
	uint8_t		*ahead;		/* what came, in the clear */
	uint8_t		*sealed;	/* TLS: to be sent, and what came */
	size_t		sealed_len, sealed_pos;
	uint8_t		*raw;
	uint64_t	acknowledged;	/* bytes, by the server's TCP */
	char		problem[256];	/* of the last connection, for people */
};

/* False: out of memory; nbc stays the caller's. */
bool	nbd_link_up(struct nbd_link *, struct nbc_conn *nbc);
/* Did the server take bytes since the last call?  To be called a few times in each
 * request time-out. */
void	nbd_link_progress(struct nbd_link *, nbe_time now);
/* The engine has bytes to send, or the socket takes some again. */
void	nbd_link_send(struct nbd_link *, nbe_time now);
/* The socket has something. */
void	nbd_link_receive(struct nbd_link *, nbe_time now);
/* Closes the socket; the engine must hear of it from the caller. */
void	nbd_link_close(struct nbd_link *, bool polite);

#endif
