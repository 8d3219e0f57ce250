/*
 * tls_schannel.c - TLS by Windows (Schannel, through SSPI), bytes in and bytes out.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * TLS 1.3 where Schannel has it (Windows 11, Server 2022), else 1.2, and nothing older.
 * Renegotiation is refused, and a session is never resumed.  Keys stay with Windows:
 * there is no hand-over to a kernel.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_schannel.h"

/* More than any record has around its plain bytes. */
#define RECORD_OVERHEAD	512u
#define PLAIN_MAX	16384u

#define REQUEST_FLAGS (ISC_REQ_SEQUENCE_DETECT | ISC_REQ_REPLAY_DETECT | \
    ISC_REQ_CONFIDENTIALITY | ISC_REQ_EXTENDED_ERROR | ISC_REQ_ALLOCATE_MEMORY | \
    ISC_REQ_STREAM | ISC_REQ_USE_SUPPLIED_CREDS | ISC_REQ_MANUAL_CRED_VALIDATION)

/* ---- the context --------------------------------------------------------- */

#define CRED_FLAGS (SCH_CRED_MANUAL_CRED_VALIDATION | SCH_CRED_NO_DEFAULT_CREDS | \
    SCH_USE_STRONG_CRYPTO)

static SECURITY_STATUS
acquire_by(struct nbc_tls_context *c, void *cred)
{
	WCHAR package[] = UNISP_NAME_W;

	return AcquireCredentialsHandleW(NULL, package, SECPKG_CRED_OUTBOUND, NULL,
	    cred, NULL, NULL, &c->credentials, NULL);
}

/* The structure that TLS 1.3 is to be had with, since Windows 10, version 1809. */
static SECURITY_STATUS
acquire_new(struct nbc_tls_context *c)
{
	TLS_PARAMETERS tls = {
		.grbitDisabledProtocols =
		    ~(DWORD)(SP_PROT_TLS1_2_CLIENT | SP_PROT_TLS1_3_CLIENT),
	};
	SCH_CREDENTIALS cred = {
		.dwVersion = SCH_CREDENTIALS_VERSION,
		.cCreds = c->cert != NULL, .paCred = &c->cert, .dwFlags = CRED_FLAGS,
		.cTlsParameters = 1, .pTlsParameters = &tls,
	};

	return acquire_by(c, &cred);
}

static SECURITY_STATUS
acquire_old(struct nbc_tls_context *c)
{
	SCHANNEL_CRED cred = {
		.dwVersion = SCHANNEL_CRED_VERSION,
		.cCreds = c->cert != NULL, .paCred = &c->cert, .dwFlags = CRED_FLAGS,
		.grbitEnabledProtocols = SP_PROT_TLS1_2_CLIENT,
	};

	return acquire_by(c, &cred);
}

static bool
acquire(struct nbc_tls_context *c, struct nbc_error *err)
{
	SECURITY_STATUS status = acquire_new(c);
	char text[256];

	if (status != SEC_E_OK)
		status = acquire_old(c);
	c->has_credentials = status == SEC_E_OK;
	if (c->has_credentials)
		return true;
	nbc_schannel_error_text(text, sizeof text, (DWORD)status);
	return nbc_fail(err, NBC_INTERNAL, "TLS cannot be set up: %s", text);
}

/* False, and the error filled, for what Schannel does not have. */
static bool
check_target(const struct nbc_target *t, struct nbc_error *err)
{
	if (t->tls_type == NBC_TLS_PSK)
		return nbc_fail(err, NBC_USAGE, "Windows has no TLS with pre-shared "
		    "keys; use certificates (x509)");
	if (t->crl_file != NULL)
		return nbc_fail(err, NBC_USAGE, "%s: on Windows no revocation lists "
		    "are taken from files", t->crl_file);
	if ((t->cert_file == NULL) != (t->key_file == NULL))
		return nbc_fail(err, NBC_USAGE,
		    "a client certificate and its key go together; %s is missing",
		    t->cert_file == NULL ? "the certificate" : "the key");
	return true;
}

static bool
load_host_name(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	const char *name = t->tls_hostname != NULL ? t->tls_hostname : t->host;

	if (name[0] == '\0' || strlen(name) > 255)
		return nbc_fail(err, NBC_USAGE, "\"%s\" cannot be a TLS host name",
		    name);
	c->host_name = strdup(name);
	return c->host_name != NULL || nbc_fail_no_memory(err);
}

static bool
load_files(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	if (t->ca_file != NULL) {
		c->roots = nbc_schannel_read_certificates(t->ca_file,
		    "the CA's certificate", err);
		if (c->roots == NULL)
			return false;
	}
	return t->cert_file == NULL ||
	    nbc_schannel_load_client(c, t, err);
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
	c->no_verify = t->tls_no_verify;
	if (!check_target(t, err) || !load_host_name(c, t, err) ||
	    !load_files(c, t, err) || !acquire(c, err)) {
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
	if (c->has_credentials)
		FreeCredentialsHandle(&c->credentials);
	nbc_schannel_free_client(c);
	if (c->roots != NULL)
		CertCloseStore(c->roots, 0);
	free(c->host_name);
	free(c);
}

/* ---- a session ----------------------------------------------------------- */

struct nbc_tls *
nbc_tls_new(const struct nbc_tls_context *context, const struct nbc_options *options,
    struct nbc_error *err)
{
	struct nbc_tls *tls = calloc(1, sizeof *tls);

	(void)options;
	if (tls != NULL)
		tls->context = context;
	else
		nbc_fail_no_memory(err);
	return tls;
}

void
nbc_tls_free(struct nbc_tls *tls)
{
	if (tls == NULL)
		return;
	if (tls->has_session)
		DeleteSecurityContext(&tls->session);
	free(tls->in);
	free(tls->out);
	SecureZeroMemory(tls, sizeof *tls);
	free(tls);
}

const char *
nbc_tls_error(const struct nbc_tls *tls)
{
	return tls->error[0] != '\0' ? tls->error : "the TLS session broke";
}

void
nbc_tls_lost(struct nbc_tls *tls)
{
	if (tls->context->has_cert)
		nbc_schannel_explain(tls, "the server closed the connection in the TLS "
		    "handshake\nDoes it trust this client's certificate?");
	else
		nbc_schannel_explain(tls, "the server closed the connection in the TLS "
		    "handshake\nDoes it have a certificate? "
		    "Does it want a certificate of this client?");
}

static bool
append(uint8_t **buf, size_t *len, size_t *room, const void *bytes, size_t n)
{
	if (*room - *len < n) {
		size_t more = *len + n + 16384;
		uint8_t *grown = realloc(*buf, more);

		if (grown == NULL)
			return false;
		*buf = grown;
		*room = more;
	}
	if (n > 0)
		memcpy(*buf + *len, bytes, n);
	*len += n;
	return true;
}

size_t
nbc_tls_output(struct nbc_tls *tls, uint8_t *out, size_t max)
{
	size_t n = tls->out_len < max ? tls->out_len : max;

	if (n > 0) {
		memcpy(out, tls->out, n);
		memmove(tls->out, tls->out + n, tls->out_len - n);
		tls->out_len -= n;
	}
	return n;
}

/* Forget the first n bytes of what was fed. */
static void
consume(struct nbc_tls *tls, size_t n)
{
	memmove(tls->in, tls->in + n, tls->in_len - n);
	tls->in_len -= n;
}

/* ---- handshake ----------------------------------------------------------- */

static void
explain_status(struct nbc_tls *tls, SECURITY_STATUS status)
{
	char text[256];

	nbc_schannel_error_text(text, sizeof text, (DWORD)status);
	switch (status) {
	case SEC_E_ALGORITHM_MISMATCH:
	case SEC_E_UNSUPPORTED_FUNCTION:
		nbc_schannel_explain(tls, "the server offers no TLS 1.2 or newer with "
		    "a cipher suite of this machine (%s)", text);
		break;
	case SEC_E_CERT_UNKNOWN:
	case SEC_E_NO_CREDENTIALS:
	case SEC_I_INCOMPLETE_CREDENTIALS:
		nbc_schannel_explain(tls, "the server wants another certificate of "
		    "this client (%s)\nGive a certificate and its key.", text);
		break;
	default:
		nbc_schannel_explain(tls, "%s", text);
		break;
	}
}

/* One call of Schannel, at first and at the end without input; *used is what it took of
 * tls->in. */
static SECURITY_STATUS
step(struct nbc_tls *tls, size_t *used)
{
	SecBuffer in[2] = {
		{ (ULONG)tls->in_len, SECBUFFER_TOKEN, tls->in },
		{ 0, SECBUFFER_EMPTY, NULL },
	};
	SecBuffer out[1] = { { 0, SECBUFFER_TOKEN, NULL } };
	SecBufferDesc in_desc = { SECBUFFER_VERSION, 2, in };
	SecBufferDesc out_desc = { SECBUFFER_VERSION, 1, out };
	WCHAR name[256];
	ULONG flags;
	SECURITY_STATUS status;

	MultiByteToWideChar(CP_UTF8, 0, tls->context->host_name, -1, name, 256);
	status = InitializeSecurityContextW(
	    (CredHandle *)(uintptr_t)&tls->context->credentials,
	    tls->has_session ? &tls->session : NULL, name, REQUEST_FLAGS, 0, 0,
	    tls->in_len > 0 ? &in_desc : NULL, 0,
	    tls->has_session ? NULL : &tls->session, &out_desc, &flags, NULL);
	if (!tls->has_session && (status == SEC_I_CONTINUE_NEEDED ||
	    status == SEC_E_OK))
		tls->has_session = true;
	if (out[0].pvBuffer != NULL) {
		if (!append(&tls->out, &tls->out_len, &tls->out_room,
		    out[0].pvBuffer, out[0].cbBuffer))
			status = SEC_E_INSUFFICIENT_MEMORY;
		FreeContextBuffer(out[0].pvBuffer);
	}
	*used = tls->in_len;
	if (in[1].BufferType == SECBUFFER_EXTRA && in[1].cbBuffer <= tls->in_len)
		*used -= in[1].cbBuffer;
	return status;
}

static enum nbc_tls_step
finish_handshake(struct nbc_tls *tls)
{
	SecPkgContext_ConnectionInfo info = { 0 };
	SECURITY_STATUS status;

	if (!nbc_schannel_verify(tls))
		return NBC_TLS_BROKEN;
	status = QueryContextAttributesW(&tls->session, SECPKG_ATTR_STREAM_SIZES,
	    &tls->sizes);
	if (status != SEC_E_OK || tls->sizes.cbMaximumMessage == 0 ||
	    tls->sizes.cbHeader + tls->sizes.cbTrailer > RECORD_OVERHEAD) {
		explain_status(tls, status);
		return NBC_TLS_BROKEN;
	}
	tls->is_1_3 = QueryContextAttributesW(&tls->session,
	    SECPKG_ATTR_CONNECTION_INFO, &info) == SEC_E_OK &&
	    (info.dwProtocol & SP_PROT_TLS1_3_CLIENT) != 0;
	tls->is_up = true;
	return NBC_TLS_UP;
}

enum nbc_tls_step
nbc_tls_handshake(struct nbc_tls *tls)
{
	size_t used;

	for (;;) {
		SECURITY_STATUS status;

		if (tls->has_session && tls->in_len == 0)
			return NBC_TLS_MORE;
		status = step(tls, &used);
		if (status == SEC_E_INCOMPLETE_MESSAGE)
			return NBC_TLS_MORE;
		/* No certificate to give: go on without, and let the server judge. */
		if (status == SEC_I_INCOMPLETE_CREDENTIALS && !tls->context->has_cert)
			continue;
		if (status != SEC_E_OK && status != SEC_I_CONTINUE_NEEDED) {
			explain_status(tls, status);
			return NBC_TLS_BROKEN;
		}
		consume(tls, used);
		if (status == SEC_E_OK)
			return finish_handshake(tls);
	}
}

void
nbc_tls_shutdown(struct nbc_tls *tls)
{
	DWORD what = SCHANNEL_SHUTDOWN;
	SecBuffer token = { sizeof what, SECBUFFER_TOKEN, &what };
	SecBufferDesc desc = { SECBUFFER_VERSION, 1, &token };
	size_t used;

	if (!tls->is_up || tls->is_closed)
		return;
	tls->is_closed = true;
	tls->in_len = 0;
	if (ApplyControlToken(&tls->session, &desc) == SEC_E_OK)
		(void)step(tls, &used);
}

/* ---- sealing ------------------------------------------------------------- */

size_t
nbc_tls_sealed_max(size_t len)
{
	return len + (len / PLAIN_MAX + 3) * RECORD_OVERHEAD;
}

/* Up to max plain bytes of the list from *at on, copied together. */
static size_t
gather(const struct iovec **iov, unsigned *left, size_t *at, uint8_t *to, size_t max)
{
	size_t len = 0;

	while (*left > 0 && len < max) {
		size_t n = (*iov)->iov_len - *at;

		if (n > max - len)
			n = max - len;
		memcpy(to + len, (const uint8_t *)(*iov)->iov_base + *at, n);
		len += n;
		*at += n;
		if (*at == (*iov)->iov_len) {
			(*iov)++;
			(*left)--;
			*at = 0;
		}
	}
	return len;
}

/* stage holds room for the header, then len plain bytes. */
static bool
seal_record(struct nbc_tls *tls, size_t len, uint8_t *out, size_t *out_len)
{
	SecBuffer part[4] = {
		{ tls->sizes.cbHeader, SECBUFFER_STREAM_HEADER, tls->stage },
		{ (ULONG)len, SECBUFFER_DATA, tls->stage + tls->sizes.cbHeader },
		{ tls->sizes.cbTrailer, SECBUFFER_STREAM_TRAILER,
		    tls->stage + tls->sizes.cbHeader + len },
		{ 0, SECBUFFER_EMPTY, NULL },
	};
	SecBufferDesc desc = { SECBUFFER_VERSION, 4, part };
	SECURITY_STATUS status = EncryptMessage(&tls->session, 0, &desc, 0);

	if (status != SEC_E_OK) {
		explain_status(tls, status);
		return false;
	}
	for (unsigned i = 0; i < 3; i++) {
		memcpy(out + *out_len, part[i].pvBuffer, part[i].cbBuffer);
		*out_len += part[i].cbBuffer;
	}
	return true;
}

long
nbc_tls_seal(struct nbc_tls *tls, const struct iovec *iov, unsigned iovcnt,
    uint8_t *out, size_t out_max, size_t *out_len)
{
	size_t at = 0, taken = 0;

	*out_len = nbc_tls_output(tls, out, out_max);
	while (out_max - *out_len > RECORD_OVERHEAD) {
		size_t room = out_max - *out_len - RECORD_OVERHEAD, len;

		if (room > PLAIN_MAX)
			room = PLAIN_MAX;
		if (room > tls->sizes.cbMaximumMessage)
			room = tls->sizes.cbMaximumMessage;
		len = gather(&iov, &iovcnt, &at, tls->stage + tls->sizes.cbHeader,
		    room);
		if (len == 0)
			break;
		if (!seal_record(tls, len, out, out_len))
			return -1;
		taken += len;
	}
	return (long)taken;
}

/* ---- opening ------------------------------------------------------------- */

/* The plain bytes of the present record were all taken: forget it. */
static void
drop_record(struct nbc_tls *tls)
{
	if (tls->rest_at > 0)
		consume(tls, tls->rest_at);
	tls->rest_at = 0;
	tls->plain = NULL;
}

int
nbc_tls_feed(struct nbc_tls *tls, const uint8_t *buf, size_t len)
{
	size_t plain_at = tls->plain_len > 0 ? (size_t)(tls->plain - tls->in) : 0;

	if (tls->plain_len == 0)
		drop_record(tls);
	if (len > ULONG_MAX / 2 - tls->in_len ||
	    !append(&tls->in, &tls->in_len, &tls->in_room, buf, len)) {
		nbc_schannel_explain(tls, "out of memory");
		return -1;
	}
	if (tls->plain_len > 0)
		tls->plain = tls->in + plain_at;
	return 0;
}

static void
take_parts(struct nbc_tls *tls, const SecBuffer part[4])
{
	tls->rest_at = tls->in_len;
	for (unsigned i = 0; i < 4; i++) {
		if (part[i].BufferType == SECBUFFER_DATA) {
			tls->plain = part[i].pvBuffer;
			tls->plain_len = part[i].cbBuffer;
		} else if (part[i].BufferType == SECBUFFER_EXTRA &&
		    part[i].cbBuffer <= tls->in_len) {
			tls->rest_at = tls->in_len - part[i].cbBuffer;
		}
	}
}

/*
 * A message of TLS itself that TLS 1.3 sends behind the handshake (a ticket, new keys):
 * Schannel wants what DecryptMessage has left of it in the next step of the handshake.
 * The answer, if there is one, goes out with the next bytes.  Returns as open_record.
 */
static long
take_message(struct nbc_tls *tls, const SecBuffer part[4])
{
	SECURITY_STATUS status;
	size_t used;

	take_parts(tls, part);
	tls->plain_len = 0;
	drop_record(tls);
	status = step(tls, &used);
	if (status != SEC_E_OK && status != SEC_I_CONTINUE_NEEDED) {
		explain_status(tls, status);
		return -1;
	}
	consume(tls, used);
	return 1;
}

/* 1: tls->plain has bytes, or a record without any was opened; else as open. */
static long
open_record(struct nbc_tls *tls)
{
	SecBuffer part[4] = {
		{ (ULONG)tls->in_len, SECBUFFER_DATA, tls->in },
		{ 0, SECBUFFER_EMPTY, NULL }, { 0, SECBUFFER_EMPTY, NULL },
		{ 0, SECBUFFER_EMPTY, NULL },
	};
	SecBufferDesc desc = { SECBUFFER_VERSION, 4, part };
	SECURITY_STATUS status;

	if (tls->in_len == 0)
		return 0;
	status = DecryptMessage(&tls->session, &desc, 0, NULL);
	switch (status) {
	case SEC_E_OK:
		take_parts(tls, part);
		return 1;
	case SEC_E_INCOMPLETE_MESSAGE:
		return 0;
	case SEC_I_CONTEXT_EXPIRED:
		return -2;
	case SEC_I_RENEGOTIATE:
		if (tls->is_1_3)
			return take_message(tls, part);
		nbc_schannel_explain(tls, "the server wants to renegotiate TLS, "
		    "which is refused");
		return -1;
	default:
		explain_status(tls, status);
		return -1;
	}
}

long
nbc_tls_open(struct nbc_tls *tls, uint8_t *buf, size_t size)
{
	size_t n;

	while (tls->plain_len == 0) {
		long result;

		drop_record(tls);
		result = open_record(tls);
		if (result <= 0)
			return result;
	}
	n = tls->plain_len < size ? tls->plain_len : size;
	memcpy(buf, tls->plain, n);
	tls->plain += n;
	tls->plain_len -= n;
	return (long)n;
}

/* ---- a kernel's TLS ------------------------------------------------------ */

enum nbc_handover
nbc_tls_to_kernel(struct nbc_tls *tls, int fd, struct nbc_ktls **keys)
{
	(void)tls;
	(void)fd;
	*keys = NULL;
	return NBC_NOT_HANDED_OVER;
}

void
nbc_ktls_free(struct nbc_ktls *keys)
{
	(void)keys;
}

void
nbc_ktls_shutdown(int fd)
{
	(void)fd;
}
