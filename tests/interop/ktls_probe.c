/*
 * ktls_probe.c - are the keys right that the kernel would get?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *	ktls_probe CA target RELEASE
 *
 * RELEASE is the kernel's, as uname(2) tells it.
 *
 * Connects with kernel TLS allowed, but setsockopt is replaced (ld --wrap): it keeps
 * what TLS_TX and TLS_RX were given.  So is getsockopt, which gives it back as the
 * kernel would, with the record's number of now.  With that, and nothing else, this
 * program then reads one block from the server as the kernel would: sealing and opening
 * the TLS 1.3 records (RFC 8446, 5.2) by itself.  A wrong key, nonce or record number
 * would make the server hang up, or the tag not fit.
 */
#include <stdio.h>
#include <string.h>

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "connect.h"
#include "tls.h"
#include "wire.h"

#define HEADER_LEN	5u
#define TAG_LEN		16u
#define RECORD_MAX	(16384u + 256u)
#define APPLICATION_DATA 23
#define READ_LEN	512u
#define GCM_LIMIT	UINT64_C(23726566)	/* 2^24.5 */

#ifndef SOL_TLS
#define SOL_TLS		282
#endif

struct direction {
	union {
		struct tls_crypto_info info;
		struct tls12_crypto_info_aes_gcm_128 aes128;
		struct tls12_crypto_info_aes_gcm_256 aes256;
	} given;
	const EVP_CIPHER *cipher;
	uint8_t key[32], iv[12];
	uint64_t record;
};

static struct direction tx, rx;

int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);
int __real_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_getsockopt(int, int, int, void *, socklen_t *);
int __wrap_uname(struct utsname *);

static const char *release;

int
__wrap_uname(struct utsname *u)
{
	snprintf(u->release, sizeof u->release, "%s", release);
	return 0;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct direction *d = name == TLS_TX ? &tx : &rx;

	if (level == IPPROTO_TCP && name == TCP_ULP)
		return 0;
	if (level != SOL_TLS)
		return __real_setsockopt(fd, level, name, value, len);
	if (len > sizeof d->given)
		return -1;
	memcpy(&d->given, value, len);
	return 0;
}

/* The number is the last field of both structures. */
int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct direction *d = name == TLS_TX ? &tx : &rx;
	size_t whole = d->given.info.cipher_type == TLS_CIPHER_AES_GCM_128 ?
	    sizeof d->given.aes128 : sizeof d->given.aes256;

	if (level != SOL_TLS)
		return __real_getsockopt(fd, level, name, value, len);
	if (*len != sizeof d->given.info && *len != whole)
		return -1;
	memcpy(value, &d->given, *len);
	if (*len == whole)
		put64((uint8_t *)value + whole - 8, d->record);
	return 0;
}

static bool
take_keys(struct direction *d)
{
	if (d->given.info.version != TLS_1_3_VERSION)
		return false;
	if (d->given.info.cipher_type == TLS_CIPHER_AES_GCM_128) {
		d->cipher = EVP_aes_128_gcm();
		memcpy(d->key, d->given.aes128.key, sizeof d->given.aes128.key);
		memcpy(d->iv, d->given.aes128.salt, 4);
		memcpy(d->iv + 4, d->given.aes128.iv, 8);
		d->record = get64(d->given.aes128.rec_seq);
	} else if (d->given.info.cipher_type == TLS_CIPHER_AES_GCM_256) {
		d->cipher = EVP_aes_256_gcm();
		memcpy(d->key, d->given.aes256.key, sizeof d->given.aes256.key);
		memcpy(d->iv, d->given.aes256.salt, 4);
		memcpy(d->iv + 4, d->given.aes256.iv, 8);
		d->record = get64(d->given.aes256.rec_seq);
	} else {
		return false;
	}
	return true;
}

/* One record's AEAD, in place; the tag is made or checked. */
static bool
crypt_record(struct direction *d, bool seal, const uint8_t *header, uint8_t *body,
    int len, uint8_t *tag)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	const int set = EVP_CTRL_AEAD_SET_TAG, get = EVP_CTRL_AEAD_GET_TAG;
	uint8_t nonce[12];
	int i, n;
	bool ok;

	memcpy(nonce, d->iv, sizeof nonce);
	for (i = 0; i < 8; i++)
		nonce[4 + i] ^= (uint8_t)(d->record >> (56 - 8 * i));
	d->record++;
	ok = EVP_CipherInit_ex(c, d->cipher, NULL, d->key, nonce, seal) == 1 &&
	    EVP_CipherUpdate(c, NULL, &n, header, HEADER_LEN) == 1 &&
	    EVP_CipherUpdate(c, body, &n, body, len) == 1 &&
	    (seal || EVP_CIPHER_CTX_ctrl(c, set, TAG_LEN, tag) == 1) &&
	    EVP_CipherFinal_ex(c, body + len, &n) == 1 &&
	    (!seal || EVP_CIPHER_CTX_ctrl(c, get, TAG_LEN, tag) == 1);
	EVP_CIPHER_CTX_free(c);
	return ok;
}

static void
put_header(uint8_t *header, size_t len)
{
	header[0] = APPLICATION_DATA;
	header[1] = header[2] = 3;
	put16(header + 3, (uint16_t)len);
}

/* As after this many records, in one direction and then in the other. */
static bool
counts_down(int fd)
{
	const struct direction now[] = { tx, rx };
	static const struct { uint64_t sent, received, left; } rows[] = {
		{ 2, 4, GCM_LIMIT - 4 },
		{ GCM_LIMIT - 1, 7, 1 },
		{ 3, GCM_LIMIT, 0 },
		{ GCM_LIMIT + 9, 1, 0 },
	};
	bool ok = true;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		tx.record = rows[i].sent;
		rx.record = rows[i].received;
		ok = ok && nbc_ktls_records_left(fd) == rows[i].left;
	}
	tx = now[0];
	rx = now[1];
	return ok;
}

static bool
send_record(int fd, const uint8_t *plain, size_t len)
{
	uint8_t record[256];
	size_t body_len = len + 1;	/* the real type follows the bytes */

	put_header(record, body_len + TAG_LEN);
	memcpy(record + HEADER_LEN, plain, len);
	record[HEADER_LEN + len] = APPLICATION_DATA;
	return crypt_record(&tx, true, record, record + HEADER_LEN, (int)body_len,
	    record + HEADER_LEN + body_len) &&
	    send(fd, record, HEADER_LEN + body_len + TAG_LEN, 0) ==
	    (ssize_t)(HEADER_LEN + body_len + TAG_LEN);
}

/* Plain bytes of the next record, or -1. */
static int
recv_record(int fd, uint8_t *record)
{
	int len;

	if (recv(fd, record, HEADER_LEN, MSG_WAITALL) != HEADER_LEN)
		return -1;
	len = get16(record + 3) - (int)TAG_LEN;
	if (len < 1 || len + TAG_LEN > RECORD_MAX ||
	    recv(fd, record + HEADER_LEN, (size_t)len + TAG_LEN, MSG_WAITALL) !=
		(ssize_t)(len + (int)TAG_LEN))
		return -1;
	if (!crypt_record(&rx, false, record, record + HEADER_LEN, len,
		record + HEADER_LEN + len) ||
	    record[HEADER_LEN + len - 1] != APPLICATION_DATA)
		return -1;
	return len - 1;
}

static bool
read_first_block(int fd)
{
	uint8_t request[LEN_REQUEST] = { 0 }, record[HEADER_LEN + RECORD_MAX];
	uint8_t got[LEN_SIMPLE_REPLY + READ_LEN];
	size_t have = 0;

	put32(request, MAGIC_REQUEST);
	put32(request + 24, READ_LEN);
	if (!send_record(fd, request, sizeof request))
		return false;
	while (have < sizeof got) {
		int len = recv_record(fd, record);

		if (len < 0 || (size_t)len > sizeof got - have)
			return false;
		memcpy(got + have, record + HEADER_LEN, (size_t)len);
		have += (size_t)len;
	}
	printf("data=%02x%02x%02x%02x\n", got[16], got[17], got[18], got[19]);
	return get32(got) == MAGIC_SIMPLE_REPLY && get32(got + 4) == 0;
}

int
main(int argc, char **argv)
{
	struct nbc_options options = { .timeout_ms = 5000, .cancel_fd = -1,
		.allow_ktls = true };
	struct nbc_target target = { 0 };
	struct nbc_tls_context *context = NULL;
	struct nbc_conn conn;
	struct nbc_error err;
	bool ok;

	release = argc == 4 ? argv[3] : "";
	if (argc != 4 || !nbc_target_parse(&target, argv[2], &err))
		return 99;
	target.ca_file = strdup(argv[1]);
	ok = nbc_tls_context_load(&context, &target, &err) &&
	    nbc_open(&conn, &target, context, &options, &err);
	if (!ok) {
		fprintf(stderr, "%s\n", err.text);
	} else {
		printf("ktls=%d\ntls=%d\n", conn.ktls, conn.exp.tls);
		ok = conn.ktls && conn.tls == NULL && take_keys(&tx) &&
		    take_keys(&rx) && read_first_block(conn.fd) &&
		    counts_down(conn.fd);
		printf("records sent=%llu received=%llu\n",
		    (unsigned long long)tx.record, (unsigned long long)rx.record);
		nbc_close(&conn, false);
	}
	nbc_tls_context_free(context);
	nbc_target_free(&target);
	return ok ? 0 : 1;
}
