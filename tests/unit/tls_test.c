/*
 * tls_test.c - a TLS session against OpenSSL's own server, both in memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
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
make_server_of(struct pair *p, int version, EVP_PKEY *key, X509 *cert)
{
	p->server_context = SSL_CTX_new(TLS_server_method());
	must(SSL_CTX_set_max_proto_version(p->server_context, version) == 1);
	must(SSL_CTX_use_certificate(p->server_context, cert) == 1);
	must(SSL_CTX_use_PrivateKey(p->server_context, key) == 1);
	p->server = SSL_new(p->server_context);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	SSL_set_bio(p->server, p->in, p->out);
	SSL_set_accept_state(p->server);
}

static void
make_server(struct pair *p, int version)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);

	make_server_of(p, version, key, cert);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
make_client(struct pair *p, bool no_verify)
{
	char host[] = "test";
	struct nbc_target target = { .host = host, .tls = NBE_TLS_REQUIRED,
		.tls_no_verify = no_verify };
	struct nbc_options options = { .cancel_fd = -1, .allow_ktls = true };
	struct nbc_error err;

	must(nbc_tls_context_load(&p->context, &target, &err));
	p->client = nbc_tls_new(p->context, &options, &err);
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

static void
server_to_client(struct pair *p)
{
	int len = BIO_read(p->out, p->wire, sizeof p->wire);

	if (len > 0)
		CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
}

/* What the server says comes in pieces of 7 bytes. */
static enum nbc_tls_step
handshake(struct pair *p)
{
	enum nbc_tls_step step = nbc_tls_handshake(p->client);
	int i, len;

	for (i = 0; i < 20 && step == NBC_TLS_MORE; i++) {
		client_to_server(p);
		(void)SSL_do_handshake(p->server);
		while (step == NBC_TLS_MORE &&
		    (len = BIO_read(p->out, p->wire, 7)) > 0) {
			CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len) == 0);
			step = nbc_tls_handshake(p->client);
		}
	}
	client_to_server(p);
	(void)SSL_do_handshake(p->server);
	return step;
}

/* suites: of TLS 1.3; NULL: all. */
static struct pair *
pair_of(int version, const char *suites)
{
	struct pair *p = calloc(1, sizeof *p);
	size_t i;

	must(p != NULL);
	for (i = 0; i < DATA_LEN; i++)
		p->data[i] = (uint8_t)(i * 7 + (i >> 8));
	make_server(p, version);
	must(suites == NULL || SSL_set_ciphersuites(p->server, suites) == 1);
	make_client(p, true);
	CHECK(handshake(p) == NBC_TLS_UP);
	return p;
}

static struct pair *
pair_new(int version)
{
	return pair_of(version, NULL);
}

static void
pair_free(struct pair *p)
{
	nbc_tls_free(p->client);
	nbc_tls_context_free(p->context);
	SSL_free(p->server);
	SSL_CTX_free(p->server_context);
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
		free(p);
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
		free(p);
		}
}

/* Where a thread has several sessions, or others use OpenSSL in it. */
static void
test_errors_of_others(void)
{
	struct pair *p = pair_new(TLS1_3_VERSION);
	uint8_t buf[100];
	int len;

	must(SSL_write(p->server, p->data, 100) == 100);
	must((len = BIO_read(p->out, p->wire, sizeof p->wire)) > 0);
	ERR_raise(ERR_LIB_USER, 1);
	CHECK(nbc_tls_feed(p->client, p->wire, (size_t)len - 1) == 0);
	while (nbc_tls_open(p->client, buf, sizeof buf) > 0)
		;
	ERR_raise(ERR_LIB_USER, 1);
	CHECK(nbc_tls_open(p->client, buf, sizeof buf) == 0);
	CHECK(nbc_tls_feed(p->client, p->wire + len - 1, 1) == 0);
	CHECK(nbc_tls_open(p->client, buf, sizeof buf) == 100);
	CHECK(nbc_tls_open(p->client, buf, sizeof buf) == 0);
	ERR_raise(ERR_LIB_USER, 1);
	check_seal(p, 17000);
	pair_free(p);
	free(p);
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
	free(p);
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
	server_to_client(p);
	CHECK(nbc_tls_open(p->client, &byte, 1) == -2);
	pair_free(p);
	free(p);
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
	free(p);
}

/* ---- one thing more, when the process is dead ----------------------------------- */

static const char question[] = "is all safe?", answer[] = "it is";

/* Records of the server's of all sizes up to a KiB: behind each other in wire; their
 * length. */
static size_t
server_says(struct pair *p, int records)
{
	for (int i = 0; i < records; i++) {
		int len = 1 + i * 37 % 1024;

		must(SSL_write(p->server, p->data, len) == len);
	}
	return (size_t)BIO_read(p->out, p->wire, sizeof p->wire);
}

/* What the client still takes itself. */
static void
client_takes(struct pair *p, size_t len)
{
	CHECK(nbc_tls_feed(p->client, p->wire, len) == 0);
	while (nbc_tls_open(p->client, p->got, DATA_LEN) > 0)
		;
}

static void
client_says(struct pair *p, int records)
{
	struct iovec iov = { p->data, 100 };
	size_t len;

	for (int i = 0; i < records; i++) {
		must(nbc_tls_seal(p->client, &iov, 1, p->wire, sizeof p->wire,
			&len) == 100);
		must(BIO_write(p->in, p->wire, (int)len) == (int)len);
		must(SSL_read(p->server, p->got, DATA_LEN) == 100);
	}
}

/* As the next process knows it. */
static struct nbc_tls_last *
last_of(const struct pair *p)
{
	struct nbc_tls_keys keys;
	struct nbc_tls_records records = { 0 };

	CHECK(nbc_tls_keys(p->client, &keys) && nbc_tls_records(p->client, &records));
	return nbc_tls_last_new(&keys, records);
}

/* Whether the server hears the question, and says something after it. */
static bool
asks(struct pair *p, struct nbc_tls_last *l)
{
	uint8_t out[sizeof question + NBC_TLS_LAST_OVERHEAD];

	must(nbc_tls_last_seal(l, (const uint8_t *)question, sizeof question, out));
	must(BIO_write(p->in, out, sizeof out) == (int)sizeof out);
	if (SSL_read(p->server, p->got, DATA_LEN) != (int)sizeof question)
		return false;
	CHECK(memcmp(p->got, question, sizeof question) == 0);
	must(SSL_write(p->server, answer, sizeof answer) == (int)sizeof answer);
	return true;
}

/* Whether the answer is the last of what is found in these bytes, in such pieces. */
static bool
hears(struct nbc_tls_last *l, const uint8_t *p, size_t len, size_t piece)
{
	const uint8_t *plain;
	bool heard = false;
	long n = 0;

	for (size_t at = 0; at < len && n == 0; at += piece) {
		nbc_tls_last_feed(l, p + at, len - at < piece ? len - at : piece);
		while ((n = nbc_tls_last_open(l, &plain)) > 0)
			heard = n == (long)sizeof answer &&
			    memcmp(plain, answer, sizeof answer) == 0;
	}
	return heard && n == 0;
}

/* It was killed when it had taken so many bytes of these from the socket, and OpenSSL
 * had looked at fewer. */
static bool
is_answered(struct pair *p, size_t looked_at, size_t taken, size_t piece)
{
	size_t len = server_says(p, 200), more;
	struct nbc_tls_last *l;
	bool ok;

	CHECK(taken < len);
	client_takes(p, looked_at);
	l = last_of(p);
	ok = asks(p, l);
	more = (size_t)BIO_read(p->out, p->wire + len, (int)(sizeof p->wire - len));
	ok = ok && hears(l, p->wire + taken, len + more - taken, piece);
	nbc_tls_last_free(l);
	return ok;
}

static void
test_last_words(void)
{
	static const char *const suites[] = { "TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" };
	static const struct { size_t looked_at, taken, piece; } rows[] = {
		{ 0, 0, 4096 }, { 1000, 1000, 4096 }, { 1000, 50001, 4096 },
		{ 30000, 30000, 1 }, { 22222, 99999, 777 },
	};

	for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
		for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
			struct pair *p = pair_of(TLS1_3_VERSION, suites[i]);

			client_takes(p, server_says(p, 5));
			client_says(p, 4);
			CHECK(is_answered(p, rows[j].looked_at, rows[j].taken,
			    rows[j].piece));
			pair_free(p);
			free(p);
		}
}

static void
test_last_words_of_none(void)
{
	struct pair *p = pair_new(TLS1_2_VERSION);
	struct nbc_tls_records records = { 0 };
	struct nbc_tls_keys keys;

	CHECK(!nbc_tls_keys(p->client, &keys));
	CHECK(nbc_tls_last_new(&keys, records) == NULL);
	pair_free(p);
	free(p);
	p = pair_new(TLS1_3_VERSION);
	CHECK(nbc_tls_keys(p->client, &keys));
	keys.secret_len--;
	CHECK(nbc_tls_last_new(&keys, records) == NULL);
	CHECK(SSL_key_update(p->server, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
	client_takes(p, server_says(p, 1));
	CHECK(!nbc_tls_records(p->client, &records));
	CHECK(!nbc_tls_keys(p->client, &keys));
	pair_free(p);
	free(p);
}

/* A record too many is sent; one that was not looked at is taken for one that was. */
static void
test_last_words_miscounted(void)
{
	struct pair *p = pair_new(TLS1_3_VERSION);
	struct nbc_tls_records records = { 0 };
	struct nbc_tls_keys keys;
	struct nbc_tls_last *l;
	size_t len;

	CHECK(nbc_tls_keys(p->client, &keys) && nbc_tls_records(p->client, &records));
	records.rx += 3;
	l = nbc_tls_last_new(&keys, records);
	len = server_says(p, 2);
	CHECK(!hears(l, p->wire, len, 4096));
	nbc_tls_last_free(l);
	records.tx++;
	l = nbc_tls_last_new(&keys, records);
	CHECK(!asks(p, l));
	nbc_tls_last_free(l);
	pair_free(p);
	free(p);
}

/* Headers and nothing else: it gives up, and does not try each of them 8192 times. */
static void
test_last_words_to_a_liar(void)
{
	static const uint8_t record[22] = { 23, 3, 3, 0, 17, 1 };
	struct pair *p = pair_new(TLS1_3_VERSION);
	struct nbc_tls_last *l = last_of(p);
	const uint8_t *plain;
	long n = 0;

	for (unsigned i = 0; i < 1000 && n == 0; i++) {
		nbc_tls_last_feed(l, record, sizeof record);
		n = nbc_tls_last_open(l, &plain);
	}
	CHECK(n == -1);
	CHECK(nbc_tls_last_open(l, &plain) == -1);
	nbc_tls_last_free(l);
	/* Behind a record that opens there is nothing else. */
	l = last_of(p);
	n = (long)server_says(p, 1);
	memcpy(p->wire + n, record, sizeof record);
	nbc_tls_last_feed(l, p->wire, (size_t)n + sizeof record);
	CHECK(nbc_tls_last_open(l, &plain) == 1 && plain[0] == p->data[0]);
	CHECK(nbc_tls_last_open(l, &plain) == -1);
	nbc_tls_last_free(l);
	pair_free(p);
	free(p);
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
	free(p);
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
	free(p);
}

/* ---- files are read again -------------------------------------------------------- */

/* What a file has now: this text, or an errno. */
struct content {
	const char *text;
	int	error;
};

struct opener {
	struct content now[NBC_FILES];
	unsigned calls[NBC_FILES];
};

static FILE *
temporary(const char *text)
{
	FILE *f = tmpfile();

	must(f != NULL && fputs(text, f) >= 0 && fflush(f) == 0);
	rewind(f);
	return f;
}

static int
open_now(void *arg, enum nbc_tls_file file)
{
	struct opener *o = arg;
	FILE *f;
	int fd;

	o->calls[file]++;
	errno = o->now[file].error;
	if (errno != 0)
		return -1;
	f = temporary(o->now[file].text);
	fd = dup(fileno(f));
	fclose(f);
	return fd;
}

/* A name of a new file, in *path. */
static void
write_file(char path[32], const char *text)
{
	int fd;
	FILE *f;

	strcpy(path, "/tmp/nbdisk-tls.XXXXXX");
	fd = mkstemp(path);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	must(f != NULL && fputs(text, f) >= 0);
	fclose(f);
}

/* PEM of what print writes, to be freed. */
static char *
pem(int (*print)(BIO *, const void *), const void *what)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	int len;

	must(print(bio, what) == 1);
	len = (int)BIO_pending(bio);
	text = calloc(1, (size_t)len + 1);
	must(text != NULL && BIO_read(bio, text, len) == len);
	BIO_free(bio);
	return text;
}

static int
print_certificate(BIO *bio, const void *cert)
{
	return PEM_write_bio_X509(bio, cert);
}

static int
print_list(BIO *bio, const void *crl)
{
	return PEM_write_bio_X509_CRL(bio, crl);
}

static int
print_key(BIO *bio, const void *key)
{
	return PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
}

/* With the password "sesame". */
static int
print_locked_key(BIO *bio, const void *key)
{
	return PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(), NULL, 0, NULL,
	    (void *)(uintptr_t)"sesame");
}

/* Somebody with a certificate of their own, and a list of whom they took back. */
struct party {
	EVP_PKEY *key;
	X509	*cert;
	char	*cert_pem, *key_pem, *locked_pem, *empty_list, *own_list;
};

static char *
make_list(const struct party *p, bool has_own)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0), *next = X509_gmtime_adj(NULL, 3600);
	X509_REVOKED *revoked;
	char *text;

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(p->cert));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	if (has_own) {
		revoked = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(p->cert));
		X509_REVOKED_set_revocationDate(revoked, now);
		must(X509_CRL_add0_revoked(crl, revoked) == 1);
	}
	must(X509_CRL_sign(crl, p->key, EVP_sha256()) > 0);
	text = pem(print_list, crl);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	return text;
}

static struct party
party_new(void)
{
	struct party p = { .key = EVP_EC_gen("P-256") };

	p.cert = make_certificate(p.key);
	p.cert_pem = pem(print_certificate, p.cert);
	p.key_pem = pem(print_key, p.key);
	p.locked_pem = pem(print_locked_key, p.key);
	p.empty_list = make_list(&p, false);
	p.own_list = make_list(&p, true);
	return p;
}

static void
party_free(struct party *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
	free(p->cert_pem);
	free(p->key_pem);
	free(p->locked_pem);
	free(p->empty_list);
	free(p->own_list);
}

/* The files of a target, written, loaded and removed again: from here on only the
 * opener has them. */
static struct nbc_tls_context *
load_and_remove(struct nbc_target *t, const struct content first[NBC_FILES])
{
	char **const field[NBC_FILES] = { &t->ca_file, &t->crl_file, &t->cert_file,
		&t->key_file, &t->key_password_file, &t->psk_file };
	char path[NBC_FILES][32];
	struct nbc_tls_context *context = NULL;
	struct nbc_error err = { .kind = NBC_OK };

	for (int i = 0; i < NBC_FILES; i++)
		if (first[i].text != NULL) {
			write_file(path[i], first[i].text);
			*field[i] = path[i];
		}
	CHECK(nbc_tls_context_load(&context, t, &err));
	if (err.kind != NBC_OK)
		printf("# %s\n", err.text);
	for (int i = 0; i < NBC_FILES; i++)
		if (first[i].text != NULL) {
			CHECK(strcmp(nbc_tls_context_path(context, i), path[i]) == 0);
			unlink(path[i]);
		}
	return context;
}

/* A handshake with a server that has server's certificate, or that key; what is said
 * when there is none goes to *said. */
static bool
connects(const struct nbc_tls_context *context, struct opener *o,
    const struct party *server, struct nbc_error *err)
{
	struct nbc_options options = { .open_file = open_now, .open_arg = o };
	struct pair p = { 0 };
	bool up;

	err->text[0] = '\0';
	p.client = nbc_tls_new(context, &options, err);
	if (p.client == NULL)
		return false;
	make_server_of(&p, TLS1_3_VERSION, server->key, server->cert);
	up = handshake(&p) == NBC_TLS_UP;
	if (!up)
		snprintf(err->text, sizeof err->text, "%s", nbc_tls_error(p.client));
	pair_free(&p);
	return up;
}

/* One file after another has something else at a later connection. */
static void
test_files_are_read_for_each_session(void)
{
	struct party one = party_new(), two = party_new();
	char host[] = "test", half[64];
	struct nbc_target target = { .host = host, .tls = NBE_TLS_REQUIRED };
	const struct content first[NBC_FILES] = {
		[NBC_FILE_CA] = { .text = one.cert_pem },
		[NBC_FILE_CRL] = { .text = one.empty_list },
		[NBC_FILE_CERT] = { .text = one.cert_pem },
		[NBC_FILE_KEY] = { .text = one.locked_pem },
		[NBC_FILE_KEY_PASSWORD] = { .text = "sesame\n" },
	};
	const struct {
		enum nbc_tls_file file;
		struct content now;
		const struct party *server;
		const char *said;		/* NULL: it connects */
	} rows[] = {
		{ NBC_FILE_CA, { two.cert_pem, 0 }, &one, "self-signed" },
		{ NBC_FILE_CA, { two.cert_pem, 0 }, &two, "CRL signature failure" },
		{ NBC_FILE_CA, { "", 0 }, &one, "not usable as a CA's certificate" },
		{ NBC_FILE_CRL, { one.own_list, 0 }, &one, "was revoked" },
		{ NBC_FILE_CRL, { NULL, EACCES }, &one,
		    "cannot read the revocation lists: Permission denied" },
		{ NBC_FILE_CRL, { NULL, ENOENT }, &one, "No such file" },
		{ NBC_FILE_CRL, { half, 0 }, &one, "not usable as revocation lists" },
		{ NBC_FILE_CRL, { "", 0 }, &one, "not usable as revocation lists" },
		{ NBC_FILE_CERT, { two.cert_pem, 0 }, &one, "not the key of" },
		{ NBC_FILE_CERT, { half, 0 }, &one, "not usable as a certificate" },
		{ NBC_FILE_KEY, { two.key_pem, 0 }, &one, "not the key of" },
		{ NBC_FILE_KEY, { one.key_pem, 0 }, &one, NULL },
		{ NBC_FILE_KEY, { NULL, EIO }, &one, "cannot read the key: " },
		{ NBC_FILE_KEY_PASSWORD, { "wrong", 0 }, &one,
		    "this is not the key's password" },
		{ NBC_FILE_KEY_PASSWORD, { NULL, EACCES }, &one,
		    "cannot read the key's password: " },
	};
	struct nbc_tls_context *context = load_and_remove(&target, first);
	struct nbc_error err;
	struct opener o = { { { NULL, 0 } }, { 0 } };

	snprintf(half, sizeof half, "%s", one.empty_list);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		memcpy(o.now, first, sizeof o.now);
		CHECK(connects(context, &o, &one, &err));
		o.now[rows[i].file] = rows[i].now;
		CHECK(connects(context, &o, rows[i].server, &err) ==
		    (rows[i].said == NULL));
		CHECK(rows[i].said == NULL || strstr(err.text, rows[i].said) != NULL);
		if (rows[i].said != NULL && strstr(err.text, rows[i].said) == NULL)
			printf("# row %zu: %s\n", i, err.text);
	}
	CHECK(o.calls[NBC_FILE_CA] == 2 * sizeof rows / sizeof rows[0]);
	CHECK(o.calls[NBC_FILE_PSK] == 0);
	nbc_tls_context_free(context);
	party_free(&one);
	party_free(&two);
}

static const unsigned char server_psk[] = { 0x11, 0x22, 0x33 };

static unsigned
on_server_psk(SSL *ssl, const char *identity, unsigned char *psk, unsigned max)
{
	(void)ssl;
	if (strcmp(identity, "me") != 0 || max < sizeof server_psk)
		return 0;
	memcpy(psk, server_psk, sizeof server_psk);
	return sizeof server_psk;
}

static bool
connects_by_psk(const struct nbc_tls_context *context, struct opener *o,
    struct nbc_error *err)
{
	struct nbc_options options = { .open_file = open_now, .open_arg = o };
	struct pair p = { 0 };
	bool up;

	p.client = nbc_tls_new(context, &options, err);
	if (p.client == NULL)
		return false;
	make_server(&p, TLS1_2_VERSION);
	SSL_set_psk_server_callback(p.server, on_server_psk);
	up = handshake(&p) == NBC_TLS_UP;
	pair_free(&p);
	return up;
}

static void
test_psk_is_read_for_each_session(void)
{
	char host[] = "test", user[] = "me";
	struct nbc_target target = { .host = host, .tls = NBE_TLS_REQUIRED,
		.tls_type = NBC_TLS_PSK, .psk_user = user };
	const struct content first[NBC_FILES] = {
		[NBC_FILE_PSK] = { .text = "you:00\nme:445566\n" },
	};
	struct nbc_tls_context *context = load_and_remove(&target, first);
	struct opener o = { { { NULL, 0 } }, { 0 } };
	struct nbc_error err;

	memcpy(o.now, first, sizeof o.now);
	CHECK(!connects_by_psk(context, &o, &err));
	o.now[NBC_FILE_PSK].text = "you:00\nme:112233\n";
	CHECK(connects_by_psk(context, &o, &err));
	o.now[NBC_FILE_PSK].text = "you:00\n";
	CHECK(!connects_by_psk(context, &o, &err));
	CHECK(strstr(err.text, "no line \"me:key in hexadecimal\"") != NULL);
	nbc_tls_context_free(context);
}

/* The shell's <(command): it cannot be had a second time. */
static void
test_pipe_is_kept(void)
{
	struct party one = party_new();
	char host[] = "test", path[32];
	struct nbc_target target = { .host = host, .tls = NBE_TLS_REQUIRED,
		.ca_file = path };
	struct nbc_tls_context *context;
	struct opener o = { { { NULL, 0 } }, { 0 } };
	struct nbc_error err;
	int fd[2];

	must(pipe(fd) == 0);
	must(write(fd[1], one.cert_pem, strlen(one.cert_pem)) > 0);
	close(fd[1]);
	snprintf(path, sizeof path, "/dev/fd/%d", fd[0]);
	CHECK(nbc_tls_context_load(&context, &target, &err));
	close(fd[0]);
	CHECK(connects(context, &o, &one, &err));
	CHECK(connects(context, &o, &one, &err) && o.calls[NBC_FILE_CA] == 0);
	nbc_tls_context_free(context);
	party_free(&one);
}

static const struct test tests[] = {
	{ "seal_tls13", test_seal_tls13 },
	{ "seal_tls12", test_seal_tls12 },
	{ "open_in_any_pieces", test_open_in_any_pieces },
	{ "errors_of_others", test_errors_of_others },
	{ "point_37_key_update", test_point_37_key_update },
	{ "point_36_close_notify", test_point_36_close_notify },
	{ "damaged_record", test_damaged_record },
	{ "last_words", test_last_words },
	{ "last_words_of_none", test_last_words_of_none },
	{ "last_words_miscounted", test_last_words_miscounted },
	{ "last_words_to_a_liar", test_last_words_to_a_liar },
	{ "point_32_certificate_of_nobody", test_point_32_certificate_of_nobody },
	{ "point_32_tls_11", test_point_32_tls_11 },
	{ "files_are_read_for_each_session", test_files_are_read_for_each_session },
	{ "psk_is_read_for_each_session", test_psk_is_read_for_each_session },
	{ "pipe_is_kept", test_pipe_is_kept },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
