/*
 * tls_crl.c - certificates that their authority has taken back.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * With a file of revocation lists, each certificate of the server's chain must have a
 * list of its issuer that is valid now: where there is none, or only an old one, the
 * server is refused.  The file is read again for each session, since authorities
 * renew their lists every few weeks, and a device may last longer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "tls_session.h"

struct tls_crl {
	X509_LOOKUP	*lookup;	/* owned by the store */
	char		*path;
};

struct tls_crl *
nbc_crl_load(SSL_CTX *ssl, const char *file, struct nbc_error *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	struct tls_crl *crl = calloc(1, sizeof *crl);

	if (crl == NULL || (crl->lookup =
		X509_STORE_add_lookup(store, X509_LOOKUP_file())) == NULL) {
		nbc_fail_no_memory(err);
		goto fail;
	}
	/* A daemon stands in another directory later. */
	crl->path = realpath(file, NULL);
	if (crl->path == NULL) {
		nbc_fail(err, NBC_USAGE, "%s: cannot read the revocation lists: %s",
		    file, strerror(errno));
		goto fail;
	}
	if (X509_load_crl_file(crl->lookup, crl->path, X509_FILETYPE_PEM) <= 0) {
		nbc_fail(err, NBC_USAGE, "%s: not usable as revocation lists: %s", file,
		    ERR_reason_error_string(ERR_peek_last_error()));
		goto fail;
	}
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return crl;
fail:
	nbc_crl_free(crl);
	return NULL;
}

/* Lists that are known already stay as they are; of one issuer the newest counts. */
void
nbc_crl_refresh(const struct tls_crl *crl)
{
	(void)X509_load_crl_file(crl->lookup, crl->path, X509_FILETYPE_PEM);
}

void
nbc_crl_free(struct tls_crl *crl)
{
	if (crl == NULL)
		return;
	free(crl->path);
	free(crl);
}
