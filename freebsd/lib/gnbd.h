/*
 * gnbd.h - what the files of gnbd(8) share.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *	geom_nbd.c	the verbs
 *	gnbd_config.c	a device's file, in place of options and hosts
 *	gnbd_peer.c	a server, and sockets that are connected to it
 *	gnbd_kernel.c	what the kernel shows of a device, and what it is told
 *	gnbd_tend.c	does what a device asks for: dial, try, fence a server
 *	gnbd_fence.c	the user's program that keeps a server from writing
 *	gnbd_watch.c	tends all devices, until it is ended
 *
 * Errors are struct nbc_error, and told by whoever has the user's request.  Each device
 * may have a thread of its own.
 */
#ifndef GNBD_H
#define GNBD_H

#include <sys/param.h>

#include <libgeom.h>
#include <stdbool.h>
#include <stdint.h>

#include "connect.h"
#include "error.h"

#define	GNBD_VERSION	1
#define	GNBD_CLASS	"NBD"
#define	GNBD_NAME_MAX	64		/* of a device, with its NUL */
#define	GNBD_ATTEMPT_MS	30000

/* Files for TLS, of all servers of a device; NULL: none. */
struct gnbd_tls {
	const char	*ca, *cert, *key;
};

/* ---- gnbd_config.c: a device's file ----------------------------------------- */

#define	GNBD_SETTINGS	14

/* Begins as zeroes.  Parameters of the request lie in it. */
struct gnbd_config {
	char		*text;
	char		*uri[NBE_MAX_PATHS];
	unsigned	 count;
	intmax_t	 number[GNBD_SETTINGS];
};
/* Is it a path that ends in .conf? */
bool	gnbd_is_config(const char *operand);
/* Adds a parameter for each line, but where the request has it already. */
bool	gnbd_config_load(struct gnbd_config *, const char *path, struct gctl_req *,
	    struct nbc_error *);
void	gnbd_config_free(struct gnbd_config *);

/* ---- gnbd_peer.c: a server ------------------------------------------------- */

/* Begins as zeroes, with a target. */
struct gnbd_peer {
	struct nbc_target	 target;
	struct nbc_tls_context	*tls;
	struct nbc_options	 options;
	struct nbc_conn		 conn[NBE_MAX_CONNS];
	int			 fd[NBE_MAX_CONNS];
	int			 count;
};
/* *field becomes a copy of value; NULL leaves it as it is. */
bool	gnbd_set(char **field, const char *value, struct nbc_error *);
/* What the files, and a URI, say is one wish. */
bool	gnbd_peer_tls(struct gnbd_peer *, const struct gnbd_tls *, struct nbc_error *);
/* When all of the target is set; before open. */
bool	gnbd_peer_load(struct gnbd_peer *, unsigned attempt_ms, struct nbc_error *);
/* n sockets that the kernel can take, of a device that wants so many. */
bool	gnbd_peer_open(struct gnbd_peer *, int n, int wanted, struct nbc_error *);
/* The sockets that the kernel took are only shells by now. */
void	gnbd_peer_free(struct gnbd_peer *);

/* ---- gnbd_kernel.c: the device in the kernel ------------------------------- */

/* A moment of a device; end it with gnbd_device_end. */
struct gnbd_device {
	struct gmesh	 mesh;
	const struct ggeom *geom;	/* NULL: there is none of that name */
};
bool	gnbd_device_see(struct gnbd_device *, const char *name, struct nbc_error *);
void	gnbd_device_end(struct gnbd_device *);
/* NULL: it does not show this. */
const char *gnbd_device_text(const struct gnbd_device *, const char *field);
intmax_t gnbd_device_number(const struct gnbd_device *, const char *field,
	    intmax_t otherwise);
/* Of one of several servers: field is Host, Port, Name, State, Doing or Why. */
const char *gnbd_path_text(const struct gnbd_device *, unsigned path,
	    const char *field);
/* Is it in the list that Doing shows? */
bool	gnbd_path_does(const struct gnbd_device *, unsigned path, const char *what);
/* Where the peer's target leads to, and how. */
bool	gnbd_device_target(const struct gnbd_device *, unsigned path,
	    const struct gnbd_tls *, struct gnbd_peer *, struct nbc_error *);

/* Parameters of sockets live until the request is issued. */
struct gnbd_sockets {
	long		thread;
	uint64_t	size;
	uint32_t	flags, block_min, block_pref, payload_max, framing;
	int		nsockets;
	bool		tls;
};
void	gnbd_add_sockets(struct gctl_req *, const struct gnbd_peer *,
	    struct gnbd_sockets *);
/* The device has n connections from now on; those of the peer are new, and to path. */
bool	gnbd_scale(const char *device, intmax_t n, const struct gnbd_peer *,
	    uint32_t path, struct nbc_error *);
/* What came of a wish: dial, probe, fence.  wish is its number, of a fence: FenceWish
 * as it was when the program was started.  problem NULL: it is done. */
bool	gnbd_report(const char *device, const char *what, uint32_t path, uint32_t wish,
	    const char *problem, struct nbc_error *);
bool	gnbd_move(const char *device, uint32_t path, struct nbc_error *);
/* Its connections are to be made anew; it asks for them one by one. */
bool	gnbd_renew(const char *device, struct nbc_error *);

/* ---- gnbd_tend.c ------------------------------------------------------------ */

enum gnbd_step {
	GNBD_COMPLETE,		/* it has all that it wants, also anew */
	GNBD_WAITS,		/* it wants nothing at the moment, and will */
	GNBD_DID,		/* look again */
	GNBD_FAILED,		/* the error says why, and the kernel knows */
	GNBD_GONE,		/* there is no such device */
};
/* One thing that the device asks for.  at_once: also if it waits before it asks for a
 * connection again. */
enum gnbd_step gnbd_tend(const char *device, const struct gnbd_tls *, bool at_once,
	    struct nbc_error *);
/* As many connections as are missing of wanted, 0: of what it wants. */
bool	gnbd_bring_to(const struct gnbd_device *, const struct gnbd_tls *,
	    intmax_t wanted, struct nbc_error *);
/* gnbd_renew, unless it is known here that it cannot be dialed: for TLS, its files. */
bool	gnbd_renew_all(const struct gnbd_device *, const struct gnbd_tls *,
	    struct nbc_error *);

/* ---- gnbd_fence.c ----------------------------------------------------------- */

/* Runs the program of the device, for a minute at most.  True: it ended with 0. */
bool	gnbd_fence(const struct gnbd_device *, unsigned path, struct nbc_error *);

/* ---- gnbd_watch.c ----------------------------------------------------------- */

/* Until SIGINT or SIGTERM. */
bool	gnbd_watch(const struct gnbd_tls *, struct nbc_error *);

#endif
