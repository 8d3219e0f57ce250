/*
 * tls_ends.c - where a session's records come from and go to.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One BIO for both directions.  Records are read where the caller has received them,
 * and written to where they will be sent from: with OpenSSL's BIOs of memory each byte
 * would be copied once more in either direction.
 */
#include <pthread.h>
#include <string.h>

#include "tls_session.h"

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int
read_fed(BIO *bio, char *buf, int size)
{
	struct tls_ends *e = BIO_get_data(bio);
	size_t n = size < 0 ? 0 : (size_t)size;

	if (n > e->in_len)
		n = e->in_len;
	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(buf, e->in, n);
	e->in += n;
	e->in_len -= n;
	return (int)n;
}

/* In order: nothing passes what had no room before. */
static int
write_out(BIO *bio, const char *buf, int len)
{
	struct tls_ends *e = BIO_get_data(bio);

	if (len <= 0 || (size_t)len > e->out_room || BIO_pending(e->later) != 0)
		return BIO_write(e->later, buf, len);
	memcpy(e->out, buf, (size_t)len);
	e->out += len;
	e->out_room -= (size_t)len;
	return len;
}

static long
control(BIO *bio, int command, long number, void *arg)
{
	(void)bio;
	(void)number;
	(void)arg;
	return command == BIO_CTRL_FLUSH;
}

static void
make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "nbd");

	if (m != NULL && BIO_meth_set_read(m, read_fed) == 1 &&
	    BIO_meth_set_write(m, write_out) == 1 &&
	    BIO_meth_set_ctrl(m, control) == 1)
		method = m;
	else
		BIO_meth_free(m);
}

bool
nbc_tls_ends_attach(struct tls_ends *e, SSL *ssl)
{
	BIO *bio;

	if (pthread_once(&method_once, make_method) != 0 || method == NULL)
		return false;
	e->later = BIO_new(BIO_s_mem());
	bio = e->later != NULL ? BIO_new(method) : NULL;
	if (bio == NULL)
		return false;
	BIO_set_data(bio, e);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return true;
}

void
nbc_tls_ends_free(struct tls_ends *e)
{
	BIO_free(e->later);
}
