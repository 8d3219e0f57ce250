/*
 * tls_rekey.c - new keys for a session that the kernel has (RFC 8446, 4.6.3 and 7.2).
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel opens records and knows nothing of what is inside of a KeyUpdate.  It
 * stops there, and this reads it, derives the peer's next secret from the present one,
 * and gives the kernel its keys.  What the peer may ask for, a KeyUpdate of ours, is
 * sent under the old key and followed by the new one.
 */
#include "tls_session.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

void
nbc_ktls_free(struct nbc_ktls *k)
{
	if (k == NULL)
		return;
	OPENSSL_cleanse(k, sizeof *k);
	free(k);
}

#ifdef __linux__

#include <sys/socket.h>
#include <linux/tls.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define RECORD_ALERT	21
#define RECORD_HANDSHAKE 22
#define MESSAGE_HEAD	4u
#define NEW_SESSION_TICKET 4
#define KEY_UPDATE	24
#define UPDATE_REQUESTED 1

/* Room for one control message of a byte: a record's type. */
union type_message {
	struct cmsghdr head;
	uint8_t room[CMSG_SPACE(1)];
};

static bool
next_keys(struct nbc_ktls *k, struct tls_direction *d, int fd)
{
	struct tls_direction next = { .secret_len = d->secret_len };
	const char *digest =
	    EVP_MD_get0_name(SSL_CIPHER_get_handshake_digest(k->cipher));
	bool ok = nbc_tls_expand_label(d, digest, "traffic upd", next.secret,
	    next.secret_len) && nbc_ktls_install(k->cipher, fd, d == &k->tx, &next);

	if (ok)
		*d = next;
	OPENSSL_cleanse(&next, sizeof next);
	return ok;
}

/* The type of the record that was read, or -1. */
static int
read_record(struct nbc_ktls *k, int fd, size_t *len)
{
	union type_message control;
	struct iovec iov = { k->record, sizeof k->record };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control.room };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *type = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (type == NULL || type->cmsg_level != SOL_TLS ||
	    type->cmsg_type != TLS_GET_RECORD_TYPE)
		return -1;
	*len = (size_t)n;
	return *CMSG_DATA(type);
}

static bool
take_update(struct nbc_ktls *k, int fd, const uint8_t *body, size_t len)
{
	if (len != 1 || body[0] > UPDATE_REQUESTED || !next_keys(k, &k->rx, fd))
		return false;
	k->owes_update |= body[0] == UPDATE_REQUESTED;
	return true;
}

/* Whole messages; there is no other that a server may send by now.  A KeyUpdate is the
 * last one under its key. */
static bool
take_handshake(struct nbc_ktls *k, int fd, size_t len)
{
	const uint8_t *p = k->record;
	size_t body;

	while (len >= MESSAGE_HEAD) {
		body = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		len -= MESSAGE_HEAD;
		if (body > len)
			return false;
		len -= body;
		if (p[0] == KEY_UPDATE)
			return len == 0 && take_update(k, fd, p + MESSAGE_HEAD, body);
		if (p[0] != NEW_SESSION_TICKET)
			return false;
		p += MESSAGE_HEAD + body;
	}
	return len == 0;
}

enum nbc_ktls_next
nbc_ktls_read_control(struct nbc_ktls *k, int fd)
{
	size_t len;

	switch (read_record(k, fd, &len)) {
	case RECORD_HANDSHAKE:
		return take_handshake(k, fd, len) ? NBC_KTLS_GOES_ON : NBC_KTLS_BROKEN;
	case RECORD_ALERT:
		return len == 2 && k->record[1] == TLS_CLOSE_NOTIFY ? NBC_KTLS_CLOSED :
		    NBC_KTLS_BROKEN;
	default:
		return NBC_KTLS_BROKEN;
	}
}

bool
nbc_ktls_owes_update(const struct nbc_ktls *k)
{
	return k->owes_update;
}

bool
nbc_ktls_send_update(struct nbc_ktls *k, int fd)
{
	static const uint8_t update[] = { KEY_UPDATE, 0, 0, 1, 0 };

	k->owes_update = false;
	return nbc_ktls_send_control(fd, RECORD_HANDSHAKE, update, sizeof update) &&
	    next_keys(k, &k->tx, fd);
}

#endif
