/*
 * rsa_key.c - an RSA private key as DER, turned into what CryptImportKey takes.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "rsa_key.h"

#include "der.h"

#define BITS_MAX	16384
#define HEADER_LEN	20

/* A positive number without leading zeroes. */
static bool
take_number(struct der *d, struct der *number)
{
	if (!der_take(d, DER_INTEGER, number) || number->left == 0 ||
	    (number->at[0] & 0x80) != 0)
		return false;
	while (number->left > 1 && number->at[0] == 0) {
		number->at++;
		number->left--;
	}
	return true;
}

static bool
unwrap(struct der *key)
{
	static const uint8_t rsa[] = {	/* 1.2.840.113549.1.1.1 */
		0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
	};
	struct der d = *key, outer, version, algorithm, oid;

	if (!der_take(&d, DER_SEQUENCE, &outer))
		return false;
	d = outer;
	if (!der_take(&d, DER_INTEGER, &version))
		return false;
	/* In PrivateKeyInfo an algorithm follows, in RSAPrivateKey the modulus. */
	if (!der_is_next(&d, DER_SEQUENCE))
		return true;
	return der_take(&d, DER_SEQUENCE, &algorithm) &&
	    der_take(&algorithm, DER_OID, &oid) && der_is_oid(oid, rsa, sizeof rsa) &&
	    der_take(&d, DER_OCTETS, key);
}

/* In this order in the DER. */
enum { MODULUS, PUBLIC, PRIVATE, P, Q, DP, DQ, QINV, NUMBERS };

static bool
take_numbers(struct der key, struct der number[NUMBERS])
{
	struct der d, version;

	if (!der_take(&key, DER_SEQUENCE, &d) || !der_take(&d, DER_INTEGER, &version))
		return false;
	for (unsigned i = 0; i < NUMBERS; i++)
		if (!take_number(&d, &number[i]))
			return false;
	return true;
}

static void
put_u32(uint8_t *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

/* Least significant byte first, size bytes; false: it needs more. */
static bool
put_number(uint8_t **to, struct der number, size_t size)
{
	if (number.left > size)
		return false;
	for (size_t i = 0; i < number.left; i++)
		(*to)[i] = number.at[number.left - 1 - i];
	memset(*to + number.left, 0, size - number.left);
	*to += size;
	return true;
}

static void
put_header(uint8_t *to, uint32_t bits, struct der exponent)
{
	uint32_t e = 0;

	to[0] = 7;			/* PRIVATEKEYBLOB */
	to[1] = 2;			/* its version */
	to[2] = to[3] = 0;
	put_u32(to + 4, 0x0000a400);	/* CALG_RSA_KEYX */
	memcpy(to + 8, "RSA2", 4);
	put_u32(to + 12, bits);
	for (size_t i = 0; i < exponent.left; i++)
		e = e << 8 | exponent.at[i];
	put_u32(to + 16, e);
}

size_t
nbc_rsa_key_blob(const uint8_t *der, size_t len, uint8_t *blob, size_t blob_max)
{
	struct der key = { der, len }, n[NUMBERS];
	size_t bytes, half;
	uint8_t *to = blob + HEADER_LEN;

	if (!unwrap(&key) || !take_numbers(key, n) || n[PUBLIC].left > 4)
		return 0;
	bytes = n[MODULUS].left;
	half = (bytes + 1) / 2;
	if (bytes > BITS_MAX / 8 || HEADER_LEN + 2 * bytes + 5 * half > blob_max)
		return 0;
	put_header(blob, (uint32_t)bytes * 8, n[PUBLIC]);
	if (!put_number(&to, n[MODULUS], bytes) || !put_number(&to, n[P], half) ||
	    !put_number(&to, n[Q], half) || !put_number(&to, n[DP], half) ||
	    !put_number(&to, n[DQ], half) || !put_number(&to, n[QINV], half) ||
	    !put_number(&to, n[PRIVATE], bytes))
		return 0;
	return (size_t)(to - blob);
}
