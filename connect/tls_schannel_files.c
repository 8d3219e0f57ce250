/*
 * tls_schannel_files.c - PEM files, as Windows wants certificates and keys.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Schannel uses a client's key only from a key container.  The key is put into one of
 * this process's own, which is deleted with the context.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rsa_key.h"
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

/* The bytes of the next PEM block with this label; *at moves behind it.  NULL: there
 * is none.  To be freed. */
static uint8_t *
next_block(const char **at, const char *label, DWORD *len)
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

	while ((der = next_block(&text, "CERTIFICATE", &len)) != NULL) {
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

/* ---- the client's key ---------------------------------------------------- */

/* The key's DER; NULL: there is none, or it has a password.  To be freed. */
static uint8_t *
key_block(const char *text, DWORD *len)
{
	const char *at = text;
	uint8_t *der = next_block(&at, "RSA PRIVATE KEY", len);

	return der != NULL ? der : next_block(&at, "PRIVATE KEY", len);
}

static bool
import_blob(struct nbc_tls_context *c, const uint8_t *blob, DWORD size)
{
	HCRYPTPROV provider;
	HCRYPTKEY key;
	bool ok;

	snprintf(c->key_name, sizeof c->key_name, "nbdisk-%lu-%p",
	    GetCurrentProcessId(), (void *)c);
	CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
	    PROV_RSA_AES, CRYPT_DELETEKEYSET);
	if (!CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
	    PROV_RSA_AES, CRYPT_NEWKEYSET)) {
		c->key_name[0] = '\0';
		return false;
	}
	ok = CryptImportKey(provider, blob, size, 0, CRYPT_EXPORTABLE, &key);
	if (ok)
		CryptDestroyKey(key);
	CryptReleaseContext(provider, 0);
	return ok;
}

static bool
import_key(struct nbc_tls_context *c, const char *text)
{
	DWORD len;
	uint8_t *der = key_block(text, &len), blob[RSA_BLOB_MAX];
	size_t size;
	bool ok;

	if (der == NULL)
		return false;
	size = nbc_rsa_key_blob(der, len, blob, sizeof blob);
	ok = size > 0 && import_blob(c, blob, (DWORD)size);
	SecureZeroMemory(blob, sizeof blob);
	SecureZeroMemory(der, len);
	free(der);
	return ok;
}

static bool
attach_key(struct nbc_tls_context *c)
{
	WCHAR name[64];
	WCHAR provider[] = MS_ENH_RSA_AES_PROV_W;
	CRYPT_KEY_PROV_INFO info = {
		.pwszContainerName = name, .pwszProvName = provider,
		.dwProvType = PROV_RSA_AES, .dwKeySpec = AT_KEYEXCHANGE,
	};

	MultiByteToWideChar(CP_UTF8, 0, c->key_name, -1, name, 64);
	return CertSetCertificateContextProperty(c->cert, CERT_KEY_PROV_INFO_PROP_ID, 0,
	    &info);
}

bool
nbc_schannel_load_client(struct nbc_tls_context *c, const char *cert_file,
    const char *key_file, struct nbc_error *err)
{
	char *text;
	bool ok;

	c->cert_store = nbc_schannel_read_certificates(cert_file, "the certificate",
	    err);
	if (c->cert_store == NULL)
		return false;
	c->cert = CertEnumCertificatesInStore(c->cert_store, NULL);
	text = read_file(key_file, "the key", err);
	if (text == NULL)
		return false;
	ok = c->cert != NULL && import_key(c, text) && attach_key(c);
	SecureZeroMemory(text, strlen(text));
	free(text);
	c->has_cert = ok;
	return ok || nbc_fail(err, NBC_USAGE, "%s: not usable as a key: it must be an "
	    "RSA key in PEM form, without a password", key_file);
}

void
nbc_schannel_free_client(struct nbc_tls_context *c)
{
	HCRYPTPROV provider;

	if (c->cert != NULL)
		CertFreeCertificateContext(c->cert);
	if (c->cert_store != NULL)
		CertCloseStore(c->cert_store, 0);
	if (c->key_name[0] != '\0')
		CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
		    PROV_RSA_AES, CRYPT_DELETEKEYSET);
}
