/*
 * sock.h - sockets of Winsock, for a file that cannot include its headers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Calls block.  Numbers of errors are of no interest here: negative is failure.
 */
#ifndef SOCK_H
#define SOCK_H

#include <stddef.h>
#include <stdint.h>

struct sock_buf {
	uint32_t len;
	void	*base;
};

intptr_t sock_open(int family);
int	sock_bind(intptr_t, const void *address);
int	sock_connect(intptr_t, const void *address);
long	sock_send(intptr_t, struct sock_buf *, unsigned n);
long	sock_receive(intptr_t, struct sock_buf *, unsigned n);
void	sock_shutdown(intptr_t, int both);
/* What is sent and has not arrived is forgotten; calls under way end. */
void	sock_reset(intptr_t);
void	sock_close(intptr_t);
/* ADDRINFOEXW, as WSK has it; NULL: the name is unknown. */
void	*sock_resolve(const uint16_t *host, const uint16_t *port);
void	sock_resolve_free(void *);
/* In a thread of its own; false: it cannot be made. */
int	sock_thread(void (*run)(void *), void *);

#endif
