/*
 * tls.h - one TLS session of a connection, as bytes in and bytes out.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * After the handshake the session owns no socket: whoever moves the bytes gives
 * it the records that came and sends the records that it made.  So one thread
 * can drive many sessions, by io_uring or otherwise.  tls_openssl.c is the
 * back-end on Linux and FreeBSD, tls_schannel.c on Windows.  One thread at a time per
 * session.
 */
#ifndef NBC_TLS_H
#define NBC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os.h"

struct nbc_error;
struct nbc_options;
struct nbc_tls;
struct nbc_tls_context;
struct nbc_ktls;

/* Of the options it takes open_file, and allow_ktls: it keeps what nbc_tls_to_kernel
 * and nbc_tls_keys need.  NULL: err says why.  The context must outlive the session. */
struct nbc_tls *nbc_tls_new(const struct nbc_tls_context *, const struct nbc_options *,
	    struct nbc_error *);
void	nbc_tls_free(struct nbc_tls *);

enum nbc_tls_step { NBC_TLS_MORE, NBC_TLS_UP, NBC_TLS_BROKEN };
/* Go on with the handshake: send what nbc_tls_output has, whatever the answer;
 * then, on MORE, feed what comes. */
enum nbc_tls_step nbc_tls_handshake(struct nbc_tls *);
/* The peer closed the socket in the handshake, or, as it does in TLS 1.3 when it
 * does not like the client, right behind it. */
void	nbc_tls_lost(struct nbc_tls *);
/* Take up to max bytes that are to be sent, records that TLS made by itself. */
size_t	nbc_tls_output(struct nbc_tls *, uint8_t *out, size_t max);
/* Make a close_notify, for nbc_tls_output to take. */
void	nbc_tls_shutdown(struct nbc_tls *);

/* Records to send for up to n bytes of iov; appended to out (room of size
 * out_max).  Returns the plain bytes taken, less than asked when out is full;
 * -1 when the session is broken.  *out_len is what was written to out, records
 * of TLS itself (KeyUpdate answers, alerts) included. */
long	nbc_tls_seal(struct nbc_tls *, const struct iovec *iov, unsigned iovcnt,
	    uint8_t *out, size_t out_max, size_t *out_len);
/* Room that out needs so that len plain bytes fit for certain. */
size_t	nbc_tls_sealed_max(size_t len);
/* Feed len bytes from the socket; takes all of them, or -1 when broken.  They may not
 * move, and no more are fed, until nbc_tls_handshake said MORE or nbc_tls_open 0. */
int	nbc_tls_feed(struct nbc_tls *, const uint8_t *buf, size_t len);
/* Plain bytes into buf: how many; 0: feed more; -1: broken; -2: the peer sent
 * close_notify. */
long	nbc_tls_open(struct nbc_tls *, uint8_t *buf, size_t size);
/* Why it is broken, for people. */
const char *nbc_tls_error(const struct nbc_tls *);

/*
 * One thing more over a session of TLS 1.3 whose process was killed, by who has its
 * socket: these keys say how, and how many records they had protected before says
 * where.
 */
#define NBC_TLS_SECRET_MAX 48u
struct nbc_tls_keys {
	uint16_t	suite;		/* RFC 8446, B.4; 0: none */
	uint8_t		secret_len;
	uint8_t		tx[NBC_TLS_SECRET_MAX], rx[NBC_TLS_SECRET_MAX];
};
struct nbc_tls_records {
	uint64_t	tx, rx;
};
/* Of a session that is up.  False: of TLS 1.2, made without allow_ktls, or there was a
 * KeyUpdate already. */
bool	nbc_tls_keys(const struct nbc_tls *, struct nbc_tls_keys *);
/* What was made, if not sent yet, and what was fed and looked at.  False: keys that
 * nbc_tls_keys told are of the past. */
bool	nbc_tls_records(const struct nbc_tls *, struct nbc_tls_records *);

struct nbc_tls_last;
/*
 * tx must be what the peer has got, to the record.  rx is at least: of what came later
 * the process may have received some 128 KiB, which nobody has any more, and it may
 * have ended in the middle of a record.  NULL: such keys are none, or out of memory.
 */
struct nbc_tls_last *nbc_tls_last_new(const struct nbc_tls_keys *,
	    struct nbc_tls_records);
void	nbc_tls_last_free(struct nbc_tls_last *);
#define NBC_TLS_LAST_OVERHEAD 22u
/* One record of len plain bytes, into len + NBC_TLS_LAST_OVERHEAD bytes; once. */
bool	nbc_tls_last_seal(struct nbc_tls_last *, const uint8_t *plain, size_t len,
	    uint8_t *out);
/* At most this much at a time, and only when nbc_tls_last_open has said 0. */
#define NBC_TLS_LAST_FEED 4096u
void	nbc_tls_last_feed(struct nbc_tls_last *, const uint8_t *, size_t len);
/* Plain bytes of the next record that can be opened, which are valid until the next
 * call: how many; 0: feed more; -1: none can be any more. */
long	nbc_tls_last_open(struct nbc_tls_last *, const uint8_t **plain);

/*
 * Hand the session to the kernel: afterwards plain reads and writes of fd are the
 * session, and tls may be freed.  Everything that was fed must have been opened,
 * and records fed one at a time.
 */
enum nbc_handover {
	NBC_HANDED_OVER,
	NBC_NOT_HANDED_OVER,	/* nothing changed; go on with nbc_tls_seal, _open */
	NBC_HALF_HANDED_OVER,	/* of no more use: close it */
};
/* *keys is set if the kernel can change keys, else NULL. */
enum nbc_handover nbc_tls_to_kernel(struct nbc_tls *, int fd, struct nbc_ktls **keys);
void	nbc_ktls_free(struct nbc_ktls *);
/*
 * A receive failed with EIO: the next record is no data.  This reads and heeds it; with
 * GOES_ON receive again.  Linux only.
 */
enum nbc_ktls_next { NBC_KTLS_GOES_ON, NBC_KTLS_CLOSED, NBC_KTLS_BROKEN };
enum nbc_ktls_next nbc_ktls_read_control(struct nbc_ktls *, int fd);
/* The peer has asked for a KeyUpdate of ours: send it before anything else, when no
 * other send is under way.  False: the session is of no more use. */
bool	nbc_ktls_owes_update(const struct nbc_ktls *);
bool	nbc_ktls_send_update(struct nbc_ktls *, int fd);
/* A close_notify from a session that is the kernel's. */
void	nbc_ktls_shutdown(int fd);
/*
 * How many more records such a session can protect, in the direction that has fewer
 * left, until the cipher's limit; UINT64_MAX: as many as one likes, or unknown.  We
 * change no key before the server asks for it, so make a new connection before that.
 * Two system calls or four: ask once in many records.
 */
uint64_t nbc_ktls_records_left(int fd);

#endif
