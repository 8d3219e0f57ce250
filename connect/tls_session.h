/*
 * tls_session.h - the inside of a session, for tls_openssl.c and tls_kernel.c.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_TLS_SESSION_H
#define NBC_TLS_SESSION_H

#include <openssl/ssl.h>

#include "internal.h"

#define TLS_STAGE_MAX	16384u	/* plain bytes of one record */

/* The secret of one direction (RFC 8446, 7.1), and the number of records that it
 * has protected so far. */
struct tls_direction {
	uint8_t		secret[EVP_MAX_MD_SIZE];
	size_t		secret_len;
	uint64_t	records;
};

/* ---- tls_crl.c: revocation lists ------------------------------------------ */

struct tls_crl;
/* From now on ssl's sessions take no certificate without a list of its issuer.  NULL:
 * the file is not usable. */
struct tls_crl *nbc_crl_load(SSL_CTX *, const char *file, struct nbc_error *);
void	nbc_crl_free(struct tls_crl *);
/* Take what the file has now; any thread, at any time. */
void	nbc_crl_refresh(const struct tls_crl *);

struct nbc_tls {
	SSL		*ssl;
	const struct nbc_tls_context *context;
	BIO		*in, *out;	/* owned by ssl */
	bool		is_up, for_kernel;
	struct tls_direction tx, rx;	/* for_kernel only */
	char		error[1024];
	uint8_t		stage[TLS_STAGE_MAX];
};

#endif
