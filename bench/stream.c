/*
 * stream.c - a blocking socket, plain or with TLS, of the bench's own programs.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "stream.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AHEAD	(128 * 1024)
#define RECORD_MAX	16384
#define STAGE		RECORD_MAX
/* So much is sealed, then sent: it stays in a CPU's own cache. */
#define SEALED_SEND	(128 * 1024)

/* ---- plain -------------------------------------------------------------------- */

static bool
send_plain(int fd, struct iovec *iov, unsigned n)
{
	while (n != 0) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		for (; n != 0 && (size_t)sent >= iov->iov_len; iov++, n--)
			sent -= (ssize_t)iov->iov_len;
		if (n != 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return true;
}

/* ---- TLS ---------------------------------------------------------------------- */

static SSL_CTX *
context(const SSL_METHOD *method)
{
	SSL_CTX *c = SSL_CTX_new(method);

	if (c == NULL)
		abort();
	SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_default_read_buffer_len(c, READ_AHEAD);
	return c;
}

static void
check(int ok, const char *file)
{
	if (ok == 1)
		return;
	fprintf(stderr, "%s: ", file);
	ERR_print_errors_fp(stderr);
	exit(1);
}

SSL_CTX *
stream_tls_server(const char *dir)
{
	SSL_CTX *c = context(TLS_server_method());
	char file[4096];

	snprintf(file, sizeof(file), "%s/server-cert.pem", dir);
	check(SSL_CTX_use_certificate_file(c, file, SSL_FILETYPE_PEM), file);
	snprintf(file, sizeof(file), "%s/server-key.pem", dir);
	check(SSL_CTX_use_PrivateKey_file(c, file, SSL_FILETYPE_PEM), file);
	return c;
}

SSL_CTX *
stream_tls_client(const char *dir)
{
	SSL_CTX *c = context(TLS_client_method());
	char file[4096];

	snprintf(file, sizeof(file), "%s/ca-cert.pem", dir);
	check(SSL_CTX_load_verify_file(c, file), file);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	return c;
}

bool
stream_start_tls(struct stream *s, SSL_CTX *c, bool server)
{
	s->ssl = SSL_new(c);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 ||
	    (server ? SSL_accept(s->ssl) : SSL_connect(s->ssl)) != 1) {
		ERR_print_errors_fp(stderr);
		return false;
	}
	SSL_set0_wbio(s->ssl, BIO_new(BIO_s_mem()));
	return true;
}

/* Up to a record of it; in place where one piece fills it. */
static const uint8_t *
next_plain(struct iovec **iov, unsigned *n, uint8_t *stage, size_t *len)
{
	const uint8_t *whole = (*iov)->iov_base;

	*len = 0;
	while (*n != 0 && *len < RECORD_MAX) {
		size_t part = (*iov)->iov_len;

		if (part > RECORD_MAX - *len)
			part = RECORD_MAX - *len;
		if (part == RECORD_MAX)
			whole = (*iov)->iov_base;
		else
			memcpy(stage + *len, (*iov)->iov_base, part);
		*len += part;
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + part;
		(*iov)->iov_len -= part;
		if ((*iov)->iov_len == 0) {
			(*iov)++;
			(*n)--;
		}
		if (part == RECORD_MAX)
			return whole;
	}
	return stage;
}

static bool
send_what_is_sealed(const struct stream *s)
{
	struct iovec sealed;
	char *bytes;
	bool ok;

	sealed.iov_len = (size_t)BIO_get_mem_data(SSL_get_wbio(s->ssl), &bytes);
	sealed.iov_base = bytes;
	ok = send_plain(s->fd, &sealed, 1);
	(void)BIO_reset(SSL_get_wbio(s->ssl));
	return ok;
}

static bool
send_sealed(const struct stream *s, struct iovec *iov, unsigned n)
{
	uint8_t stage[STAGE];

	while (n != 0) {
		size_t len;
		const uint8_t *plain = next_plain(&iov, &n, stage, &len);

		if (SSL_write(s->ssl, plain, (int)len) != (int)len ||
		    ((n == 0 || BIO_pending(SSL_get_wbio(s->ssl)) >= SEALED_SEND) &&
		    !send_what_is_sealed(s)))
			return false;
	}
	return true;
}

/* ---- both --------------------------------------------------------------------- */

bool
stream_send(struct stream *s, struct iovec *iov, unsigned n)
{
	return s->ssl != NULL ? send_sealed(s, iov, n) : send_plain(s->fd, iov, n);
}

/* What TLS has received and can be opened without another system call comes too. */
static long
recv_sealed(struct stream *s, uint8_t *p, size_t size)
{
	long got = SSL_read(s->ssl, p, (int)size);

	while (got > 0 && (size_t)got < size && SSL_has_pending(s->ssl)) {
		int n = SSL_read(s->ssl, p + got, (int)(size - (size_t)got));

		if (n <= 0)
			break;
		got += n;
	}
	return got;
}

long
stream_recv(struct stream *s, void *p, size_t size)
{
	return s->ssl != NULL ? recv_sealed(s, p, size) : recv(s->fd, p, size, 0);
}

bool
stream_recv_all(struct stream *s, void *p, size_t size)
{
	size_t got = 0;

	while (got < size) {
		long n = s->ssl != NULL ?
		    SSL_read(s->ssl, (uint8_t *)p + got, (int)(size - got)) :
		    recv(s->fd, (uint8_t *)p + got, size - got, MSG_WAITALL);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

void
stream_close(struct stream *s)
{
	SSL_free(s->ssl);
	close(s->fd);
}
