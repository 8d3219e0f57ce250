/*
 * tls_last.c - one thing more over a TLS session whose process was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A record of TLS 1.3 can be made and opened by who knows the traffic secret and the
 * record's number (RFC 8446, 5.2 to 5.4); OpenSSL makes no session of these.  Where
 * the next record begins is not known, nor its number: each place that looks like a
 * record's header is tried with each number that it may have, and the tag says which
 * is right.  From then on one follows the other.
 */
#include "tls_session.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define HEADER		5u
#define TAG		16u
#define NONCE		12u
#define BODY_MAX	(TLS_STAGE_MAX + 256u)
#define RECORDS_LOST	8192u	/* of 128 KiB, each with something in it */
/* Of a server that sends what looks like records and is none. */
#define TRIES_MAX	(8 * RECORDS_LOST)
#define APPLICATION_DATA 23

_Static_assert(NBC_TLS_LAST_OVERHEAD == HEADER + 1 + TAG, "one byte is the type");

static const struct suite {
	uint16_t	id;
	const char	*cipher, *digest;
	size_t		key_len;
	uint8_t		secret_len;
} suites[] = {
	{ 0x1301, "AES-128-GCM", "SHA256", 16, 32 },
	{ 0x1302, "AES-256-GCM", "SHA384", 32, 48 },
	{ 0x1303, "ChaCha20-Poly1305", "SHA256", 32, 32 },
};

struct half {
	EVP_CIPHER_CTX	*ctx;
	uint8_t		iv[NONCE];
};

struct nbc_tls_last {
	struct half	tx, rx;
	struct nbc_tls_records next;
	bool		found;		/* next.rx is right, and begins at in */
	bool		broken;
	unsigned	tries;		/* that failed */
	size_t		in_len, used;	/* used: of in, what was looked at */
	uint8_t		in[HEADER + BODY_MAX + NBC_TLS_LAST_FEED];
	uint8_t		plain[BODY_MAX];
};

/* ---- of the session that is to be followed -------------------------------------- */

static const struct suite *
find_suite(uint32_t id)
{
	for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
		if (suites[i].id == id)
			return &suites[i];
	return NULL;
}

bool
nbc_tls_keys(const struct nbc_tls *tls, struct nbc_tls_keys *keys)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	const struct suite *s =
	    cipher == NULL ? NULL : find_suite(SSL_CIPHER_get_protocol_id(cipher));

	*keys = (struct nbc_tls_keys){ .suite = 0 };
	if (s == NULL || tls->keys_changed || tls->tx.secret_len != s->secret_len ||
	    tls->rx.secret_len != s->secret_len)
		return false;
	keys->suite = s->id;
	keys->secret_len = s->secret_len;
	memcpy(keys->tx, tls->tx.secret, s->secret_len);
	memcpy(keys->rx, tls->rx.secret, s->secret_len);
	return true;
}

bool
nbc_tls_records(const struct nbc_tls *tls, struct nbc_tls_records *records)
{
	records->tx = tls->tx.records;
	records->rx = tls->rx.records;
	return !tls->keys_changed;
}

/* ---- keys ----------------------------------------------------------------------- */

/* RFC 8446, 7.3. */
static bool
make_half(struct half *h, const struct suite *s, const uint8_t *secret, bool seals)
{
	struct tls_direction d = { .secret_len = s->secret_len };
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, s->cipher, NULL);
	uint8_t key[EVP_MAX_KEY_LENGTH];
	bool ok;

	memcpy(d.secret, secret, s->secret_len);
	h->ctx = EVP_CIPHER_CTX_new();
	ok = cipher != NULL && h->ctx != NULL &&
	    nbc_tls_expand_label(&d, s->digest, "key", key, s->key_len) &&
	    nbc_tls_expand_label(&d, s->digest, "iv", h->iv, NONCE) &&
	    EVP_CipherInit_ex(h->ctx, cipher, NULL, key, NULL, seals) == 1;
	EVP_CIPHER_free(cipher);
	OPENSSL_cleanse(key, sizeof key);
	OPENSSL_cleanse(&d, sizeof d);
	return ok;
}

struct nbc_tls_last *
nbc_tls_last_new(const struct nbc_tls_keys *keys, struct nbc_tls_records records)
{
	const struct suite *s = find_suite(keys->suite);
	struct nbc_tls_last *l;

	if (s == NULL || keys->secret_len != s->secret_len)
		return NULL;
	l = calloc(1, sizeof *l);
	if (l == NULL)
		return NULL;
	l->next = records;
	if (make_half(&l->tx, s, keys->tx, true) &&
	    make_half(&l->rx, s, keys->rx, false))
		return l;
	nbc_tls_last_free(l);
	return NULL;
}

void
nbc_tls_last_free(struct nbc_tls_last *l)
{
	if (l == NULL)
		return;
	EVP_CIPHER_CTX_free(l->tx.ctx);
	EVP_CIPHER_CTX_free(l->rx.ctx);
	OPENSSL_cleanse(l, sizeof *l);
	free(l);
}

/* The record's number; and its header, which the tag covers, too (5.2, 5.3). */
static bool
begin(const struct half *h, uint64_t record, const uint8_t header[HEADER])
{
	uint8_t nonce[NONCE];
	int n;

	memcpy(nonce, h->iv, NONCE);
	for (unsigned i = 0; i < 8; i++)
		nonce[NONCE - 1 - i] ^= (uint8_t)(record >> (8 * i));
	return EVP_CipherInit_ex(h->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
	    EVP_CipherUpdate(h->ctx, NULL, &n, header, (int)HEADER) == 1;
}

/* ---- the one record that is sent ------------------------------------------------ */

bool
nbc_tls_last_seal(struct nbc_tls_last *l, const uint8_t *plain, size_t len,
    uint8_t *out)
{
	static const uint8_t type = APPLICATION_DATA;
	EVP_CIPHER_CTX *ctx = l->tx.ctx;
	uint8_t *at = out + HEADER;
	int n, m, rest;

	out[0] = APPLICATION_DATA;
	put16(out + 1, TLS1_2_VERSION);		/* for ever (5.1) */
	put16(out + 3, (uint16_t)(len + 1 + TAG));
	return begin(&l->tx, l->next.tx, out) &&
	    EVP_CipherUpdate(ctx, at, &n, plain, (int)len) == 1 &&
	    EVP_CipherUpdate(ctx, at + n, &m, &type, 1) == 1 &&
	    EVP_CipherFinal_ex(ctx, at + n + m, &rest) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)TAG,
		at + len + 1) == 1;
}

/* ---- what comes ----------------------------------------------------------------- */

void
nbc_tls_last_feed(struct nbc_tls_last *l, const uint8_t *p, size_t len)
{
	l->in_len -= l->used;
	memmove(l->in, l->in + l->used, l->in_len);
	l->used = 0;
	memcpy(l->in + l->in_len, p, len);
	l->in_len += len;
}

/* Of the record there may be at p, its body; 0: there is none. */
static size_t
body_of(const uint8_t *p)
{
	size_t body = get16(p + 3);

	return p[0] == APPLICATION_DATA && get16(p + 1) == TLS1_2_VERSION &&
	    body > TAG && body <= BODY_MAX ? body : 0;
}

/* The bytes before the type, behind which there may be zeroes (RFC 8446, 5.4); none of
 * what is TLS's own. */
static long
content(const uint8_t *plain, size_t len)
{
	while (len > 0 && plain[len - 1] == 0)
		len--;
	return len > 0 && plain[len - 1] == APPLICATION_DATA ? (long)len - 1 : 0;
}

/* Whether it is the record of this number; then it is in plain. */
static bool
opens(struct nbc_tls_last *l, const uint8_t *p, size_t body, uint64_t record)
{
	EVP_CIPHER_CTX *ctx = l->rx.ctx;
	uint8_t tag[TAG];
	int n, rest;

	memcpy(tag, p + HEADER + body - TAG, TAG);
	return begin(&l->rx, record, p) &&
	    EVP_CipherUpdate(ctx, l->plain, &n, p + HEADER, (int)(body - TAG)) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)TAG, tag) == 1 &&
	    EVP_CipherFinal_ex(ctx, l->plain + n, &rest) == 1;
}

static bool
find_number(struct nbc_tls_last *l, const uint8_t *p, size_t body)
{
	uint64_t end = l->next.rx + (l->found ? 1 : RECORDS_LOST);

	for (uint64_t i = l->next.rx; i < end && l->tries < TRIES_MAX; i++) {
		if (!opens(l, p, body, i)) {
			l->tries++;
			continue;
		}
		l->next.rx = i + 1;
		l->found = true;
		return true;
	}
	l->broken = l->tries == TRIES_MAX;
	return false;
}

long
nbc_tls_last_open(struct nbc_tls_last *l, const uint8_t **plain)
{
	size_t at = l->used, body;
	long len = 0;

	*plain = l->plain;
	while (len == 0 && !l->broken && l->in_len - at >= HEADER) {
		body = body_of(l->in + at);
		if (body != 0 && l->in_len - at < HEADER + body)
			break;
		if (body != 0 && find_number(l, l->in + at, body)) {
			len = content(l->plain, body - TAG);
			at += HEADER + body;
		} else {
			l->broken |= l->found;
			at++;
		}
	}
	l->used = at;
	return l->broken ? -1 : len;
}
