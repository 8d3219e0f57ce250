/*
 * ec_key.h - an EC private key as DER, turned into what NCrypt takes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure bytes.
 */
#ifndef NBC_EC_KEY_H
#define NBC_EC_KEY_H

#include <stddef.h>
#include <stdint.h>

#define EC_KEY_BYTES_MAX 66		/* of P-521 */
#define EC_BLOB_MAX	(8 + 3 * EC_KEY_BYTES_MAX)

/*
 * der is ECPrivateKey (RFC 5915) that names its curve, or PrivateKeyInfo with one
 * inside; with the public key, as everybody writes it.  Returns the length of the
 * BCRYPT_ECCPRIVATE_BLOB (of ECDSA) in blob, and the curve's bits: 256, 384 or 521.
 * 0: it is neither, or of another curve.
 */
size_t	nbc_ec_key_blob(const uint8_t *der, size_t len, uint8_t blob[EC_BLOB_MAX],
	    unsigned *bits);

#endif
