/*
 * tls_schannel_key.c - a client's private key, where Schannel finds it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Schannel, which is another process, uses a key only by its name.  RSA keys go into a
 * container of CryptoAPI, EC keys into NCrypt's store, under a name of this process's
 * own; they are deleted with the context.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "der.h"
#include "ec_key.h"
#include "key_lock.h"
#include "rsa_key.h"
#include "tls_schannel.h"

#include <bcrypt.h>
#include <ncrypt.h>

#define AES_KEY_MAX	32

/* ---- a password ---------------------------------------------------------- */

static bool
derive(const struct key_lock *k, const char *password, uint8_t key[AES_KEY_MAX])
{
	static const WCHAR *const names[] = {
		[KEY_SHA1] = BCRYPT_SHA1_ALGORITHM,
		[KEY_SHA256] = BCRYPT_SHA256_ALGORITHM,
		[KEY_SHA384] = BCRYPT_SHA384_ALGORITHM,
		[KEY_SHA512] = BCRYPT_SHA512_ALGORITHM,
	};
	BCRYPT_ALG_HANDLE prf;
	bool ok;

	if (BCryptOpenAlgorithmProvider(&prf, names[k->hash], NULL,
	    BCRYPT_ALG_HANDLE_HMAC_FLAG) != 0)
		return false;
	ok = BCryptDeriveKeyPBKDF2(prf, (PUCHAR)(uintptr_t)password,
	    (ULONG)strlen(password), (PUCHAR)(uintptr_t)k->salt, (ULONG)k->salt_len,
	    k->iterations, key, k->key_len, 0) == 0;
	BCryptCloseAlgorithmProvider(prf, 0);
	return ok;
}

/* False also for a wrong password, as far as the padding shows it. */
static bool
decrypt(const struct key_lock *k, uint8_t *key, uint8_t *out, ULONG *len)
{
	WCHAR mode[] = BCRYPT_CHAIN_MODE_CBC;
	uint8_t iv[KEY_LOCK_IV];
	BCRYPT_ALG_HANDLE aes;
	BCRYPT_KEY_HANDLE h;
	bool ok;

	memcpy(iv, k->iv, sizeof iv);
	if (BCryptOpenAlgorithmProvider(&aes, BCRYPT_AES_ALGORITHM, NULL, 0) != 0)
		return false;
	ok = BCryptSetProperty(aes, BCRYPT_CHAINING_MODE, (PUCHAR)mode, sizeof mode,
	    0) == 0 && BCryptGenerateSymmetricKey(aes, &h, NULL, 0, key, k->key_len,
	    0) == 0;
	if (ok) {
		ok = BCryptDecrypt(h, (PUCHAR)(uintptr_t)k->data, (ULONG)k->data_len,
		    NULL, iv, sizeof iv, out, (ULONG)k->data_len, len,
		    BCRYPT_BLOCK_PADDING) == 0;
		BCryptDestroyKey(h);
	}
	BCryptCloseAlgorithmProvider(aes, 0);
	return ok;
}

/* One in 256 wrong passwords gives right padding, and noise. */
static bool
is_key(const uint8_t *der, size_t len)
{
	struct der d = { der, len }, all;

	return der_take(&d, DER_SEQUENCE, &all) && d.left == 0;
}

/* The key's DER, to be freed; NULL: it cannot be had. */
static uint8_t *
unlock(const uint8_t *der, DWORD len, const char *password, DWORD *out_len)
{
	uint8_t key[AES_KEY_MAX], *out;
	struct key_lock k;
	ULONG n = 0;
	bool ok;

	if (!nbc_key_lock(der, len, &k))
		return NULL;
	out = malloc(k.data_len);
	ok = out != NULL && derive(&k, password, key) && decrypt(&k, key, out, &n) &&
	    is_key(out, n);
	SecureZeroMemory(key, sizeof key);
	*out_len = n;
	if (ok)
		return out;
	free(out);
	return NULL;
}

/* ---- the key's bytes ----------------------------------------------------- */

/* The DER of an open key; NULL: there is none.  To be freed. */
static uint8_t *
open_block(const char *text, DWORD *len)
{
	static const char *const labels[] = {
		"RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY",
	};
	uint8_t *der = NULL;

	for (unsigned i = 0; i < 3 && der == NULL; i++) {
		const char *at = text;

		der = nbc_schannel_next_block(&at, labels[i], len);
	}
	return der;
}

/* To be freed; NULL: fills the error. */
static uint8_t *
key_der(const char *file, const char *text, const char *password, DWORD *len,
    struct nbc_error *err)
{
	const char *at = text;
	uint8_t *locked, *der;
	DWORD locked_len;

	if (strstr(text, "Proc-Type: 4,ENCRYPTED") != NULL) {
		nbc_fail(err, NBC_USAGE, "%s: its encryption is an old one; convert "
		    "it: openssl pkcs8 -topk8 -in OLD -out NEW", file);
		return NULL;
	}
	locked = nbc_schannel_next_block(&at, "ENCRYPTED PRIVATE KEY", &locked_len);
	if (locked == NULL) {
		der = open_block(text, len);
		if (der == NULL)
			nbc_fail(err, NBC_USAGE, "%s: not usable as a key: no private "
			    "key in PEM form is in it", file);
		return der;
	}
	der = password != NULL ? unlock(locked, locked_len, password, len) : NULL;
	free(locked);
	if (der == NULL)
		nbc_fail(err, NBC_USAGE, password != NULL ?
		    "%s: the password is wrong, or the encryption is not of AES" :
		    "%s: the key has a password; name a file that has it", file);
	return der;
}

/* ---- where Schannel finds it --------------------------------------------- */

static bool
keep_rsa(struct nbc_tls_context *c, const uint8_t *blob, DWORD size)
{
	HCRYPTPROV provider;
	HCRYPTKEY key;
	bool ok;

	CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
	    PROV_RSA_AES, CRYPT_DELETEKEYSET);
	if (!CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
	    PROV_RSA_AES, CRYPT_NEWKEYSET))
		return false;
	ok = CryptImportKey(provider, blob, size, 0, CRYPT_EXPORTABLE, &key);
	if (ok)
		CryptDestroyKey(key);
	CryptReleaseContext(provider, 0);
	return ok;
}

static bool
keep_ec(struct nbc_tls_context *c, uint8_t *blob, DWORD size, unsigned bits)
{
	const WCHAR *algorithm = bits == 256 ? BCRYPT_ECDSA_P256_ALGORITHM :
	    bits == 384 ? BCRYPT_ECDSA_P384_ALGORITHM : BCRYPT_ECDSA_P521_ALGORITHM;
	NCRYPT_PROV_HANDLE provider;
	NCRYPT_KEY_HANDLE key;
	WCHAR name[64];
	bool ok;

	MultiByteToWideChar(CP_UTF8, 0, c->key_name, -1, name, 64);
	if (NCryptOpenStorageProvider(&provider, MS_KEY_STORAGE_PROVIDER, 0) != 0)
		return false;
	ok = NCryptCreatePersistedKey(provider, &key, algorithm, name, 0,
	    NCRYPT_OVERWRITE_KEY_FLAG) == 0;
	if (ok) {
		ok = NCryptSetProperty(key, BCRYPT_ECCPRIVATE_BLOB, blob, size, 0) ==
		    0 && NCryptFinalizeKey(key, NCRYPT_SILENT_FLAG) == 0;
		NCryptFreeObject(key);
	}
	NCryptFreeObject(provider);
	c->key_is_cng = ok;
	return ok;
}

static bool
keep(struct nbc_tls_context *c, const uint8_t *der, DWORD len)
{
	uint8_t blob[RSA_BLOB_MAX];
	size_t size = nbc_rsa_key_blob(der, len, blob, sizeof blob);
	unsigned bits;
	bool ok;

	snprintf(c->key_name, sizeof c->key_name, "nbdisk-%lu-%p",
	    GetCurrentProcessId(), (void *)c);
	if (size > 0) {
		ok = keep_rsa(c, blob, (DWORD)size);
	} else {
		size = nbc_ec_key_blob(der, len, blob, &bits);
		ok = size > 0 && keep_ec(c, blob, (DWORD)size, bits);
	}
	SecureZeroMemory(blob, sizeof blob);
	if (!ok)
		c->key_name[0] = '\0';
	return ok;
}

static bool
attach(struct nbc_tls_context *c)
{
	WCHAR name[64], rsa[] = MS_ENH_RSA_AES_PROV_W, cng[] = MS_KEY_STORAGE_PROVIDER;
	CRYPT_KEY_PROV_INFO info = { .pwszContainerName = name };

	MultiByteToWideChar(CP_UTF8, 0, c->key_name, -1, name, 64);
	info.pwszProvName = c->key_is_cng ? cng : rsa;
	info.dwProvType = c->key_is_cng ? 0 : PROV_RSA_AES;
	info.dwKeySpec = c->key_is_cng ? 0 : AT_KEYEXCHANGE;
	return CertSetCertificateContextProperty(c->cert, CERT_KEY_PROV_INFO_PROP_ID, 0,
	    &info);
}

bool
nbc_schannel_take_key(struct nbc_tls_context *c, const char *file, const char *text,
    const char *password, struct nbc_error *err)
{
	DWORD len = 0;
	uint8_t *der = key_der(file, text, password, &len, err);
	bool ok;

	if (der == NULL)
		return false;
	ok = keep(c, der, len) && attach(c);
	SecureZeroMemory(der, len);
	free(der);
	return ok || nbc_fail(err, NBC_USAGE, "%s: not usable as a key: it must be of "
	    "RSA, or of the curves P-256, P-384 or P-521", file);
}

void
nbc_schannel_forget_key(struct nbc_tls_context *c)
{
	NCRYPT_PROV_HANDLE store;
	NCRYPT_KEY_HANDLE key;
	HCRYPTPROV provider;
	WCHAR name[64];

	if (c->key_name[0] == '\0')
		return;
	if (!c->key_is_cng) {
		CryptAcquireContextA(&provider, c->key_name, MS_ENH_RSA_AES_PROV_A,
		    PROV_RSA_AES, CRYPT_DELETEKEYSET);
		return;
	}
	MultiByteToWideChar(CP_UTF8, 0, c->key_name, -1, name, 64);
	if (NCryptOpenStorageProvider(&store, MS_KEY_STORAGE_PROVIDER, 0) != 0)
		return;
	if (NCryptOpenKey(store, &key, name, 0, 0) == 0)
		NCryptDeleteKey(key, NCRYPT_SILENT_FLAG);
	NCryptFreeObject(store);
}
