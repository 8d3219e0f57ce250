/*
 * tls_openssl.c - TLS by OpenSSL, over memory instead of a socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A context holds what was read from files, once, so that a daemon can make new
 * sessions without reading a key again.  Certificates are checked against the
 * system's roots or the user's CA, and against the host name; with a pre-shared
 * key no certificate is accepted at all.  TLS 1.2 is the minimum, and there is no
 * renegotiation and no resumption.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls_session.h"

/* More than any record has around its plain bytes: header, nonce, tag, padding. */
#define RECORD_OVERHEAD	256u

#define PSK_MAX		256u

struct nbc_tls_context {
	SSL_CTX		*ssl;
	enum nbc_tls_type type;
	bool		no_verify;
	bool		has_ca_file, has_cert;
	char		*host_name;	/* what the certificate must name; X509 */
	struct tls_crl	*crl;		/* NULL: none */
	char		*psk_user;
	uint8_t		psk[PSK_MAX];
	unsigned	psk_len;
};

/* ---- errors -------------------------------------------------------------- */

static const char *
openssl_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	return reason != NULL ? reason : "unknown reason";
}

static bool
fail_file(struct nbc_error *err, const char *what, const char *file)
{
	return nbc_fail(err, NBC_USAGE, "%s: not usable as %s: %s", file, what,
	    openssl_reason());
}

/* OpenSSL's own words for a missing file are hard to read. */
static bool
check_readable(const char *file, const char *what, struct nbc_error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return nbc_fail(err, NBC_USAGE, "%s: cannot read %s: %s", file, what,
		    strerror(errno));
	close(fd);
	return true;
}

/* The first reason is the one that counts. */
static void NBC_PRINTF(2, 3)
explain(struct nbc_tls *tls, const char *fmt, ...)
{
	va_list args;

	if (tls->error[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(tls->error, sizeof tls->error, fmt, args);
	va_end(args);
}

/* ---- a certificate that is not right ------------------------------------- */

/* A name as text; RFC 2253 form escapes control bytes. */
static void
print_name(char *buf, size_t size, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int len = 0;

	if (bio != NULL) {
		X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
		len = BIO_read(bio, buf, (int)size - 1);
		BIO_free(bio);
	}
	buf[len > 0 ? len : 0] = '\0';
}

static void
print_time(char *buf, size_t size, const ASN1_TIME *time)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int len = 0;

	if (bio != NULL) {
		ASN1_TIME_print(bio, time);
		len = BIO_read(bio, buf, (int)size - 1);
		BIO_free(bio);
	}
	buf[len > 0 ? len : 0] = '\0';
}

static void
add_text(char *buf, size_t size, const char *text)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%s%s", used > 0 ? ", " : "", text);
}

static void
add_alt_name(char *buf, size_t size, const GENERAL_NAME *name)
{
	char text[256];
	const ASN1_OCTET_STRING *ip;
	struct nbe_text dns;

	if (name->type == GEN_DNS) {
		dns.ptr = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
		dns.len = (uint32_t)ASN1_STRING_length(name->d.dNSName);
		nbc_printable(text, sizeof text, dns);
		add_text(buf, size, text);
	} else if (name->type == GEN_IPADD) {
		ip = name->d.iPAddress;
		if (inet_ntop(ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6,
			ASN1_STRING_get0_data(ip), text, sizeof text) != NULL &&
		    (ASN1_STRING_length(ip) == 4 || ASN1_STRING_length(ip) == 16))
			add_text(buf, size, text);
	}
}

/* The hosts that a certificate is for. */
static void
print_hosts(char *buf, size_t size, const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int i;

	buf[0] = '\0';
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_alt_name(buf, size, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	if (buf[0] == '\0')
		print_name(buf, size, X509_get_subject_name(cert));
}

static void
explain_unknown_issuer(struct nbc_tls *tls, const char *subject, const X509 *cert)
{
	char issuer[256];

	print_name(issuer, sizeof issuer, X509_get_issuer_name(cert));
	explain(tls, "the certificate \"%s\" is signed by \"%s\", which is not trusted "
	    "here\n%s", subject, issuer, tls->context->has_ca_file ?
	    "The CA file given does not hold that authority's certificate." :
	    "Name the CA's certificate, if it is not one of the system's.");
}

/* No list of an issuer, or none that is valid now. */
static void
explain_crl(struct nbc_tls *tls, const char *subject, const X509 *cert,
    const X509_CRL *crl)
{
	char issuer[256], time[64];

	print_name(issuer, sizeof issuer, X509_get_issuer_name(cert));
	if (crl == NULL) {
		explain(tls, "the certificate \"%s\" may be revoked: there is no "
		    "revocation list of \"%s\"\nAdd that list to the file, which must "
		    "have one of each authority.", subject, issuer);
		return;
	}
	print_time(time, sizeof time, X509_CRL_get0_nextUpdate(crl));
	explain(tls, "the certificate \"%s\" may be revoked: the revocation list of "
	    "\"%s\" expired on %s\nGet a newer one, or set this machine's clock.",
	    subject, issuer, time);
}

static void
explain_certificate(struct nbc_tls *tls, int error, const X509 *cert,
    const X509_CRL *crl)
{
	char subject[256], detail[512];

	print_name(subject, sizeof subject, X509_get_subject_name(cert));
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		print_time(detail, sizeof detail, X509_get0_notAfter(cert));
		explain(tls, "the certificate \"%s\" expired on %s\n"
		    "Renew it, or set this machine's clock.", subject, detail);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		print_time(detail, sizeof detail, X509_get0_notBefore(cert));
		explain(tls, "the certificate \"%s\" is not valid before %s\n"
		    "Is this machine's clock right?", subject, detail);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		explain(tls, "the certificate \"%s\" is self-signed\n"
		    "If it is the right one, name it as the CA's.", subject);
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		explain_unknown_issuer(tls, subject, cert);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		print_hosts(detail, sizeof detail, cert);
		explain(tls, "the certificate \"%s\" is for %s, not for %s\n"
		    "Connect by that name, or give it as the TLS host name.", subject,
		    detail, tls->context->host_name);
		break;
	case X509_V_ERR_CERT_REVOKED:
		explain(tls, "the certificate \"%s\" was revoked\n"
		    "Do not trust this server until it has another one.", subject);
		break;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		explain_crl(tls, subject, cert, NULL);
		break;
	case X509_V_ERR_CRL_HAS_EXPIRED:
		explain_crl(tls, subject, cert, crl);
		break;
	default:
		explain(tls, "the certificate \"%s\": %s", subject,
		    X509_verify_cert_error_string(error));
		break;
	}
}

static int
on_verify(int ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	struct nbc_tls *tls = SSL_get_app_data(ssl);

	if (tls->context->type == NBC_TLS_PSK)
		explain(tls, "the server answers with a certificate\n"
		    "It does not take pre-shared keys; use certificates (x509).");
	else if (!ok)
		explain_certificate(tls, X509_STORE_CTX_get_error(store),
		    X509_STORE_CTX_get_current_cert(store),
		    X509_STORE_CTX_get0_current_crl(store));
	return ok;
}

/* ---- other failures ------------------------------------------------------ */

static void
explain_client_certificate(struct nbc_tls *tls)
{
	if (tls->context->has_cert)
		explain(tls, "the server rejects this client's certificate (%s)\n"
		    "Is it signed by the CA that the server trusts, and still valid?",
		    openssl_reason());
	else
		explain(tls, "the server wants a certificate of this client (%s)\n"
		    "Give a certificate and its key.", openssl_reason());
}

static void
explain_psk(struct nbc_tls *tls)
{
	explain(tls, "the server rejects the pre-shared key of user \"%s\" (%s)\n"
	    "Does the server know this user, with the same key?",
	    tls->context->psk_user, openssl_reason());
}

static bool
is_alert_about_certificate(int reason)
{
	switch (reason) {
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		return true;
	default:
		return false;
	}
}

static bool
is_about_version(int reason)
{
	return reason == SSL_R_UNSUPPORTED_PROTOCOL ||
	    reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
	    reason == SSL_R_VERSION_TOO_LOW;
}

/* OpenSSL numbers the alerts that came from the peer in this way. */
static bool
is_alert(int reason)
{
	return reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255;
}

static void
explain_failure(struct nbc_tls *tls)
{
	int reason = ERR_GET_REASON(ERR_peek_last_error());

	if (is_about_version(reason))
		explain(tls, "the server offers no TLS 1.2 or newer");
	else if (tls->context->type == NBC_TLS_PSK &&
	    (is_alert(reason) || reason == SSL_R_CERTIFICATE_VERIFY_FAILED))
		explain_psk(tls);
	else if (is_alert_about_certificate(reason))
		explain_client_certificate(tls);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER)
		explain(tls, "the server answers with something that is not TLS");
	else
		explain(tls, "%s", openssl_reason());
}

void
nbc_tls_lost(struct nbc_tls *tls)
{
	const struct nbc_tls_context *c = tls->context;

	if (c->type == NBC_TLS_PSK)
		explain(tls, "the server closed the connection in the TLS handshake\n"
		    "Does it know user \"%s\", with the same key?", c->psk_user);
	else if (c->has_cert)
		explain(tls, "the server closed the connection in the TLS handshake\n"
		    "Does it trust this client's certificate?");
	else
		explain(tls, "the server closed the connection in the TLS handshake\n"
		    "Does it have a certificate? "
		    "Does it want a certificate of this client?");
}

const char *
nbc_tls_error(const struct nbc_tls *tls)
{
	return tls->error[0] != '\0' ? tls->error : "the TLS session broke";
}

/* ---- pre-shared keys ----------------------------------------------------- */

static unsigned
on_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
    unsigned char *psk, unsigned psk_max)
{
	const struct nbc_tls *tls = SSL_get_app_data(ssl);
	const struct nbc_tls_context *c = tls->context;

	(void)hint;
	if (c->psk_len > psk_max || strlen(c->psk_user) >= identity_max)
		return 0;
	strcpy(identity, c->psk_user);
	memcpy(psk, c->psk, c->psk_len);
	return c->psk_len;
}

/* One line is "user:key", the key in hexadecimal.  True when it is the one. */
static bool
take_psk_line(struct nbc_tls_context *c, char *line, const char *user)
{
	char *colon = strchr(line, ':');
	size_t len;

	if (line[0] == '#' || colon == NULL)
		return false;
	*colon = '\0';
	if (user != NULL && strcmp(line, user) != 0)
		return false;
	colon[1 + strcspn(colon + 1, " \t\r\n")] = '\0';
	if (OPENSSL_hexstr2buf_ex(c->psk, sizeof c->psk, &len, colon + 1, '\0') != 1 ||
	    len == 0)
		return false;
	c->psk_len = (unsigned)len;
	c->psk_user = strdup(line);
	return c->psk_user != NULL;
}

static bool
read_psk_file(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	char line[1024];
	FILE *f = fopen(t->psk_file, "re");
	bool found = false;

	if (f == NULL)
		return nbc_fail(err, NBC_USAGE, "%s: cannot read the PSK file: %s",
		    t->psk_file, strerror(errno));
	while (!found && fgets(line, sizeof line, f) != NULL)
		found = take_psk_line(c, line, t->psk_user);
	fclose(f);
	OPENSSL_cleanse(line, sizeof line);
	if (found)
		return true;
	return nbc_fail(err, NBC_USAGE, "%s: no line \"%s:key in hexadecimal\"",
	    t->psk_file, t->psk_user != NULL ? t->psk_user : "user");
}

static bool
load_psk(struct nbc_tls_context *c, const struct nbc_target *t, struct nbc_error *err)
{
	if (t->psk_file == NULL)
		return nbc_fail(err, NBC_USAGE,
		    "TLS with a pre-shared key needs a PSK file (tls-psk-file)");
	if (!read_psk_file(c, t, err))
		return false;
	/* No suite that would let a certificate replace the key; the store of
	 * trusted roots stays empty for the same reason. */
	SSL_CTX_set_psk_client_callback(c->ssl, on_psk);
	if (SSL_CTX_set_cipher_list(c->ssl, "kECDHEPSK:kDHEPSK:kPSK") != 1)
		return nbc_fail(err, NBC_INTERNAL, "this OpenSSL has no PSK: %s",
		    openssl_reason());
	return true;
}

/* ---- certificates -------------------------------------------------------- */

struct password_source {
	const struct nbc_target *target;
	bool	asked, no_terminal;
};

static int
read_password_file(char *buf, int size, const char *file)
{
	FILE *f = fopen(file, "re");
	char *line;

	if (f == NULL)
		return -1;
	line = fgets(buf, size, f);
	fclose(f);
	if (line == NULL)
		return -1;
	buf[strcspn(buf, "\r\n")] = '\0';
	return (int)strlen(buf);
}

static int
on_password(char *buf, int size, int writing, void *arg)
{
	struct password_source *source = arg;
	const struct nbc_target *t = source->target;
	char prompt[512];
	int fd;

	(void)writing;
	source->asked = true;
	if (t->key_password_file != NULL)
		return read_password_file(buf, size, t->key_password_file);
	fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		source->no_terminal = true;
		return -1;
	}
	close(fd);
	snprintf(prompt, sizeof prompt, "Password of %s: ", t->key_file);
	if (EVP_read_pw_string(buf, size, prompt, 0) != 0)
		return -1;
	return (int)strlen(buf);
}

static bool
fail_key(const struct password_source *source, struct nbc_error *err)
{
	const struct nbc_target *t = source->target;

	if (source->no_terminal)
		return nbc_fail(err, NBC_USAGE, "%s: the key is encrypted, and there "
		    "is no terminal to ask for its password\n"
		    "Name a file that holds it.", t->key_file);
	if (source->asked)
		return nbc_fail(err, NBC_USAGE, "%s: this is not the key's password",
		    t->key_file);
	if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		return nbc_fail(err, NBC_USAGE, "%s: not the key of %s", t->key_file,
		    t->cert_file);
	return fail_file(err, "a key", t->key_file);
}

static bool
load_key(struct nbc_tls_context *c, const struct nbc_target *t, struct nbc_error *err)
{
	struct password_source source = { .target = t };
	bool ok;

	if (!check_readable(t->key_file, "the key", err))
		return false;
	if (t->key_password_file != NULL &&
	    !check_readable(t->key_password_file, "the key's password", err))
		return false;
	SSL_CTX_set_default_passwd_cb(c->ssl, on_password);
	SSL_CTX_set_default_passwd_cb_userdata(c->ssl, &source);
	ok = SSL_CTX_use_PrivateKey_file(c->ssl, t->key_file, SSL_FILETYPE_PEM) == 1;
	SSL_CTX_set_default_passwd_cb_userdata(c->ssl, NULL);
	SSL_CTX_set_default_passwd_cb(c->ssl, NULL);
	if (!ok)
		return fail_key(&source, err);
	if (SSL_CTX_check_private_key(c->ssl) != 1)
		return nbc_fail(err, NBC_USAGE, "%s: not the key of %s", t->key_file,
		    t->cert_file);
	return true;
}

static bool
load_client_certificate(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	if (t->cert_file == NULL && t->key_file == NULL)
		return true;
	if (t->cert_file == NULL || t->key_file == NULL)
		return nbc_fail(err, NBC_USAGE,
		    "a client certificate and its key go together; %s is missing",
		    t->cert_file == NULL ? "the certificate" : "the key");
	if (!check_readable(t->cert_file, "the certificate", err))
		return false;
	if (SSL_CTX_use_certificate_chain_file(c->ssl, t->cert_file) != 1)
		return fail_file(err, "a certificate", t->cert_file);
	c->has_cert = true;
	return load_key(c, t, err);
}

static bool
load_roots(struct nbc_tls_context *c, const struct nbc_target *t, struct nbc_error *err)
{
	if (t->ca_file == NULL)
		return SSL_CTX_set_default_verify_paths(c->ssl) == 1 ||
		    nbc_fail(err, NBC_INTERNAL, "cannot load the system's roots: %s",
			openssl_reason());
	if (!check_readable(t->ca_file, "the CA's certificate", err))
		return false;
	c->has_ca_file = true;
	return SSL_CTX_load_verify_file(c->ssl, t->ca_file) == 1 ||
	    fail_file(err, "a CA's certificate", t->ca_file);
}

static bool
load_crl(struct nbc_tls_context *c, const struct nbc_target *t, struct nbc_error *err)
{
	if (t->crl_file == NULL)
		return true;
	c->crl = nbc_crl_load(c->ssl, t->crl_file, err);
	return c->crl != NULL;
}

/* Where there is no host name, it is this machine that must prove itself. */
static bool
load_x509(struct nbc_tls_context *c, const struct nbc_target *t, struct nbc_error *err)
{
	const char *name = t->tls_hostname;

	if (name == NULL)
		name = t->family == NBC_TCP ? t->host : "localhost";
	if (name[0] == '\0' || strlen(name) > TLSEXT_MAXLEN_host_name)
		return nbc_fail(err, NBC_USAGE, "\"%s\" cannot be a TLS host name",
		    name);
	c->host_name = strdup(name);
	if (c->host_name == NULL)
		return nbc_fail_no_memory(err);
	return load_roots(c, t, err) && load_crl(c, t, err) &&
	    load_client_certificate(c, t, err);
}

/* ---- the context --------------------------------------------------------- */

/* The secrets that the kernel is to get, as OpenSSL logs them for debuggers:
 * "LABEL client-random secret", in hexadecimal. */
static void
on_secret(const SSL *ssl, const char *line)
{
	struct nbc_tls *tls = SSL_get_app_data(ssl);
	struct tls_direction *d;
	const char *secret = strrchr(line, ' ');

	if (!tls->for_kernel || secret == NULL)
		return;
	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
		d = &tls->tx;
	else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
		d = &tls->rx;
	else
		return;
	if (OPENSSL_hexstr2buf_ex(d->secret, sizeof d->secret, &d->secret_len,
		secret + 1, '\0') != 1)
		d->secret_len = 0;
}

static bool
make_ssl_context(struct nbc_tls_context *c, struct nbc_error *err)
{
	c->ssl = SSL_CTX_new(TLS_client_method());
	if (c->ssl == NULL)
		return nbc_fail_no_memory(err);
	SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(c->ssl, on_secret);
	if (c->no_verify)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
	else
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, on_verify);
	return true;
}

bool
nbc_tls_context_load(struct nbc_tls_context **context, const struct nbc_target *t,
    struct nbc_error *err)
{
	struct nbc_tls_context *c;

	*context = NULL;
	if (t->tls == NBE_TLS_OFF)
		return true;
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return nbc_fail_no_memory(err);
	ERR_clear_error();
	c->type = t->tls_type;
	/* A pre-shared key is the check; there is nothing else to leave out. */
	c->no_verify = t->tls_no_verify && t->tls_type == NBC_TLS_X509;
	if (!make_ssl_context(c, err) || !(c->type == NBC_TLS_PSK ?
		load_psk(c, t, err) : load_x509(c, t, err))) {
		nbc_tls_context_free(c);
		return false;
	}
	*context = c;
	return true;
}

void
nbc_tls_context_free(struct nbc_tls_context *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ssl);
	free(c->host_name);
	nbc_crl_free(c->crl);
	free(c->psk_user);
	OPENSSL_cleanse(c->psk, sizeof c->psk);
	free(c);
}

/* ---- a session ----------------------------------------------------------- */

static bool
set_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	/* SNI has no addresses (RFC 6066, 3). */
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	/* OpenSSL's macro casts const away, which -Wcast-qual sees. */
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	    SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)host) == 1;
}

struct nbc_tls *
nbc_tls_new(const struct nbc_tls_context *context, bool for_kernel)
{
	struct nbc_tls *tls = calloc(1, sizeof *tls);

	if (tls == NULL)
		return NULL;
	tls->context = context;
	tls->for_kernel = for_kernel;
	if (context->crl != NULL)
		nbc_crl_refresh(context->crl);
	tls->ssl = SSL_new(context->ssl);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL)
		goto fail;
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_connect_state(tls->ssl);
	if (context->type == NBC_TLS_X509 && !set_host(tls->ssl, context->host_name)) {
		nbc_tls_free(tls);
		return NULL;
	}
	return tls;
fail:
	BIO_free(tls->in);
	BIO_free(tls->out);
	nbc_tls_free(tls);
	return NULL;
}

void
nbc_tls_free(struct nbc_tls *tls)
{
	if (tls == NULL)
		return;
	SSL_free(tls->ssl);
	OPENSSL_cleanse(tls, sizeof *tls);
	free(tls);
}

enum nbc_tls_step
nbc_tls_handshake(struct nbc_tls *tls)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(tls->ssl);
	if (n == 1) {
		tls->is_up = true;
		return NBC_TLS_UP;
	}
	if (SSL_get_error(tls->ssl, n) == SSL_ERROR_WANT_READ)
		return NBC_TLS_MORE;
	explain_failure(tls);
	return NBC_TLS_BROKEN;
}

size_t
nbc_tls_output(struct nbc_tls *tls, uint8_t *out, size_t max)
{
	int n = BIO_read(tls->out, out, max > INT_MAX ? INT_MAX : (int)max);

	return n > 0 ? (size_t)n : 0;
}

void
nbc_tls_shutdown(struct nbc_tls *tls)
{
	ERR_clear_error();
	if (tls->is_up)
		(void)SSL_shutdown(tls->ssl);
}

size_t
nbc_tls_sealed_max(size_t len)
{
	/* One more record may be cut short by the end of a segment, and one may
	 * be TLS's own. */
	return len + (len / TLS_STAGE_MAX + 3) * RECORD_OVERHEAD;
}

/* ---- sealing ------------------------------------------------------------- */

/* A place in a gather list. */
struct gather {
	const struct iovec *iov;
	unsigned left;
	size_t	used;		/* of iov[0] */
};

/* Up to max bytes as one piece: in place where that gives a whole record, else
 * copied together, so that a header and its payload share a record. */
static const uint8_t *
gather(struct gather *g, uint8_t *stage, size_t max, size_t *len)
{
	const uint8_t *at;
	size_t n;

	*len = 0;
	while (g->left > 0 && *len < max) {
		n = g->iov->iov_len - g->used;
		at = (const uint8_t *)g->iov->iov_base + g->used;
		if (n > max - *len)
			n = max - *len;
		g->used += n;
		if (g->used == g->iov->iov_len) {
			g->iov++;
			g->left--;
			g->used = 0;
		}
		if (n == max) {
			*len = n;
			return at;
		}
		if (n > 0)
			memcpy(stage + *len, at, n);
		*len += n;
	}
	return stage;
}

static bool
seal_record(struct nbc_tls *tls, const uint8_t *plain, size_t len)
{
	int n;

	ERR_clear_error();
	n = SSL_write(tls->ssl, plain, (int)len);
	if (n != (int)len) {
		explain_failure(tls);
		return false;
	}
	tls->tx.records++;
	return true;
}

long
nbc_tls_seal(struct nbc_tls *tls, const struct iovec *iov, unsigned iovcnt,
    uint8_t *out, size_t out_max, size_t *out_len)
{
	struct gather g = { iov, iovcnt, 0 };
	const uint8_t *plain;
	size_t len, room, taken = 0;

	*out_len = nbc_tls_output(tls, out, out_max);
	while (out_max - *out_len > RECORD_OVERHEAD) {
		room = out_max - *out_len - RECORD_OVERHEAD;
		if (room > TLS_STAGE_MAX)
			room = TLS_STAGE_MAX;
		plain = gather(&g, tls->stage, room, &len);
		if (len == 0)
			break;
		if (!seal_record(tls, plain, len))
			return -1;
		taken += len;
		*out_len += nbc_tls_output(tls, out + *out_len, out_max - *out_len);
	}
	return (long)taken;
}

/* ---- opening ------------------------------------------------------------- */

int
nbc_tls_feed(struct nbc_tls *tls, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		int n = BIO_write(tls->in, buf, len > INT_MAX ? INT_MAX : (int)len);

		if (n <= 0) {
			explain(tls, "out of memory");
			return -1;
		}
		buf += n;
		len -= (size_t)n;
	}
	if (tls->is_up)
		tls->rx.records++;
	return 0;
}

long
nbc_tls_open(struct nbc_tls *tls, uint8_t *buf, size_t size)
{
	int n;

	ERR_clear_error();
	n = SSL_read(tls->ssl, buf, size > INT_MAX ? INT_MAX : (int)size);
	if (n > 0)
		return n;
	switch (SSL_get_error(tls->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -2;
	default:
		explain_failure(tls);
		return -1;
	}
}
