/*
 * tls_kernel.c - a finished TLS 1.3 session becomes the kernel's.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * OpenSSL can do this by itself only in part: version 3.0 has no receive side for
 * TLS 1.3, and none of its versions does it for a session that ran over memory.  So
 * the keys are derived from the traffic secrets (RFC 8446, 7.3), by OpenSSL, and
 * installed here.  Each direction's first record number is the count of records
 * that this session has already protected with the secret: replies and tickets that
 * came after the handshake, and the options that were sent.
 *
 * TLS 1.2 stays in user space: OpenSSL does not tell which nonces it has used.
 *
 * A KeyUpdate of the server is read by tls_rekey.c, on Linux from 6.14 on.  Older ones
 * cannot change keys and get no session; FreeBSD's cannot either, and its module renews
 * the connection before the cipher's limit.
 *
 * Handing over was run on FreeBSD (docs/freebsd.md), and on Linux 7.3 (tests/vm).
 * Where the kernel has no "tls" protocol it is tested that keys and record numbers are
 * those that the server uses (ktls_probe), and that it falls back.
 */
#include "tls_session.h"

#if defined(__linux__) || defined(__FreeBSD__)

#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#ifdef __linux__
#include <linux/tls.h>
#include <sys/utsname.h>
#else
#include <crypto/cryptodev.h>
#include <sys/ktls.h>
#endif

#define IV_LEN		12u
#define KEY_MAX		32u
#define RECORD_ALERT	21
/* 2^24.5, of AES-GCM with one key; ChaCha20 has no such limit (RFC 8446, 5.5). */
#define GCM_RECORDS_MAX	UINT64_C(23726566)
#define ALERT_WARNING	1

struct direction_keys {
	uint8_t	key[KEY_MAX], iv[IV_LEN], record[8];
};

bool
nbc_tls_expand_label(const struct tls_direction *d, const char *digest,
    const char *label, uint8_t *out, size_t len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	char prefix[] = "tls13 ";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
		    (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
		    (void *)(uintptr_t)d->secret, d->secret_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix,
		    sizeof prefix - 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL,
		    (void *)(uintptr_t)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static bool
derive(const struct tls_direction *d, const SSL_CIPHER *cipher, size_t key_len,
    struct direction_keys *keys)
{
	const char *digest =
	    EVP_MD_get0_name(SSL_CIPHER_get_handshake_digest(cipher));
	unsigned i;

	for (i = 0; i < sizeof keys->record; i++)
		keys->record[i] = (uint8_t)(d->records >> (56 - 8 * i));
	return d->secret_len > 0 &&
	    nbc_tls_expand_label(d, digest, "key", keys->key, key_len) &&
	    nbc_tls_expand_label(d, digest, "iv", keys->iv, IV_LEN);
}

/* Nothing that came may still be inside OpenSSL, and the secrets that were noted must
 * be those in use. */
static bool
can_hand_over(const struct nbc_tls *tls)
{
	return tls->for_kernel && !tls->keys_changed &&
	    SSL_version(tls->ssl) == TLS1_3_VERSION &&
	    SSL_pending(tls->ssl) == 0 && tls->ends.in_len == 0 &&
	    BIO_pending(tls->ends.later) == 0;
}

#ifdef __linux__
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* Any of the structures that the kernel knows, all of which begin with info. */
union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
	uint8_t	bytes[64];
};

/* Where the kernel's structure of each cipher has what (linux/tls.h). */
struct layout {
	uint32_t suite;			/* RFC 8446, B.4 */
	uint16_t cipher_type;
	uint16_t len;
	uint16_t key, key_len, salt, salt_len, iv, iv_len, record;
};
#define LAYOUT(suite, type, s) { suite, type, sizeof(struct s),			\
	offsetof(struct s, key), sizeof ((struct s *)NULL)->key,		\
	offsetof(struct s, salt), sizeof ((struct s *)NULL)->salt,		\
	offsetof(struct s, iv), sizeof ((struct s *)NULL)->iv,			\
	offsetof(struct s, rec_seq) }

static const struct layout layouts[] = {
	LAYOUT(0x1301, TLS_CIPHER_AES_GCM_128, tls12_crypto_info_aes_gcm_128),
	LAYOUT(0x1302, TLS_CIPHER_AES_GCM_256, tls12_crypto_info_aes_gcm_256),
	LAYOUT(0x1303, TLS_CIPHER_CHACHA20_POLY1305,
	    tls12_crypto_info_chacha20_poly1305),
};

/* NULL when the kernel has no such cipher. */
static const struct layout *
find_layout(const SSL_CIPHER *cipher)
{
	size_t i;

	for (i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
		if (layouts[i].suite == SSL_CIPHER_get_protocol_id(cipher))
			return &layouts[i];
	return NULL;
}

/* The nonce's first bytes are the salt, where the cipher has one. */
static bool
fill_crypto_info(union crypto_info *u, const struct tls_direction *d,
    const SSL_CIPHER *cipher, const struct layout *l)
{
	struct direction_keys keys;
	bool ok = derive(d, cipher, l->key_len, &keys);

	memset(u, 0, sizeof *u);
	u->info.version = TLS_1_3_VERSION;
	u->info.cipher_type = l->cipher_type;
	if (ok) {
		memcpy(u->bytes + l->key, keys.key, l->key_len);
		memcpy(u->bytes + l->salt, keys.iv, l->salt_len);
		memcpy(u->bytes + l->iv, keys.iv + l->salt_len, l->iv_len);
		memcpy(u->bytes + l->record, keys.record, sizeof keys.record);
	}
	OPENSSL_cleanse(&keys, sizeof keys);
	return ok;
}

bool
nbc_ktls_install(const SSL_CIPHER *cipher, int fd, bool is_tx,
    const struct tls_direction *d)
{
	const struct layout *layout = find_layout(cipher);
	union crypto_info u;
	bool ok;

	if (layout == NULL)
		return false;
	ok = fill_crypto_info(&u, d, cipher, layout) &&
	    setsockopt(fd, SOL_TLS, is_tx ? TLS_TX : TLS_RX, &u, layout->len) == 0;
	OPENSSL_cleanse(&u, sizeof u);
	return ok;
}

/* New keys for a session that it has: since Linux 6.14.  That cannot be tried, for a
 * session that is the kernel's once cannot be taken back. */
static bool
kernel_changes_keys(void)
{
	unsigned major, minor;
	struct utsname u;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	    (major > 6 || (major == 6 && minor >= 14));
}

/* A server may send KeyUpdate at any time, and by itself when it has sent enough: a
 * kernel that could not go on from there would lose the connection. */
static bool
prepare(const struct nbc_tls *tls, int fd, struct nbc_ktls **keys)
{
	struct nbc_ktls *k;

	if (!kernel_changes_keys())
		return false;
	k = calloc(1, sizeof *k);
	if (k == NULL ||
	    setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0) {
		free(k);
		return false;
	}
	k->cipher = SSL_get_current_cipher(tls->ssl);
	k->tx = tls->tx;
	k->rx = tls->rx;
	*keys = k;
	return true;
}

/* The kernel gives back what it was given, with the record's number of now. */
static bool
records_done(int fd, int name, uint64_t *records, bool *is_limited)
{
	union crypto_info u;
	socklen_t len = sizeof u.info;
	const struct layout *l = NULL;
	size_t i;

	*records = 0;
	if (getsockopt(fd, SOL_TLS, name, &u, &len) != 0)
		return false;
	for (i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
		if (layouts[i].cipher_type == u.info.cipher_type)
			l = &layouts[i];
	len = l != NULL ? l->len : 0;
	if (l == NULL || getsockopt(fd, SOL_TLS, name, &u, &len) != 0)
		return false;
	for (i = 0; i < 8; i++)
		*records = *records << 8 | u.bytes[l->record + i];
	*is_limited = l->cipher_type != TLS_CIPHER_CHACHA20_POLY1305;
	OPENSSL_cleanse(&u, sizeof u);
	return true;
}

uint64_t
nbc_ktls_records_left(int fd)
{
	static const int names[] = { TLS_RX, TLS_TX };
	uint64_t left = UINT64_MAX, records;
	bool is_limited;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (!records_done(fd, names[i], &records, &is_limited) || !is_limited)
			continue;
		if (records >= GCM_RECORDS_MAX)
			return 0;
		if (GCM_RECORDS_MAX - records < left)
			left = GCM_RECORDS_MAX - records;
	}
	return left;
}

#else

#define SOL_TLS		IPPROTO_TCP
#define TLS_RX		TCP_RXTLS_ENABLE
#define TLS_TX		TCP_TXTLS_ENABLE

/* The kernel has the numbers, and tells nobody. */
uint64_t
nbc_ktls_records_left(int fd)
{
	(void)fd;
	return UINT64_MAX;
}

static bool
prepare(const struct nbc_tls *tls, int fd, struct nbc_ktls **keys)
{
	(void)tls;
	(void)fd;
	(void)keys;
	return true;
}

/* ktls(4): of TLS 1.3 it wants the key, the whole nonce and the first record's
 * number. */
bool
nbc_ktls_install(const SSL_CIPHER *cipher, int fd, bool is_tx,
    const struct tls_direction *d)
{
	static const struct {
		uint32_t suite;			/* RFC 8446, B.4 */
		int	cipher, key_len;
	} ciphers[] = {
		{ 0x1301, CRYPTO_AES_NIST_GCM_16, 16 },
		{ 0x1302, CRYPTO_AES_NIST_GCM_16, 32 },
		{ 0x1303, CRYPTO_CHACHA20_POLY1305, 32 },
	};
	struct direction_keys keys;
	size_t i, n = sizeof ciphers / sizeof ciphers[0];
	bool ok;

	for (i = 0; i < n; i++)
		if (ciphers[i].suite == SSL_CIPHER_get_protocol_id(cipher))
			break;
	if (i == n || !derive(d, cipher, (size_t)ciphers[i].key_len, &keys))
		return false;

	struct tls_enable en = {
		.cipher_key = keys.key, .cipher_key_len = ciphers[i].key_len,
		.iv = keys.iv, .iv_len = IV_LEN,
		.cipher_algorithm = ciphers[i].cipher,
		.tls_vmajor = TLS_MAJOR_VER_ONE, .tls_vminor = TLS_MINOR_VER_THREE,
	};
	memcpy(en.rec_seq, keys.record, sizeof en.rec_seq);
	ok = setsockopt(fd, IPPROTO_TCP, is_tx ? TLS_TX : TLS_RX, &en, sizeof en) == 0;
	OPENSSL_cleanse(&keys, sizeof keys);
	return ok;
}

#endif

enum nbc_handover
nbc_tls_to_kernel(struct nbc_tls *tls, int fd, struct nbc_ktls **keys)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);

	enum nbc_handover result = NBC_NOT_HANDED_OVER;

	*keys = NULL;
	if (!can_hand_over(tls) || !prepare(tls, fd, keys))
		return result;
	if (nbc_ktls_install(cipher, fd, false, &tls->rx))
		result = nbc_ktls_install(cipher, fd, true, &tls->tx) ?
		    NBC_HANDED_OVER : NBC_HALF_HANDED_OVER;
	if (result != NBC_HANDED_OVER) {
		nbc_ktls_free(*keys);
		*keys = NULL;
	}
	return result;
}

bool
nbc_ktls_send_control(int fd, uint8_t record_type, const uint8_t *content, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)content, len };
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(1)];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control.room };
	struct cmsghdr *type = CMSG_FIRSTHDR(&msg);

	memset(&control, 0, sizeof control);
	type->cmsg_level = SOL_TLS;
	type->cmsg_type = TLS_SET_RECORD_TYPE;
	type->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(type) = record_type;
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

void
nbc_ktls_shutdown(int fd)
{
	static const uint8_t alert[] = { ALERT_WARNING, TLS_CLOSE_NOTIFY };

	(void)nbc_ktls_send_control(fd, RECORD_ALERT, alert, sizeof alert);
}

#else

enum nbc_handover
nbc_tls_to_kernel(struct nbc_tls *tls, int fd, struct nbc_ktls **keys)
{
	(void)tls;
	(void)fd;
	*keys = NULL;
	return NBC_NOT_HANDED_OVER;
}

void
nbc_ktls_shutdown(int fd)
{
	(void)fd;
}

uint64_t
nbc_ktls_records_left(int fd)
{
	(void)fd;
	return UINT64_MAX;
}

#endif
