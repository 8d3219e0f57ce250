/*
 * internal.h - what the files of connect/ share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_INTERNAL_H
#define NBC_INTERNAL_H

#include "connect.h"
#include "dial.h"
#include "error.h"
#include "os.h"
#include "tls.h"

/* ---- printable.c --------------------------------------------------------- */

/* Text that came from a server, made fit for a terminal: control bytes and what is
 * not UTF-8 become \xNN.  Cut where buf is full; always ended by NUL. */
void	nbc_printable(char *buf, size_t size, struct nbe_text);
/* The whole of it, to be freed; NULL: out of memory. */
char	*nbc_printable_dup(struct nbe_text);

/* ---- stream.c ------------------------------------------------------------ */

enum nbc_io {
	NBC_IO_OK,
	NBC_IO_CLOSED,		/* by the peer, in whatever way */
	NBC_IO_TIMED_OUT,
	NBC_IO_CANCELLED,
	NBC_IO_TLS_BROKEN,	/* nbc_tls_error knows more */
};

/* Wait for poll events on fd; OK, TIMED_OUT or CANCELLED. */
enum nbc_io nbc_wait(int fd, short events, const struct nbc_limit *);
/* Let ms pass: OK, or CANCELLED. */
enum nbc_io nbc_pause(int64_t ms, int cancel_fd);

/* A socket, with a TLS session on it or not. */
struct nbc_stream {
	int		fd;
	struct nbc_tls	*tls;
	const struct nbc_limit *limit;
};
enum nbc_io nbc_stream_send(struct nbc_stream *, const uint8_t *, size_t len);
/* 1 to max bytes.  Reads no byte from the socket that it does not return, but for
 * the rest of one TLS record. */
enum nbc_io nbc_stream_recv(struct nbc_stream *, uint8_t *, size_t max, size_t *got);
enum nbc_io nbc_stream_start_tls(struct nbc_stream *);
/* Say close_notify, as far as that goes without waiting long. */
void	nbc_stream_end_tls(struct nbc_stream *);

/* ---- uri.c --------------------------------------------------------------- */

/* A number from 1 to 65535 (of vsock: any), or what could be a service's name. */
bool	nbc_check_port(enum nbc_family, const char *port, struct nbc_error *);

/* ---- resolve.c ----------------------------------------------------------- */

/* OK: *gai is what getaddrinfo returned, and *list is the caller's if that is 0. */
enum nbc_io nbc_resolve(const char *host, const char *port, const struct nbc_limit *,
	    struct addrinfo **list, int *gai);

/* ---- dial.c, dial_local.c ------------------------------------------------ */

struct nbc_address {
	int	family;
	const struct sockaddr *addr;
	socklen_t len;
};
/* A socket, or -1 with the reason in *error. */
int	nbc_connect_address(const struct nbc_address *, const struct nbc_limit *,
	    int *error);
void	nbc_fail_connect(struct nbc_error *, const struct nbc_target *, int error);
/* Of NBC_UNIX and NBC_VSOCK. */
int	nbc_dial_local(const struct nbc_target *, const struct nbc_limit *,
	    struct nbc_error *);

#endif
