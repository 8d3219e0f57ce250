/*
 * tls_schannel_files.c - PEM files, as Windows wants certificates.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_schannel.h"

#define FILE_MAX	(1u << 20)

/* ---- files --------------------------------------------------------------- */

static HANDLE
open_file(const char *file)
{
	WCHAR wide[MAX_PATH];

	if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, file, -1, wide,
	    MAX_PATH) == 0)
		return INVALID_HANDLE_VALUE;
	return CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0,
	    NULL);
}

/* As a string, to be freed. */
static char *
read_file(const char *file, const char *what, struct nbc_error *err)
{
	HANDLE f = open_file(file);
	char *text, reason[256];
	DWORD len = 0;
	bool ok;

	if (f == INVALID_HANDLE_VALUE) {
		nbc_schannel_error_text(reason, sizeof reason, GetLastError());
		nbc_fail(err, NBC_USAGE, "%s: cannot read %s: %s", file, what, reason);
		return NULL;
	}
	text = malloc(FILE_MAX + 1);
	ok = text != NULL && ReadFile(f, text, FILE_MAX + 1, &len, NULL) &&
	    len <= FILE_MAX;
	CloseHandle(f);
	if (!ok) {
		free(text);
		nbc_fail(err, NBC_USAGE, "%s: cannot read %s, or it is too long", file,
		    what);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

uint8_t *
nbc_schannel_next_block(const char **at, const char *label, DWORD *len)
{
	char begin[64], end[64];
	const char *from, *to;
	uint8_t *bytes;

	snprintf(begin, sizeof begin, "-----BEGIN %s-----", label);
	snprintf(end, sizeof end, "-----END %s-----", label);
	from = strstr(*at, begin);
	to = from != NULL ? strstr(from, end) : NULL;
	if (to == NULL)
		return NULL;
	from += strlen(begin);
	*at = to + strlen(end);
	*len = (DWORD)(to - from);
	bytes = malloc(*len + 1);
	if (bytes != NULL && CryptStringToBinaryA(from, (DWORD)(to - from),
	    CRYPT_STRING_BASE64, bytes, len, NULL, NULL))
		return bytes;
	free(bytes);
	return NULL;
}

/* ---- certificates -------------------------------------------------------- */

static unsigned
add_certificates(HCERTSTORE store, const char *text)
{
	unsigned count = 0;
	uint8_t *der;
	DWORD len;

	while ((der = nbc_schannel_next_block(&text, "CERTIFICATE", &len)) != NULL) {
		if (CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der, len,
		    CERT_STORE_ADD_ALWAYS, NULL))
			count++;
		free(der);
	}
	return count;
}

HCERTSTORE
nbc_schannel_read_certificates(const char *file, const char *what,
    struct nbc_error *err)
{
	char *text = read_file(file, what, err);
	HCERTSTORE store;
	unsigned count;

	if (text == NULL)
		return NULL;
	store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
	if (store == NULL) {
		free(text);
		nbc_fail_no_memory(err);
		return NULL;
	}
	count = add_certificates(store, text);
	free(text);
	if (count > 0)
		return store;
	CertCloseStore(store, 0);
	nbc_fail(err, NBC_USAGE, "%s: not usable as %s: no certificate in PEM form is "
	    "in it", file, what);
	return NULL;
}

/* ---- the client ---------------------------------------------------------- */

/* The first line, to be freed; NULL: fills the error. */
static char *
read_password(const char *file, struct nbc_error *err)
{
	char *text = read_file(file, "the key's password", err);

	if (text != NULL)
		text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static void
forget(char *text)
{
	if (text != NULL)
		SecureZeroMemory(text, strlen(text));
	free(text);
}

bool
nbc_schannel_load_client(struct nbc_tls_context *c, const struct nbc_target *t,
    struct nbc_error *err)
{
	char *text, *password = NULL;
	bool ok;

	c->cert_store = nbc_schannel_read_certificates(t->cert_file, "the certificate",
	    err);
	if (c->cert_store == NULL)
		return false;
	c->cert = CertEnumCertificatesInStore(c->cert_store, NULL);
	text = read_file(t->key_file, "the key", err);
	ok = text != NULL && c->cert != NULL;
	if (ok && t->key_password_file != NULL) {
		password = read_password(t->key_password_file, err);
		ok = password != NULL;
	}
	ok = ok && nbc_schannel_take_key(c, t->key_file, text, password, err);
	forget(text);
	forget(password);
	c->has_cert = ok;
	return ok;
}

void
nbc_schannel_free_client(struct nbc_tls_context *c)
{
	if (c->cert != NULL)
		CertFreeCertificateContext(c->cert);
	if (c->cert_store != NULL)
		CertCloseStore(c->cert_store, 0);
	nbc_schannel_forget_key(c);
}
