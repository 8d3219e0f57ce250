/*
 * connect.h - from a URI to a negotiated NBD connection.  User space only.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Shared by the Linux command, geom_nbd.so and libwnbd.  Calls block, each
 * bounded by a time-out of its own, and may be made from any thread; nothing is
 * global.  Errors come back as text for a person (struct nbc_error), with a kind
 * for a program.
 */
#ifndef NBC_CONNECT_H
#define NBC_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "nbe.h"

#define NBC_DEFAULT_PORT	"10809"

enum nbc_kind {
	NBC_OK,
	NBC_USAGE,		/* the URI or an option is wrong */
	NBC_RESOLVE,		/* no such host */
	NBC_UNREACHABLE,	/* refused, no route, no such socket, time-out */
	NBC_NOT_NBD,		/* something else answers there */
	NBC_NO_EXPORT,		/* the server does not have it */
	NBC_REFUSED,		/* policy, or another refusal */
	NBC_TLS_REQUIRED,	/* the server wants TLS */
	NBC_TLS_REFUSED,	/* the server has no TLS */
	NBC_TLS_FAILED,		/* certificate, PSK or protocol version */
	NBC_INTERNAL,		/* out of memory or descriptors */
	NBC_CANCELLED,		/* cancel_fd became readable */
};

struct nbc_error {
	enum nbc_kind	kind;
	bool		transient;	/* trying again later may help */
	char		text[2048];	/* what was wrong and what to do; one or
					 * more lines, no newline at the end */
};

enum nbc_family { NBC_TCP, NBC_UNIX, NBC_VSOCK };
enum nbc_tls_type { NBC_TLS_X509, NBC_TLS_PSK };

/* Where to, and how.  Strings are owned; nbc_target_free frees them.  A NULL port
 * is NBC_DEFAULT_PORT, a NULL export_name is "". */
struct nbc_target {
	enum nbc_family	family;
	char		*host;		/* TCP: name or address.  UNIX: path, "@..."
					 * for an abstract one.  VSOCK: cid */
	char		*port;		/* TCP: number or service name; VSOCK: number */
	char		*export_name;	/* "" is the default export */
	enum nbe_tls	 tls;
	enum nbc_tls_type tls_type;
	char		*ca_file;	/* NULL: the system's roots */
	char		*crl_file;	/* NULL: nothing is known to be revoked */
	char		*cert_file, *key_file;	/* NULL: none */
	char		*key_password_file;	/* NULL: ask on the terminal */
	char		*tls_hostname;	/* NULL: host; what the certificate must name */
	char		*psk_file;	/* user:hex lines */
	char		*psk_user;	/* NULL: the first line's */
	bool		 tls_no_verify;	/* tls-verify-peer=false; said aloud */
};

/*
 * An NBD URI (doc/uri.md of the NBD project), or a plain host name, address,
 * "[v6]", or absolute path of a UNIX socket.  Fills a zeroed target; what the
 * operand does not say stays NULL or at its default.
 */
bool	nbc_target_parse(struct nbc_target *, const char *operand, struct nbc_error *);
void	nbc_target_free(struct nbc_target *);
/* As a URI, without secrets; for messages and lists. */
void	nbc_target_print(const struct nbc_target *, char *buf, size_t size);
/* Of a target with no TLS file or name but what its URI has: that, too, with paths from
 * the root on, so that it can be parsed again from anywhere. */
void	nbc_target_print_whole(const struct nbc_target *, char *buf, size_t size);

/* The files that a target may name for TLS. */
enum nbc_tls_file {
	NBC_FILE_CA, NBC_FILE_CRL, NBC_FILE_CERT, NBC_FILE_KEY, NBC_FILE_KEY_PASSWORD,
	NBC_FILE_PSK,
	NBC_FILES
};

/*
 * How TLS is spoken with a target; NULL where the target has TLS off.  Immutable: any
 * number of threads and connections may use it.
 *
 * Each connection reads the files again, so certificates, keys and lists may be
 * replaced at any time.  They are parsed as strictly as the first time, here, where
 * errors are found early: what cannot be read or is not whole ends an attempt to
 * connect.  Kept from the first time is only what cannot be had again: what was no
 * regular file, and a password that was typed.  On Windows all files are read here,
 * and only here.
 */
struct nbc_tls_context;
bool	nbc_tls_context_load(struct nbc_tls_context **, const struct nbc_target *,
	    struct nbc_error *);
void	nbc_tls_context_free(struct nbc_tls_context *);
/* An absolute path, or NULL.  Not on Windows. */
const char *nbc_tls_context_path(const struct nbc_tls_context *, enum nbc_tls_file);

struct nbc_options {
	enum nbe_framing framing_max;
	bool		want_alloc;
	unsigned	timeout_ms;	/* one attempt: the name, all addresses, TLS,
					 * options */
	unsigned	retry_ms;	/* keep trying transient failures for so long */
	bool		allow_ktls;	/* let the kernel do TLS where it can */
	int		cancel_fd;	/* -1, or: gives up once it is readable */
	/* For a process that may not read these files itself: somebody else opens
	 * nbc_tls_context_path for reading, and gives a descriptor, or -1 and errno.
	 * Called by any thread that makes a connection, which waits meanwhile.  NULL:
	 * open(2).  No other file is opened, but the system's roots by OpenSSL. */
	int		(*open_file)(void *arg, enum nbc_tls_file);
	void		*open_arg;
};

struct nbc_tls;		/* one TLS session, see tls.h */
struct nbc_ktls;

/* One negotiated connection: the next byte on it is transmission. */
struct nbc_conn {
	int		fd;		/* blocking (but on Windows), close on exec,
					 * TCP_NODELAY */
	struct nbc_tls	*tls;		/* NULL: clear text, or TLS in the kernel */
	bool		ktls;
	struct nbc_ktls	*keys;		/* NULL, or: they can be changed, see tls.h */
	struct nbe_export exp;
	char		*name, *about;	/* as the server says; NULL: did not say.
					 * Printable UTF-8: other bytes escaped */
};

bool	nbc_open(struct nbc_conn *, const struct nbc_target *,
	    const struct nbc_tls_context *, const struct nbc_options *,
	    struct nbc_error *);
/* Polite: nothing is owed in either direction; says DISC and close_notify, and ends
 * in order.  Else a TCP connection is reset. */
void	nbc_close(struct nbc_conn *, bool polite);

/* The socket becomes the caller's; nbc_close ends the rest. */
int	nbc_take_fd(struct nbc_conn *);

/*
 * Every TCP socket made here is reset by its last close, for whatever reason that
 * comes, the death of the process included: what the peer has not acknowledged is
 * dropped.  A polite close would leave it to the kernel, which goes on sending it for
 * minutes, and a write that was given up would land on newer ones.
 *
 * This takes that back, for a connection whose end was agreed on: all commands are
 * answered, and DISC is in the socket.  From now on a close sends what is left.  Of
 * sockets that are not TCP nothing changes.
 */
void	nbc_end_in_order(int fd);

/* What a server offers (NBD_OPT_INFO), without attaching: exp, name and about are
 * filled, fd is -1.  End it with nbc_close too. */
bool	nbc_info(struct nbc_conn *, const struct nbc_target *,
	    const struct nbc_tls_context *, const struct nbc_options *,
	    struct nbc_error *);

struct nbc_export_name {
	char	*name;		/* printable, "" is the default export */
	char	*about;		/* NULL: none */
};
struct nbc_export_list {
	struct nbc_export_name *item;
	size_t	count;
};
bool	nbc_list(struct nbc_export_list *, const struct nbc_target *,
	    const struct nbc_tls_context *, const struct nbc_options *,
	    struct nbc_error *);
void	nbc_export_list_free(struct nbc_export_list *);

#endif
