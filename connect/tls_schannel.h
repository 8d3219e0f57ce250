/*
 * tls_schannel.h - what the tls_schannel*.c files share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_TLS_SCHANNEL_H
#define NBC_TLS_SCHANNEL_H

#include "internal.h"

#include <windows.h>
#include <subauth.h>
#include <wincrypt.h>

#define SECURITY_WIN32
#define SCHANNEL_USE_BLACKLISTS		/* SCH_CREDENTIALS */
#include <schannel.h>
#include <security.h>

struct nbc_tls_context {
	CredHandle	credentials;
	bool		has_credentials, has_cert;
	bool		no_verify;
	HCERTSTORE	roots;		/* of the user's CA file; NULL: the machine's */
	char		*host_name;	/* what the certificate must name */
	PCCERT_CONTEXT	cert;		/* of this client; NULL: none */
	HCERTSTORE	cert_store;	/* it, and what signed it */
	char		key_name[64];	/* of its key, where it is kept; "": none */
	bool		key_is_cng;	/* it is NCrypt's, not CryptoAPI's */
};

struct nbc_tls {
	const struct nbc_tls_context *context;
	CtxtHandle	session;
	bool		has_session, is_up, is_closed, is_1_3;
	SecPkgContext_StreamSizes sizes;
	uint8_t		*in;		/* what was fed and is not opened yet */
	size_t		in_len, in_room;
	const uint8_t	*plain;		/* opened and not taken yet; inside in */
	size_t		plain_len;
	size_t		rest_at;	/* where in in the next record begins */
	uint8_t		*out;		/* made by TLS itself, to be sent */
	size_t		out_len, out_room;
	char		error[1024];
	uint8_t		stage[16384 + 512];	/* one record that is sealed */
};

/* ---- tls_schannel_files.c ------------------------------------------------ */

/* A store with the certificates of a PEM file; NULL: fills the error. */
HCERTSTORE nbc_schannel_read_certificates(const char *file, const char *what,
	    struct nbc_error *);
/* The bytes of the next PEM block with this label; *at moves behind it.  NULL: there
 * is none.  To be freed. */
uint8_t	*nbc_schannel_next_block(const char **at, const char *label, DWORD *len);
/* context->cert, with its key. */
bool	nbc_schannel_load_client(struct nbc_tls_context *, const struct nbc_target *,
	    struct nbc_error *);
void	nbc_schannel_free_client(struct nbc_tls_context *);

/* ---- tls_schannel_key.c -------------------------------------------------- */

/* The key that is in text, for context->cert; password may be NULL. */
bool	nbc_schannel_take_key(struct nbc_tls_context *, const char *file,
	    const char *text, const char *password, struct nbc_error *);
void	nbc_schannel_forget_key(struct nbc_tls_context *);

/* ---- tls_schannel_verify.c ----------------------------------------------- */

/* The chain, the validity and the host name of the server's certificate. */
bool	nbc_schannel_verify(struct nbc_tls *);
/* The first reason is the one that counts. */
void	nbc_schannel_explain(struct nbc_tls *, const char *fmt, ...) NBC_PRINTF(2, 3);
/* An error of Windows, as it says it. */
void	nbc_schannel_error_text(char *buf, size_t size, DWORD error);

#endif
