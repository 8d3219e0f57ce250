/*
 * key_lock.h - a private key that is encrypted with a password, as PBES2 (RFC 8018).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure bytes; what is said here, Windows's cryptography does.  PBKDF2 with HMAC and AES
 * in CBC mode, which is what OpenSSL and GnuTLS write.
 */
#ifndef NBC_KEY_LOCK_H
#define NBC_KEY_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_LOCK_IV	16

enum key_hash { KEY_SHA1, KEY_SHA256, KEY_SHA384, KEY_SHA512 };

/* Pointers are into the DER. */
struct key_lock {
	const uint8_t *salt, *iv, *data;
	size_t	salt_len, data_len;
	uint32_t iterations;		/* at most KEY_ITERATIONS_MAX */
	enum key_hash hash;
	unsigned key_len;		/* of AES, in bytes */
};
#define KEY_ITERATIONS_MAX 100000000u

/* der is EncryptedPrivateKeyInfo; false: it is not, or of another kind. */
bool	nbc_key_lock(const uint8_t *der, size_t len, struct key_lock *);

#endif
