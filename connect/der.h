/*
 * der.h - elements of DER (X.690), one behind the other.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NBC_DER_H
#define NBC_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DER_INTEGER	0x02
#define DER_BITS	0x03
#define DER_OCTETS	0x04
#define DER_OID		0x06
#define DER_SEQUENCE	0x30
#define DER_CONTEXT(n)	(0xa0 | (n))	/* constructed */

struct der {
	const uint8_t *at;
	size_t	left;
};

/* The next element, which must be of this tag; d moves behind it. */
static inline bool
der_take(struct der *d, uint8_t tag, struct der *content)
{
	size_t len, n = 2;

	if (d->left < 2 || d->at[0] != tag)
		return false;
	len = d->at[1];
	if (len >= 0x80) {		/* that many bytes of length follow */
		unsigned bytes = len & 0x7f;

		if (bytes < 1 || bytes > 4 || d->left < 2 + bytes)
			return false;
		for (len = 0; n < 2 + bytes; n++)
			len = len << 8 | d->at[n];
	}
	if (len > d->left - n)
		return false;
	*content = (struct der){ d->at + n, len };
	d->at += n + len;
	d->left -= n + len;
	return true;
}

static inline bool
der_is_next(const struct der *d, uint8_t tag)
{
	return d->left > 0 && d->at[0] == tag;
}

/* oid's bytes, without tag and length. */
static inline bool
der_is_oid(struct der d, const uint8_t *oid, size_t len)
{
	return d.left == len && memcmp(d.at, oid, len) == 0;
}

#endif
