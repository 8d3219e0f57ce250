/*
 * key_lock.c - a private key that is encrypted with a password, as PBES2 (RFC 8018).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "key_lock.h"

#include "der.h"

static const uint8_t pbes2[] = {	/* 1.2.840.113549.1.5.13 */
	0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d,
};
static const uint8_t pbkdf2[] = {	/* 1.2.840.113549.1.5.12 */
	0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c,
};
/* 1.2.840.113549.2.N and 2.16.840.1.101.3.4.1.N, N being the last byte. */
static const uint8_t hmac[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02 };
static const uint8_t aes[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01 };

static const struct { uint8_t last; enum key_hash hash; } hashes[] = {
	{ 7, KEY_SHA1 }, { 9, KEY_SHA256 }, { 10, KEY_SHA384 }, { 11, KEY_SHA512 },
};
static const struct { uint8_t last; unsigned key_len; } ciphers[] = {
	{ 2, 16 }, { 22, 24 }, { 42, 32 },
};

/* The last number of an identifier that begins so; -1: it does not. */
static int
last_of(struct der oid, const uint8_t *begin, size_t len)
{
	return oid.left == len + 1 && memcmp(oid.at, begin, len) == 0 ? oid.at[len] :
	    -1;
}

static bool
take_u32(struct der *d, uint32_t *value)
{
	struct der n;

	if (!der_take(d, DER_INTEGER, &n) || n.left == 0 || n.left > 5 ||
	    (n.at[0] & 0x80) != 0 || (n.left == 5 && n.at[0] != 0))
		return false;
	for (*value = 0; n.left > 0; n.at++, n.left--)
		*value = *value << 8 | n.at[0];
	return true;
}

static bool
take_hash(struct der *d, struct key_lock *k)
{
	struct der prf, oid;

	k->hash = KEY_SHA1;			/* if nothing is said */
	if (!der_is_next(d, DER_SEQUENCE))
		return true;
	if (!der_take(d, DER_SEQUENCE, &prf) || !der_take(&prf, DER_OID, &oid))
		return false;
	for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
		if (last_of(oid, hmac, sizeof hmac) == hashes[i].last) {
			k->hash = hashes[i].hash;
			return true;
		}
	return false;
}

static bool
take_derivation(struct der *d, struct key_lock *k)
{
	struct der function, oid, params, salt;
	uint32_t key_len;

	if (!der_take(d, DER_SEQUENCE, &function) ||
	    !der_take(&function, DER_OID, &oid) ||
	    !der_is_oid(oid, pbkdf2, sizeof pbkdf2) ||
	    !der_take(&function, DER_SEQUENCE, &params) ||
	    !der_take(&params, DER_OCTETS, &salt) || !take_u32(&params, &k->iterations))
		return false;
	if (der_is_next(&params, DER_INTEGER) && !take_u32(&params, &key_len))
		return false;
	k->salt = salt.at;
	k->salt_len = salt.left;
	return k->iterations > 0 && k->iterations <= KEY_ITERATIONS_MAX &&
	    take_hash(&params, k);
}

static bool
take_cipher(struct der *d, struct key_lock *k)
{
	struct der cipher, oid, iv;

	if (!der_take(d, DER_SEQUENCE, &cipher) || !der_take(&cipher, DER_OID, &oid) ||
	    !der_take(&cipher, DER_OCTETS, &iv) || iv.left != KEY_LOCK_IV)
		return false;
	k->iv = iv.at;
	for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++)
		if (last_of(oid, aes, sizeof aes) == ciphers[i].last) {
			k->key_len = ciphers[i].key_len;
			return true;
		}
	return false;
}

bool
nbc_key_lock(const uint8_t *der, size_t len, struct key_lock *k)
{
	struct der d = { der, len }, all, algorithm, oid, params, data;

	if (!der_take(&d, DER_SEQUENCE, &all) ||
	    !der_take(&all, DER_SEQUENCE, &algorithm) ||
	    !der_take(&algorithm, DER_OID, &oid) ||
	    !der_is_oid(oid, pbes2, sizeof pbes2) ||
	    !der_take(&algorithm, DER_SEQUENCE, &params) ||
	    !take_derivation(&params, k) || !take_cipher(&params, k) ||
	    !der_take(&all, DER_OCTETS, &data))
		return false;
	k->data = data.at;
	k->data_len = data.left;
	return data.left > 0 && data.left % KEY_LOCK_IV == 0;
}
