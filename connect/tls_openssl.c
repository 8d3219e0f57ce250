/*
 * tls_openssl.c - TLS by OpenSSL, over memory instead of a socket.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A context holds names of files, and each session reads these (tls_material.c).
 * Certificates are checked against the system's roots or the user's CA, and against
 * the host name; with a pre-shared key no certificate is accepted at all.  TLS 1.2 is
 * the minimum, and there is no renegotiation and no resumption.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls_session.h"

/* More than any record has around its plain bytes: header, nonce, tag, padding. */
#define RECORD_OVERHEAD	256u

/* ---- errors -------------------------------------------------------------- */

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
	    "here\n%s", subject, issuer, tls->context->file[NBC_FILE_CA].path != NULL ?
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

static bool
has_certificate(const struct nbc_tls *tls)
{
	return tls->context->file[NBC_FILE_CERT].path != NULL;
}

static void
explain_client_certificate(struct nbc_tls *tls)
{
	if (has_certificate(tls))
		explain(tls, "the server rejects this client's certificate (%s)\n"
		    "Is it signed by the CA that the server trusts, and still valid?",
		    nbc_openssl_reason());
	else
		explain(tls, "the server wants a certificate of this client (%s)\n"
		    "Give a certificate and its key.", nbc_openssl_reason());
}

static void
explain_psk(struct nbc_tls *tls)
{
	explain(tls, "the server rejects the pre-shared key of user \"%s\" (%s)\n"
	    "Does the server know this user, with the same key?",
	    tls->psk_user, nbc_openssl_reason());
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

/* From 3.2 on OpenSSL says last of all that a record has failed, and why before that.
 * The library may be newer than its headers. */
#ifndef SSL_R_RECORD_LAYER_FAILURE
#define SSL_R_RECORD_LAYER_FAILURE	313
#endif
static bool
is_about_any_record(unsigned long error)
{
	return ERR_GET_LIB(error) == ERR_LIB_SSL &&
	    ERR_GET_REASON(error) == SSL_R_RECORD_LAYER_FAILURE;
}

/* Why it failed becomes the last error. */
static void
end_with_the_reason(void)
{
	unsigned long error, why = 0;

	if (!is_about_any_record(ERR_peek_last_error()))
		return;
	while ((error = ERR_get_error()) != 0)
		if (why == 0 || !is_about_any_record(error))
			why = error;
	ERR_raise(ERR_GET_LIB(why), ERR_GET_REASON(why));
}

static void
explain_failure(struct nbc_tls *tls)
{
	int reason;

	end_with_the_reason();
	reason = ERR_GET_REASON(ERR_peek_last_error());
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
		explain(tls, "%s", nbc_openssl_reason());
}

void
nbc_tls_lost(struct nbc_tls *tls)
{
	if (tls->context->type == NBC_TLS_PSK)
		explain(tls, "the server closed the connection in the TLS handshake\n"
		    "Does it know user \"%s\", with the same key?", tls->psk_user);
	else if (has_certificate(tls))
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

/* ---- a session's OpenSSL context ----------------------------------------- */

static unsigned
on_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
    unsigned char *psk, unsigned psk_max)
{
	const struct nbc_tls *tls = SSL_get_app_data(ssl);

	(void)hint;
	if (tls->psk_len > psk_max || strlen(tls->psk_user) >= identity_max)
		return 0;
	strcpy(identity, tls->psk_user);
	memcpy(psk, tls->psk, tls->psk_len);
	return tls->psk_len;
}

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

/* A handshake message or the header of a record, in either direction, as OpenSSL tells
 * debuggers.  The records of the handshake have other keys. */
static void
on_message(int writing, int version, int type, const void *buf, size_t len, SSL *ssl,
    void *arg)
{
	struct nbc_tls *tls = SSL_get_app_data(ssl);
	const uint8_t *message = buf;

	(void)version;
	(void)arg;
	if (type == SSL3_RT_HANDSHAKE && len > 0 && message[0] == SSL3_MT_KEY_UPDATE)
		tls->keys_changed = true;
	if (type == SSL3_RT_HEADER && tls->is_up)
		(writing ? &tls->tx : &tls->rx)->records++;
}

/* No suite that would let a certificate replace the key; the store of trusted roots
 * stays empty for the same reason. */
static bool
allow_psk_only(SSL_CTX *ssl)
{
	SSL_CTX_set_psk_client_callback(ssl, on_psk);
	return SSL_CTX_set_cipher_list(ssl, "kECDHEPSK:kDHEPSK:kPSK") == 1;
}

/* NULL: out of memory, or no PSK in this OpenSSL. */
static SSL_CTX *
new_ssl_context(const struct nbc_tls_context *c)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());

	if (ssl == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ssl, on_secret);
	SSL_CTX_set_msg_callback(ssl, on_message);
	if (c->no_verify)
		SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	else
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
	if (c->type != NBC_TLS_PSK || allow_psk_only(ssl))
		return ssl;
	SSL_CTX_free(ssl);
	return NULL;
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

/* With what the files have now. */
static SSL *
new_ssl(struct nbc_tls *tls, const struct nbc_options *options, char **typed,
    struct nbc_error *err)
{
	SSL_CTX *context = new_ssl_context(tls->context);
	SSL *ssl = NULL;

	if (context == NULL) {
		nbc_fail(err, NBC_INTERNAL, "cannot start TLS: %s",
		    nbc_openssl_reason());
		return NULL;
	}
	if (nbc_tls_load(tls, context, options, typed, err)) {
		ssl = SSL_new(context);
		if (ssl == NULL)
			nbc_fail_no_memory(err);
	}
	SSL_CTX_free(context);
	return ssl;
}

static struct nbc_tls *
new_session(const struct nbc_tls_context *context, const struct nbc_options *options,
    char **typed, struct nbc_error *err)
{
	struct nbc_tls *tls = calloc(1, sizeof *tls);

	if (tls == NULL) {
		nbc_fail_no_memory(err);
		return NULL;
	}
	tls->context = context;
	tls->for_kernel = options->allow_ktls;
	tls->ssl = new_ssl(tls, options, typed, err);
	if (tls->ssl == NULL) {
		nbc_tls_free(tls);
		return NULL;
	}
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_connect_state(tls->ssl);
	if (nbc_tls_ends_attach(&tls->ends, tls->ssl) &&
	    (context->type != NBC_TLS_X509 || set_host(tls->ssl, context->host_name)))
		return tls;
	nbc_fail_no_memory(err);
	nbc_tls_free(tls);
	return NULL;
}

struct nbc_tls *
nbc_tls_new(const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_error *err)
{
	return new_session(context, options, NULL, err);
}

void
nbc_tls_free(struct nbc_tls *tls)
{
	if (tls == NULL)
		return;
	SSL_free(tls->ssl);
	nbc_tls_ends_free(&tls->ends);
	free(tls->psk_user);
	OPENSSL_cleanse(tls, sizeof *tls);
	free(tls);
}

/* ---- the context --------------------------------------------------------- */

/* Where there is no host name, it is this machine that must prove itself. */
static bool
load_host_name(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	const char *name = t->tls_hostname;

	if (name == NULL)
		name = t->family == NBC_TCP ? t->host : "localhost";
	if (name[0] == '\0' || strlen(name) > TLSEXT_MAXLEN_host_name)
		return nbc_fail(err, NBC_USAGE, "\"%s\" cannot be a TLS host name",
		    name);
	c->host_name = strdup(name);
	return c->host_name != NULL || nbc_fail_no_memory(err);
}

static bool
load_psk_user(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	if (t->psk_file == NULL)
		return nbc_fail(err, NBC_USAGE,
		    "TLS with a pre-shared key needs a PSK file (tls-psk-file)");
	if (t->psk_user == NULL)
		return true;
	c->psk_user = strdup(t->psk_user);
	return c->psk_user != NULL || nbc_fail_no_memory(err);
}

/* What is wrong with the files is to be seen now: a session is made and thrown away. */
static bool
try_session(struct nbc_tls_context *c, struct nbc_error *err)
{
	static const struct nbc_options here;
	struct nbc_tls *tls = new_session(c, &here, &c->password, err);

	nbc_tls_free(tls);
	return tls != NULL;
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
	c->type = t->tls_type;
	/* A pre-shared key is the check; there is nothing else to leave out. */
	c->no_verify = t->tls_no_verify && t->tls_type == NBC_TLS_X509;
	if (!(c->type == NBC_TLS_PSK ? load_psk_user(c, t, err) :
		load_host_name(c, t, err)) || !nbc_tls_files_init(c, t, err) ||
	    !try_session(c, err)) {
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
	nbc_tls_files_free(c);
	free(c->host_name);
	free(c->psk_user);
	if (c->password != NULL)
		OPENSSL_clear_free(c->password, strlen(c->password));
	free(c);
}

/* SSL_get_error must see none of before.  OpenSSL empties sixteen places, 600
 * instructions, of which mostly all are empty. */
static void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* ---- the handshake ------------------------------------------------------- */

enum nbc_tls_step
nbc_tls_handshake(struct nbc_tls *tls)
{
	int n;

	forget_errors();
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
	int n = BIO_read(tls->ends.later, out, max > INT_MAX ? INT_MAX : (int)max);

	return n > 0 ? (size_t)n : 0;
}

void
nbc_tls_shutdown(struct nbc_tls *tls)
{
	forget_errors();
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

/* One record of plain, and what TLS puts before it; *used: how much of out it took. */
static bool
seal_record(struct nbc_tls *tls, const uint8_t *plain, size_t len, uint8_t *out,
    size_t room, size_t *used)
{
	int n;

	tls->ends.out = out;
	tls->ends.out_room = room;
	forget_errors();
	n = SSL_write(tls->ssl, plain, (int)len);
	*used = room - tls->ends.out_room;
	tls->ends.out_room = 0;
	*used += nbc_tls_output(tls, out + *used, room - *used);
	if (n != (int)len) {
		explain_failure(tls);
		return false;
	}
	return true;
}

long
nbc_tls_seal(struct nbc_tls *tls, const struct iovec *iov, unsigned iovcnt,
    uint8_t *out, size_t out_max, size_t *out_len)
{
	struct gather g = { iov, iovcnt, 0 };
	const uint8_t *plain;
	size_t len, room, used, taken = 0;
	bool ok = true;

	*out_len = nbc_tls_output(tls, out, out_max);
	while (ok && out_max - *out_len > RECORD_OVERHEAD) {
		room = out_max - *out_len - RECORD_OVERHEAD;
		if (room > TLS_STAGE_MAX)
			room = TLS_STAGE_MAX;
		plain = gather(&g, tls->stage, room, &len);
		if (len == 0)
			break;
		ok = seal_record(tls, plain, len, out + *out_len, out_max - *out_len,
		    &used);
		*out_len += used;
		taken += len;
	}
	return ok ? (long)taken : -1;
}

/* ---- opening ------------------------------------------------------------- */

int
nbc_tls_feed(struct nbc_tls *tls, const uint8_t *buf, size_t len)
{
	tls->ends.in = buf;
	tls->ends.in_len = len;
	return 0;
}

long
nbc_tls_open(struct nbc_tls *tls, uint8_t *buf, size_t size)
{
	int n;

	/* To ask for more costs 1200 instructions. */
	if (tls->opened && tls->ends.in_len == 0 && SSL_has_pending(tls->ssl) == 0)
		return 0;
	forget_errors();
	n = SSL_read(tls->ssl, buf, size > INT_MAX ? INT_MAX : (int)size);
	tls->opened = n > 0;
	if (tls->opened)
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
