/*
 * net.h - a wire for sockets: frames over a serial port.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * bridge.py is at the other end.  A frame is a type, a socket's number, a length of two
 * bytes (little-endian) and that many bytes.
 */
#ifndef NT_NET_H
#define NT_NET_H

#include <ntddk.h>

#define SOCKETS		32u
#define WINDOW		(256u << 10)	/* bytes that the bridge may have sent ahead */
#define FRAME_MAX	4096u
#define NET_TAG		'ioiN'

enum frame {
	FRAME_OPEN = 1,		/* port, two bytes */
	FRAME_OPENED,
	FRAME_REFUSED,
	FRAME_DATA,
	FRAME_CREDIT,		/* four bytes: as many were taken */
	FRAME_END,		/* no more data from this side */
	FRAME_RESET,
};

enum op_kind { OP_CONNECT, OP_SEND, OP_RECEIVE, OP_DISCONNECT, OP_RESET, OP_CLOSE };

struct socket;
struct op {
	LIST_ENTRY	 link;
	enum op_kind	 kind;
	PIRP		 irp;
	struct socket	*socket;
	PMDL		 mdl;
	SIZE_T		 offset, length, moved;
	USHORT		 port;
	BOOLEAN		 started, cancelled;
};

enum socket_state { SOCKET_NEW, SOCKET_OPENING, SOCKET_OPEN, SOCKET_REFUSED,
	SOCKET_DEAD };

struct dispatch;
struct socket {
	const struct dispatch *dispatch;	/* what the driver sees */
	UCHAR		 id;
	enum socket_state state;
	BOOLEAN		 ended;			/* the server has */
	BOOLEAN		 closing;
	UCHAR		*ring;			/* WINDOW bytes */
	ULONG		 head, fill, taken;	/* taken: not yet told */
	LIST_ENTRY	 ops;
};

/* net.c: one thread owns the port and all sockets; these only hand over. */
NTSTATUS net_start(void);
void	net_stop(void);
NTSTATUS net_submit(struct op *);
struct socket *net_socket(const struct dispatch *);
LONG	net_sockets(void);
void	net_violation(const char *what);

/* wire.c: the serial port.  False: nothing was done. */
BOOLEAN	wire_turn(void);
/* False: there is no room. */
BOOLEAN	wire_send(enum frame, UCHAR id, const void *, ULONG length);
void	wire_reset(void);
/* For each frame that comes whole. */
void	net_frame(enum frame, UCHAR id, const UCHAR *, ULONG length);

#endif
