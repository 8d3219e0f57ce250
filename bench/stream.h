/*
 * stream.h - a blocking socket, plain or with TLS, of the bench's own programs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * TLS is OpenSSL and no more: what one call is given is sealed into memory and sent,
 * by one system call if it is not much; receiving takes from the socket as much as
 * there is.
 */
#ifndef STREAM_H
#define STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct stream {
	int	fd;
	SSL	*ssl;		/* NULL: plain */
};

/* DIR holds ca-cert.pem, server-cert.pem and server-key.pem; or ends the program. */
SSL_CTX	*stream_tls_server(const char *dir);
SSL_CTX	*stream_tls_client(const char *dir);
/* The TLS handshake. */
bool	stream_start_tls(struct stream *, SSL_CTX *, bool server);
/* Some bytes; 0 or less: the end. */
long	stream_recv(struct stream *, void *, size_t);
bool	stream_recv_all(struct stream *, void *, size_t);
/* Eats up the iov. */
bool	stream_send(struct stream *, struct iovec *, unsigned n);
void	stream_close(struct stream *);

#endif
