/*
 * rsa_key.h - an RSA private key as DER, turned into what CryptImportKey takes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure bytes.  CryptDecodeObjectEx could do it on Windows, but not everywhere where
 * these programs run.
 */
#ifndef NBC_RSA_KEY_H
#define NBC_RSA_KEY_H

#include <stddef.h>
#include <stdint.h>

#define RSA_BLOB_MAX	(20 + 9 * 2048 / 2)	/* for a key of 16384 bits */

/* der is RSAPrivateKey (RFC 8017, A.1.2), or PrivateKeyInfo (RFC 5208) with one inside.
 * Returns the length of the PRIVATEKEYBLOB in blob; 0: it is neither, or too long. */
size_t	nbc_rsa_key_blob(const uint8_t *der, size_t len, uint8_t *blob,
	    size_t blob_max);

#endif
