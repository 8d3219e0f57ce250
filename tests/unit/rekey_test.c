/*
 * rekey_test.c - records that are no data, in a session that the kernel has.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel is played (ld --wrap): it gives one record, and counts the keys that it
 * gets.  That these are right is shown with a real kernel, by rekey_test.sh.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tls.h>

#include "test.h"
#include "tls_session.h"

#define SOL_TLS_LEVEL	282
#define ALERT		21
#define HANDSHAKE	22
#define DATA		23

static struct {
	int	type;			/* of the record that is there; -1: none */
	const uint8_t *content;
	size_t	len;
	bool	refuses;		/* new keys */
	unsigned rx, tx;		/* times that it got keys */
	uint8_t	sent[16];
	size_t	sent_len;
} kernel;

ssize_t __wrap_recvmsg(int, struct msghdr *, int);
ssize_t __wrap_sendmsg(int, const struct msghdr *, int);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);

ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	(void)fd;
	(void)flags;
	if (kernel.type < 0) {
		errno = EAGAIN;
		return -1;
	}
	c->cmsg_level = SOL_TLS_LEVEL;
	c->cmsg_type = TLS_GET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = (uint8_t)kernel.type;
	memcpy(msg->msg_iov->iov_base, kernel.content, kernel.len);
	return (ssize_t)kernel.len;
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	(void)fd;
	(void)flags;
	CHECK(*CMSG_DATA(CMSG_FIRSTHDR(msg)) == HANDSHAKE && kernel.tx == 0);
	kernel.sent_len = msg->msg_iov->iov_len;
	memcpy(kernel.sent, msg->msg_iov->iov_base, kernel.sent_len);
	return (ssize_t)kernel.sent_len;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd;
	(void)value;
	(void)len;
	if (level != SOL_TLS_LEVEL || kernel.refuses)
		return -1;
	kernel.rx += name == TLS_RX;
	kernel.tx += name == TLS_TX;
	return 0;
}

static const SSL_CIPHER *
find_cipher(uint32_t suite)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(context);
	const SSL_CIPHER *found = NULL;

	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++)
		if (SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(all, i)) == suite)
			found = sk_SSL_CIPHER_value(all, i);
	SSL_CTX_free(context);
	return found;
}

static struct nbc_ktls *
keys_new(void)
{
	struct nbc_ktls *k = calloc(1, sizeof *k);

	if (k == NULL)
		abort();
	k->cipher = find_cipher(0x1301);
	k->rx.secret_len = k->tx.secret_len = 32;
	return k;
}

/* Of each record: what becomes of the session, how often there are new keys to receive
 * with, whether the server is owed a KeyUpdate. */
static void
test_records(void)
{
	static const struct {
		int	type;
		const char *content;
		size_t	len;
		enum nbc_ktls_next next;
		unsigned updates;
		bool	owes;
	} rows[] = {
#define ROW(type, content, ...) { type, content, sizeof content - 1, __VA_ARGS__ }
		ROW(HANDSHAKE, "\x18\0\0\1\0", NBC_KTLS_GOES_ON, 1, false),
		ROW(HANDSHAKE, "\x18\0\0\1\1", NBC_KTLS_GOES_ON, 1, true),
		ROW(HANDSHAKE, "\4\0\0\2tt", NBC_KTLS_GOES_ON, 0, false),
		ROW(HANDSHAKE, "\4\0\0\2tt\x18\0\0\1\0", NBC_KTLS_GOES_ON, 1, false),
		ROW(HANDSHAKE, "\x18\0\0\1\2", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0\0\2\0\0", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0\0\0", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0\0\1", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0\0\1\0\x18\0\0\1\0", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\x18\0\0\1\0\4", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\4\xff\xff\xfft", NBC_KTLS_BROKEN, 0, false),
		ROW(HANDSHAKE, "\1\0\0\0", NBC_KTLS_BROKEN, 0, false),
		ROW(ALERT, "\1\0", NBC_KTLS_CLOSED, 0, false),
		ROW(ALERT, "\2\x28", NBC_KTLS_BROKEN, 0, false),
		ROW(ALERT, "\1", NBC_KTLS_BROKEN, 0, false),
		ROW(DATA, "data", NBC_KTLS_BROKEN, 0, false),
		ROW(-1, "", NBC_KTLS_BROKEN, 0, false),
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct nbc_ktls *k = keys_new();

		memset(&kernel, 0, sizeof kernel);
		kernel.type = rows[i].type;
		kernel.content = (const uint8_t *)rows[i].content;
		kernel.len = rows[i].len;
		CHECK(nbc_ktls_read_control(k, -1) == rows[i].next);
		CHECK(kernel.rx == rows[i].updates && kernel.tx == 0);
		CHECK(nbc_ktls_owes_update(k) == rows[i].owes);
		nbc_ktls_free(k);
	}
}

/* Each key comes of the one before. */
static void
test_secrets_differ(void)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };
	struct nbc_ktls *k = keys_new();
	uint8_t before[32];

	memset(&kernel, 0, sizeof kernel);
	kernel.type = HANDSHAKE;
	kernel.content = update;
	kernel.len = sizeof update;
	for (unsigned i = 1; i <= 3; i++) {
		memcpy(before, k->rx.secret, sizeof before);
		CHECK(nbc_ktls_read_control(k, -1) == NBC_KTLS_GOES_ON);
		CHECK(memcmp(before, k->rx.secret, sizeof before) != 0);
		CHECK(kernel.rx == i);
	}
	nbc_ktls_free(k);
}

static void
test_answer(void)
{
	static const uint8_t asks[] = { 24, 0, 0, 1, 1 }, answer[] = { 24, 0, 0, 1, 0 };
	struct nbc_ktls *k = keys_new();

	memset(&kernel, 0, sizeof kernel);
	kernel.type = HANDSHAKE;
	kernel.content = asks;
	kernel.len = sizeof asks;
	CHECK(nbc_ktls_read_control(k, -1) == NBC_KTLS_GOES_ON);
	CHECK(nbc_ktls_send_update(k, -1) && !nbc_ktls_owes_update(k));
	CHECK(kernel.tx == 1 && kernel.sent_len == sizeof answer &&
	    memcmp(kernel.sent, answer, sizeof answer) == 0);
	nbc_ktls_free(k);
}

static void
test_kernel_refuses(void)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 };
	struct nbc_ktls *k = keys_new();

	memset(&kernel, 0, sizeof kernel);
	kernel.type = HANDSHAKE;
	kernel.content = update;
	kernel.len = sizeof update;
	kernel.refuses = true;
	CHECK(nbc_ktls_read_control(k, -1) == NBC_KTLS_BROKEN);
	CHECK(!nbc_ktls_send_update(k, -1));
	nbc_ktls_free(k);
}

static const struct test tests[] = {
	{ "records", test_records },
	{ "secrets_differ", test_secrets_differ },
	{ "answer", test_answer },
	{ "kernel_refuses", test_kernel_refuses },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
