/*
 * tls_material.c - certificates, revocation lists and keys, for one session.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Read anew for each session and parsed with the same care each time: what cannot be
 * read, or is not whole, ends that session.  With revocation lists, each certificate of
 * the server's chain must have a list of its issuer that is valid now: where there is
 * none, or only an old one, the server is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls_session.h"

/* One session's, while it is made. */
struct loader {
	struct nbc_tls	*tls;
	SSL_CTX		*ssl;
	const struct nbc_tls_context *context;
	const struct nbc_options *options;
	char		**typed;	/* NULL: nobody is there to ask */
	struct nbc_error *err;
	bool		asked, nobody_to_ask;
	bool		told;		/* err has the reason already */
};

const char *
nbc_openssl_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	return reason != NULL ? reason : "unknown reason";
}

static const char *
path_of(const struct loader *l, enum nbc_tls_file file)
{
	return l->context->file[file].path;
}

/* ---- what a file holds --------------------------------------------------- */

static bool
add_root(struct loader *l, BIO *bio)
{
	/* With a password at hand OpenSSL does not ask the terminal for one. */
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, (void *)(uintptr_t)"");
	bool ok = cert != NULL &&
	    X509_STORE_add_cert(SSL_CTX_get_cert_store(l->ssl), cert) == 1;

	X509_free(cert);
	return ok;
}

static bool
add_list(struct loader *l, BIO *bio)
{
	X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, (void *)(uintptr_t)"");
	bool ok = crl != NULL &&
	    X509_STORE_add_crl(SSL_CTX_get_cert_store(l->ssl), crl) == 1;

	X509_CRL_free(crl);
	return ok;
}

/* The client's certificate, and then those that lead from it to a root. */
static bool
add_client(struct loader *l, BIO *bio)
{
	bool first = SSL_CTX_get0_certificate(l->ssl) == NULL;
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, (void *)(uintptr_t)"");
	bool ok = cert != NULL && (first ? SSL_CTX_use_certificate(l->ssl, cert) :
	    SSL_CTX_add1_chain_cert(l->ssl, cert)) == 1;

	X509_free(cert);
	return ok;
}

/* Everything that the bytes hold, which is something, and is whole. */
static bool
add_each(struct loader *l, const struct tls_bytes *b,
    bool (*add)(struct loader *, BIO *))
{
	BIO *bio = BIO_new_mem_buf(b->ptr, (int)b->len);
	unsigned long e;
	unsigned n = 0;

	if (bio == NULL)
		return false;
	while (add(l, bio))
		n++;
	BIO_free(bio);
	e = ERR_peek_last_error();
	if (n == 0 || ERR_GET_LIB(e) != ERR_LIB_PEM ||
	    ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

static bool
load_each(struct loader *l, enum nbc_tls_file file, const char *as,
    bool (*add)(struct loader *, BIO *))
{
	struct tls_bytes b;
	bool ok;

	if (!nbc_tls_read(l->context, l->options, file, &b, l->err))
		return false;
	ok = add_each(l, &b, add);
	nbc_tls_bytes_free(&b);
	return ok || nbc_fail(l->err, NBC_USAGE, "%s: not usable as %s: %s",
	    path_of(l, file), as, nbc_openssl_reason());
}

/* ---- whom to trust ------------------------------------------------------- */

static bool
load_roots(struct loader *l)
{
	if (path_of(l, NBC_FILE_CA) != NULL)
		return load_each(l, NBC_FILE_CA, "a CA's certificate", add_root);
	return SSL_CTX_set_default_verify_paths(l->ssl) == 1 ||
	    nbc_fail(l->err, NBC_INTERNAL, "cannot load the system's roots: %s",
		nbc_openssl_reason());
}

static bool
load_lists(struct loader *l)
{
	if (path_of(l, NBC_FILE_CRL) == NULL)
		return true;
	if (!load_each(l, NBC_FILE_CRL, "revocation lists", add_list))
		return false;
	X509_STORE_set_flags(SSL_CTX_get_cert_store(l->ssl),
	    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return true;
}

/* ---- the client's key ---------------------------------------------------- */

static int
copy_password(char *buf, int size, const char *password)
{
	size_t len = strcspn(password, "\r\n");

	if (len > (size_t)size)
		return -1;
	memcpy(buf, password, len);
	return (int)len;
}

static int
read_password(struct loader *l, char *buf, int size)
{
	struct tls_bytes b;
	int len;

	l->told = !nbc_tls_read(l->context, l->options, NBC_FILE_KEY_PASSWORD, &b,
	    l->err);
	if (l->told)
		return -1;
	len = copy_password(buf, size, (const char *)b.ptr);
	nbc_tls_bytes_free(&b);
	return len;
}

/* The later sessions are made where nobody is asked, so it is kept. */
static int
ask_password(struct loader *l, char *buf, int size)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char prompt[512];

	if (fd < 0) {
		l->nobody_to_ask = true;
		return -1;
	}
	close(fd);
	snprintf(prompt, sizeof prompt, "Password of %s: ", path_of(l, NBC_FILE_KEY));
	if (EVP_read_pw_string(buf, size, prompt, 0) != 0)
		return -1;
	*l->typed = OPENSSL_strdup(buf);
	return *l->typed == NULL ? -1 : (int)strlen(buf);
}

static int
on_password(char *buf, int size, int writing, void *arg)
{
	struct loader *l = arg;

	(void)writing;
	l->asked = true;
	if (path_of(l, NBC_FILE_KEY_PASSWORD) != NULL)
		return read_password(l, buf, size);
	if (l->context->password != NULL)
		return copy_password(buf, size, l->context->password);
	if (l->typed != NULL)
		return ask_password(l, buf, size);
	l->nobody_to_ask = true;
	return -1;
}

static bool
fail_key(const struct loader *l)
{
	const char *path = path_of(l, NBC_FILE_KEY);
	unsigned long e = ERR_peek_last_error();

	if (l->told)
		return false;
	if (ERR_GET_LIB(e) == ERR_LIB_X509 &&
	    ERR_GET_REASON(e) == X509_R_KEY_VALUES_MISMATCH)
		return nbc_fail(l->err, NBC_USAGE, "%s: not the key of %s", path,
		    path_of(l, NBC_FILE_CERT));
	if (l->nobody_to_ask)
		return nbc_fail(l->err, NBC_USAGE, "%s: the key is encrypted, and "
		    "there is no terminal to ask for its password\n"
		    "Name a file that holds it.", path);
	if (l->asked)
		return nbc_fail(l->err, NBC_USAGE, "%s: this is not the key's password",
		    path);
	return nbc_fail(l->err, NBC_USAGE, "%s: not usable as a key: %s", path,
	    nbc_openssl_reason());
}

static bool
load_key(struct loader *l)
{
	struct tls_bytes b;
	EVP_PKEY *key = NULL;
	BIO *bio;
	bool ok;

	if (!nbc_tls_read(l->context, l->options, NBC_FILE_KEY, &b, l->err))
		return false;
	bio = BIO_new_mem_buf(b.ptr, (int)b.len);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, on_password, l);
	ok = key != NULL && SSL_CTX_use_PrivateKey(l->ssl, key) == 1 &&
	    SSL_CTX_check_private_key(l->ssl) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	nbc_tls_bytes_free(&b);
	return ok || fail_key(l);
}

static bool
load_client(struct loader *l)
{
	bool has_cert = path_of(l, NBC_FILE_CERT) != NULL;

	if (has_cert != (path_of(l, NBC_FILE_KEY) != NULL))
		return nbc_fail(l->err, NBC_USAGE,
		    "a client certificate and its key go together; %s is missing",
		    has_cert ? "the key" : "the certificate");
	return !has_cert || (load_each(l, NBC_FILE_CERT, "a certificate", add_client) &&
	    load_key(l));
}

/* ---- pre-shared keys ----------------------------------------------------- */

/* One line is "user:key", the key in hexadecimal.  True when it is the one. */
static bool
take_psk_line(struct nbc_tls *tls, char *line, const char *user)
{
	char *colon = strchr(line, ':');
	size_t len;

	if (line[0] == '#' || colon == NULL)
		return false;
	*colon = '\0';
	if (user != NULL && strcmp(line, user) != 0)
		return false;
	colon[1 + strcspn(colon + 1, " \t\r\n")] = '\0';
	if (OPENSSL_hexstr2buf_ex(tls->psk, sizeof tls->psk, &len, colon + 1,
		'\0') != 1 || len == 0)
		return false;
	tls->psk_len = (unsigned)len;
	tls->psk_user = strdup(line);
	return tls->psk_user != NULL;
}

static bool
load_psk(struct loader *l)
{
	const char *user = l->context->psk_user;
	struct tls_bytes b;
	char *line, *rest;
	bool found = false;

	if (!nbc_tls_read(l->context, l->options, NBC_FILE_PSK, &b, l->err))
		return false;
	for (line = strtok_r((char *)b.ptr, "\n", &rest); line != NULL && !found;
	    line = strtok_r(NULL, "\n", &rest))
		found = take_psk_line(l->tls, line, user);
	nbc_tls_bytes_free(&b);
	return found || nbc_fail(l->err, NBC_USAGE,
	    "%s: no line \"%s:key in hexadecimal\"", path_of(l, NBC_FILE_PSK),
	    user != NULL ? user : "user");
}

/* ---- the whole ----------------------------------------------------------- */

bool
nbc_tls_load(struct nbc_tls *tls, SSL_CTX *ssl, const struct nbc_options *options,
    char **typed, struct nbc_error *err)
{
	struct loader l = { .tls = tls, .ssl = ssl, .context = tls->context,
		.options = options, .typed = typed, .err = err };

	ERR_clear_error();
	if (tls->context->type == NBC_TLS_PSK)
		return load_psk(&l);
	return load_roots(&l) && load_lists(&l) && load_client(&l);
}
