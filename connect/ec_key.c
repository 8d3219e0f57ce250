/*
 * ec_key.c - an EC private key as DER, turned into what NCrypt takes.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "ec_key.h"

#include "der.h"

static const uint8_t ec_public_key[] = {	/* 1.2.840.10045.2.1 */
	0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
};

static const struct curve {
	uint8_t	oid[8], oid_len, bytes;
	unsigned bits;
	char	magic[5];		/* of the blob */
} curves[] = {
	{ { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 8, 32, 256, "ECS2" },
	{ { 0x2b, 0x81, 0x04, 0x00, 0x22 }, 5, 48, 384, "ECS4" },
	{ { 0x2b, 0x81, 0x04, 0x00, 0x23 }, 5, 66, 521, "ECS6" },
};

static const struct curve *
find_curve(struct der oid)
{
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (der_is_oid(oid, curves[i].oid, curves[i].oid_len))
			return &curves[i];
	return NULL;
}

/* PrivateKeyInfo: its curve, and what is inside; as it is, if it is none. */
static bool
unwrap(struct der *key, const struct curve **curve)
{
	struct der d = *key, outer, version, algorithm, oid;

	if (!der_take(&d, DER_SEQUENCE, &outer) ||
	    !der_take(&outer, DER_INTEGER, &version))
		return false;
	if (!der_is_next(&outer, DER_SEQUENCE))
		return true;
	if (!der_take(&outer, DER_SEQUENCE, &algorithm) ||
	    !der_take(&algorithm, DER_OID, &oid) ||
	    !der_is_oid(oid, ec_public_key, sizeof ec_public_key) ||
	    !der_take(&algorithm, DER_OID, &oid))
		return false;
	*curve = find_curve(oid);
	return der_take(&outer, DER_OCTETS, key);
}

/* What ECPrivateKey has. */
static bool
take_key(struct der d, const struct curve **curve, struct der *secret,
    struct der *point)
{
	struct der key, version, inner, oid;

	if (!der_take(&d, DER_SEQUENCE, &key) ||
	    !der_take(&key, DER_INTEGER, &version) ||
	    !der_take(&key, DER_OCTETS, secret))
		return false;
	if (der_is_next(&key, DER_CONTEXT(0))) {
		if (!der_take(&key, DER_CONTEXT(0), &inner) ||
		    !der_take(&inner, DER_OID, &oid))
			return false;
		*curve = find_curve(oid);
	}
	return *curve != NULL && der_take(&key, DER_CONTEXT(1), &inner) &&
	    der_take(&inner, DER_BITS, point);
}

size_t
nbc_ec_key_blob(const uint8_t *der, size_t len, uint8_t blob[EC_BLOB_MAX],
    unsigned *bits)
{
	struct der key = { der, len }, secret, point;
	const struct curve *curve = NULL;
	size_t bytes;

	if (!unwrap(&key, &curve) || !take_key(key, &curve, &secret, &point))
		return 0;
	bytes = curve->bytes;
	/* Behind the count of unused bits: 4, which is "not compressed", x, y. */
	if (secret.left > bytes || point.left != 2 + 2 * bytes || point.at[0] != 0 ||
	    point.at[1] != 4)
		return 0;
	memcpy(blob, curve->magic, 4);
	blob[4] = (uint8_t)bytes;
	memset(blob + 5, 0, 3);
	memcpy(blob + 8, point.at + 2, 2 * bytes);
	memset(blob + 8 + 2 * bytes, 0, bytes - secret.left);
	memcpy(blob + 8 + 3 * bytes - secret.left, secret.at, secret.left);
	*bits = curve->bits;
	return 8 + 3 * bytes;
}
