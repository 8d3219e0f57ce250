/*
 * wsk.h - sockets.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An operation (struct wsk_op) is one IRP that is used again and again.  Starting
 * one never waits; its end sets the event that it was made with, and
 * wsk_op_ended tells.  Everything at PASSIVE_LEVEL but the end, which comes at up
 * to DISPATCH_LEVEL and touches the op and its event only.
 */
#ifndef WNBD_WSK_H
#define WNBD_WSK_H

#include "kernel.h"
#include "wsk_abi.h"

struct wsk_op {
	IRP		*irp;
	KEVENT		*event;
	KSPIN_LOCK	 lock;		/* innermost: state */
	LONG		 state;		/* enum in wsk.c */
};

NTSTATUS wsk_load(void);		/* with DriverEntry; once */
void	 wsk_unload(void);

NTSTATUS wsk_op_init(struct wsk_op *, KEVENT *);
void	 wsk_op_free(struct wsk_op *);	/* no operation is under way */
bool	 wsk_op_busy(struct wsk_op *);	/* started, and not taken */
bool	 wsk_op_ended(struct wsk_op *);	/* ... and it is over */
/* Its result; the op is idle again.  After wsk_op_ended. */
NTSTATUS wsk_op_take(struct wsk_op *, ULONG_PTR *information);
void	 wsk_op_cancel(struct wsk_op *);

/* Each starts one operation. */
void	 wsk_resolve(struct wsk_op *, UNICODE_STRING *host, UNICODE_STRING *port,
	    struct wsk_addrinfo *hints, struct wsk_addrinfo **);
void	 wsk_resolve_free(struct wsk_addrinfo *);
void	 wsk_socket(struct wsk_op *, USHORT family);	/* result: the socket */
void	 wsk_bind(struct wsk_op *, struct wsk_socket *, struct wsk_sockaddr *);
void	 wsk_connect(struct wsk_op *, struct wsk_socket *, struct wsk_sockaddr *);
/* Result: how many bytes, which may be fewer than the chain has. */
void	 wsk_send(struct wsk_op *, struct wsk_socket *, MDL *chain, size_t len);
void	 wsk_receive(struct wsk_op *, struct wsk_socket *, MDL *chain, size_t len);
/* What was sent arrives; or, with reset, is forgotten as far as it has not. */
void	 wsk_disconnect(struct wsk_op *, struct wsk_socket *, bool reset);
/* Ends all operations of the socket, which is gone when this one has ended. */
void	 wsk_close(struct wsk_op *, struct wsk_socket *);

/* An MDL over nonpaged memory, for a chain; NULL without memory. */
MDL	*wsk_mdl(void *, size_t len);
void	 wsk_mdl_free(MDL *chain);

#endif
