/*
 * tls_session.h - the inside of contexts and sessions, for the files of OpenSSL.
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

#define TLS_PSK_MAX	256u

/* ---- tls_files.c: names of files, and their bytes ------------------------- */

/* Secrets, maybe: cleared when freed.  A NUL is behind them. */
struct tls_bytes {
	uint8_t	*ptr;
	size_t	len, room;
};
void	nbc_tls_bytes_free(struct tls_bytes *);

struct nbc_tls_context {
	enum nbc_tls_type type;
	bool		no_verify;
	char		*host_name;	/* what the certificate must name; X509 */
	char		*psk_user;	/* NULL: the first of the file */
	char		*password;	/* of the key; NULL: it was not typed */
	struct {
		char	*path;		/* absolute; NULL: there is none */
		struct tls_bytes kept;	/* what could be read only once */
	} file[NBC_FILES];
};

bool	nbc_tls_files_init(struct nbc_tls_context *, const struct nbc_target *,
	    struct nbc_error *);
void	nbc_tls_files_free(struct nbc_tls_context *);
/* All of a file that the context has, in new memory. */
bool	nbc_tls_read(const struct nbc_tls_context *, const struct nbc_options *,
	    enum nbc_tls_file, struct tls_bytes *, struct nbc_error *);

/* ---- tls_ends.c: where a session's records come from and go to ------------- */

/* OpenSSL's own BIOs of memory copy what they are given; these have it where it is. */
struct tls_ends {
	const uint8_t	*in;		/* fed, and not read yet */
	size_t		in_len;
	uint8_t		*out;		/* what is written goes here, */
	size_t		out_room;	/* as long as there is room, */
	BIO		*later;		/* and else to this one */
};

/* Makes ends the BIO of ssl, which frees it; later is to be freed afterwards. */
bool	nbc_tls_ends_attach(struct tls_ends *, SSL *ssl);
void	nbc_tls_ends_free(struct tls_ends *);

struct nbc_tls {
	SSL		*ssl;
	const struct nbc_tls_context *context;
	struct tls_ends	ends;
	bool		is_up, for_kernel;
	bool		opened;		/* the last nbc_tls_open gave bytes */
	bool		keys_changed;	/* by KeyUpdate: tx and rx are of the past */
	struct tls_direction tx, rx;	/* for_kernel only */
	char		*psk_user;
	uint8_t		psk[TLS_PSK_MAX];
	unsigned	psk_len;
	char		error[1024];
	uint8_t		stage[TLS_STAGE_MAX];
};

/* ---- tls_kernel.c, tls_rekey.c: what the kernel has ------------------------ */

#define TLS_CLOSE_NOTIFY 0	/* of alerts */

struct nbc_ktls {
	const SSL_CIPHER *cipher;	/* OpenSSL's own, for ever */
	struct tls_direction tx, rx;	/* their records do not count */
	bool		owes_update;
	uint8_t		record[TLS_STAGE_MAX];
};

/* HKDF-Expand-Label with an empty context (RFC 8446, 7.1). */
bool	nbc_tls_expand_label(const struct tls_direction *, const char *digest,
	    const char *label, uint8_t *out, size_t len);
/* The kernel gets the keys of a secret, for one direction of its session. */
bool	nbc_ktls_install(const SSL_CIPHER *, int fd, bool is_tx,
	    const struct tls_direction *);
/* Does not wait; false: the socket did not take all of the record. */
bool	nbc_ktls_send_control(int fd, uint8_t type, const uint8_t *, size_t len);

/* ---- tls_material.c: certificates, lists and keys ------------------------- */

/* What the files of tls->context have now, into ssl, or for PSK into tls.  typed: the
 * password of a key may be asked for on the terminal, and comes here. */
bool	nbc_tls_load(struct nbc_tls *, SSL_CTX *, const struct nbc_options *,
	    char **typed, struct nbc_error *);
/* Of OpenSSL's last error in this thread. */
const char *nbc_openssl_reason(void);

#endif
