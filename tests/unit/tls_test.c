/*
 * tls_test.c - a TLS session against OpenSSL's own server, both in memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "connect.h"
#include "test.h"
#include "tls.h"

#define DATA_LEN	100000u
#define PIECE_MAX	40000u

struct pair {
	struct nbc_tls_context *context;
	struct nbc_tls	*client;
	SSL_CTX		*server_context;
	SSL		*server;
	BIO		*in, *out;	/* of the server */
	uint8_t		data[DATA_LEN], got[DATA_LEN], wire[2 * DATA_LEN];
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static X509 *
make_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	must(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void
make_server(struct pair *p, int version)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);

	p->server_context = SSL_CTX_new(TLS_server_method());
	must(SSL_CTX_set_max_proto_version(p->server_context, version) == 1);
	must(SSL_CTX_use_certificate(p->server_context, cert) == 1);
	must(SSL_CTX_use_PrivateKey(p->server_context, key) == 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	p->server = SSL_new(p->server_context);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	SSL_set_bio(p->server, p->in, p->out);
	SSL_set_accept_state(p->server);
}

static void
make_client(struct pair *p, bool no_verify)
{
	char host[] = "test";
	struct nbc_target target = { .host = host, .tls = NBE_TLS_REQUIRED,
		.tls_no_verify = no_verify };
	struct nbc_error err;

	must(nbc_tls_context_load(&p->context, &target, &err));
	p->client = nbc_tls_new(p->context, false);
	must(p->client != NULL);
}

static size_t
client_to_server(struct pair *p)
{
	size_t len = nbc_tls_output(p->client, p->wire, sizeof p->wire);

	if (len > 0)
		must(BIO_write(p->in, p->wire, (int)len) == (int)len);
	return len;
}

/* In pieces of piece bytes. */
static void
server_to_client(struct pair *p, size_t piece)
{
	int len;

	while ((len = BIO_read(p->out, p->wire, (int)piece)) > 0)
		CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
}

static enum nbc_tls_step
handshake(struct pair *p)
{
	enum nbc_tls_step step = NBC_TLS_MORE;
	int i;

	for (i = 0; i < 20 && step == NBC_TLS_MORE; i++) {
		step = nbc_tls_handshake(p->client);
		client_to_server(p);
		(void)SSL_do_handshake(p->server);
		server_to_client(p, 7);
	}
	return step;
}

static struct pair *
pair_new(int version)
{
	struct pair *p = calloc(1, sizeof *p);
	size_t i;

	must(p != NULL);
	for (i = 0; i < DATA_LEN; i++)
		p->data[i] = (uint8_t)(i * 7 + (i >> 8));
	make_server(p, version);
	make_client(p, true);
	CHECK(handshake(p) == NBC_TLS_UP);
	return p;
}

static void
pair_free(struct pair *p)
{
	nbc_tls_free(p->client);
	nbc_tls_context_free(p->context);
	SSL_free(p->server);
	SSL_CTX_free(p->server_context);
	free(p);
}

/* ---- sending ---------------------------------------------------------------- */

static size_t
server_reads(struct pair *p, size_t have)
{
	int n;

	while (have < DATA_LEN && (n = SSL_read(p->server, p->got + have,
	    (int)(DATA_LEN - have))) > 0)
		have += (size_t)n;
	return have;
}

/* All data, as pieces of growing size, into an out of the given room. */
static void
check_seal(struct pair *p, size_t room)
{
	size_t at = 0, have = 0, size = 1, out_len;
	long taken;

	while (at < DATA_LEN) {
		size_t left = DATA_LEN - at, len = size < left ? size : left;
		struct iovec iov[3] = {
			{ p->data + at, len / 3 },
			{ p->data, 0 },
			{ p->data + at + len / 3, len - len / 3 },
		};

		taken = nbc_tls_seal(p->client, iov, 3, p->wire, room, &out_len);
		CHECK(taken > 0 && out_len <= room);
		if (taken <= 0)
			return;
		if (nbc_tls_sealed_max(len) <= room)
			CHECK((size_t)taken == len);
		must(BIO_write(p->in, p->wire, (int)out_len) == (int)out_len);
		at += (size_t)taken;
		have = server_reads(p, have);
		size = size * 3 + 1 < PIECE_MAX ? size * 3 + 1 : PIECE_MAX;
	}
	CHECK(have == DATA_LEN && memcmp(p->got, p->data, DATA_LEN) == 0);
}

static void
seal_in_any_room(int version)
{
	static const size_t rooms[] = { 300, 1000, 16384, 17000, 33000, 100000 };
	size_t i;

	for (i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
		struct pair *p = pair_new(version);

		check_seal(p, rooms[i]);
		pair_free(p);
	}
}

static void
test_seal_tls13(void)
{
	seal_in_any_room(TLS1_3_VERSION);
}

static void
test_seal_tls12(void)
{
	seal_in_any_room(TLS1_2_VERSION);
}

/* ---- receiving -------------------------------------------------------------- */

static void
check_open(struct pair *p, size_t piece, size_t room)
{
	size_t have = 0;
	long n;
	int len;

	must(SSL_write(p->server, p->data, DATA_LEN) == (int)DATA_LEN);
	while ((len = BIO_read(p->out, p->wire, (int)piece)) > 0) {
		CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
		while ((n = nbc_tls_open(p->client, p->got + have,
		    room < DATA_LEN - have ? room : DATA_LEN - have)) > 0)
			have += (size_t)n;
		CHECK(n == 0);
		if (have == DATA_LEN)
			break;
	}
	CHECK(have == DATA_LEN && memcmp(p->got, p->data, DATA_LEN) == 0);
}

static void
test_open_in_any_pieces(void)
{
	static const size_t pieces[] = { 1, 100, 5000, 70000 };
	size_t i, j;

	for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
		for (j = 1; j < sizeof pieces / sizeof pieces[0]; j++) {
			struct pair *p = pair_new(TLS1_3_VERSION);

			check_open(p, pieces[i], pieces[j]);
			pair_free(p);
		}
}

/* ---- records of TLS's own ----------------------------------------------------- */

static void
test_point_37_key_update(void)
{
	struct pair *p = pair_new(TLS1_3_VERSION);

	CHECK(SSL_key_update(p->server, SSL_KEY_UPDATE_REQUESTED) == 1);
	check_open(p, 1000, 1000);
	/* The answer to it goes out with the next data, whose keys are new. */
	check_seal(p, 17000);
	CHECK(SSL_get_key_update_type(p->server) == SSL_KEY_UPDATE_NONE);
	pair_free(p);
}

static void
test_point_36_close_notify(void)
{
	struct pair *p = pair_new(TLS1_3_VERSION);
	uint8_t byte;

	nbc_tls_shutdown(p->client);
	CHECK(client_to_server(p) > 0);
	CHECK(SSL_read(p->server, &byte, 1) == 0);
	CHECK(SSL_get_shutdown(p->server) & SSL_RECEIVED_SHUTDOWN);
	SSL_shutdown(p->server);
	server_to_client(p, 1000);
	CHECK(nbc_tls_open(p->client, &byte, 1) == -2);
	pair_free(p);
}

static void
test_damaged_record(void)
{
	struct pair *p = pair_new(TLS1_3_VERSION);
	uint8_t buf[100];
	int len;

	must(SSL_write(p->server, p->data, 100) == 100);
	len = BIO_read(p->out, p->wire, sizeof p->wire);
	p->wire[len - 1] ^= 1;
	CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
	while (nbc_tls_open(p->client, buf, sizeof buf) == 0 &&
	    (len = BIO_read(p->out, p->wire, sizeof p->wire)) > 0)
		CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
	CHECK(nbc_tls_open(p->client, buf, sizeof buf) == -1);
	CHECK(strlen(nbc_tls_error(p->client)) > 0);
	pair_free(p);
}

/* ---- who it is not -------------------------------------------------------------- */

static void
test_point_32_certificate_of_nobody(void)
{
	struct pair *p = calloc(1, sizeof *p);

	must(p != NULL);
	make_server(p, TLS1_3_VERSION);
	make_client(p, false);
	CHECK(handshake(p) == NBC_TLS_BROKEN);
	CHECK(strstr(nbc_tls_error(p->client), "self-signed") != NULL);
	CHECK(strstr(nbc_tls_error(p->client), "CN=test") != NULL);
	pair_free(p);
}

static void
test_point_32_tls_11(void)
{
	struct pair *p = calloc(1, sizeof *p);

	must(p != NULL);
	make_server(p, TLS1_1_VERSION);
	make_client(p, true);
	CHECK(handshake(p) == NBC_TLS_BROKEN);
	CHECK(strstr(nbc_tls_error(p->client), "no TLS 1.2 or newer") != NULL);
	pair_free(p);
}

static const struct test tests[] = {
	{ "seal_tls13", test_seal_tls13 },
	{ "seal_tls12", test_seal_tls12 },
	{ "open_in_any_pieces", test_open_in_any_pieces },
	{ "point_37_key_update", test_point_37_key_update },
	{ "point_36_close_notify", test_point_36_close_notify },
	{ "damaged_record", test_damaged_record },
	{ "point_32_certificate_of_nobody", test_point_32_certificate_of_nobody },
	{ "point_32_tls_11", test_point_32_tls_11 },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
