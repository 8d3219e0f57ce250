/*
 * g_nbd.h - the objects of the GEOM class NBD.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * docs/freebsd.md, "Design", has the picture.  Locks, in their order:
 *
 *  topology	GEOM's: verbs, provider, sc_provider
 *  so_snd	the send buffer's mutex: nc_room_want
 *  so_rcv	the receive buffer's mutex: nc_data_want
 *  sc_mtx	(s) the engine and all that says so below; held only around calls of
 *		the engine, never over a socket call or a delivery
 *
 * (c) is constant once set, (o) belongs to the one thread that uses it.
 */
#ifndef _G_NBD_H_
#define	_G_NBD_H_

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/bio.h>
#include <sys/callout.h>
#include <sys/condvar.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/queue.h>
#include <sys/refcount.h>
#include <sys/sbuf.h>
#include <sys/taskqueue.h>

#include <geom/geom.h>

#include "nbe.h"

#define	G_NBD_CLASS_NAME	"NBD"
#define	G_NBD_VERSION		1

#define	G_NBD_DEPTH		128	/* commands in flight per connection */
#define	G_NBD_TX_SEGS		64	/* segments per send */
#define	G_NBD_RX_SEGS		64	/* segments per locking of the receiver */
#define	G_NBD_NOW_REQS		8	/* sent by start itself: so few at a time, */
#define	G_NBD_NOW_BYTES		(64 * 1024)	/* ... and no longer write */
#define	G_NBD_NOW_SENDS		4		/* then the sender goes on */
#define	G_NBD_LONG		(16 * 1024)	/* payload that is named at once */
#define	G_NBD_COPY_LOCKED	(4 * 1024)	/* received bytes copied under sc_mtx */
/* Of a receive buffer.  When so little is taken from it, TCP has no news for the
 * peer: it tells of new room from a quarter on, and need not be asked. */
#define	G_NBD_LITTLE_PART	8
#define	G_NBD_KEEP_SIZE		(16 * 1024 * 1024)	/* unflushed = replay */
#define	G_NBD_KEEP_RECORDS	4096
#define	G_NBD_DRAIN_SECONDS	30	/* a soft disconnect becomes a hard one */
#define	G_NBD_SLOT_SECONDS	5	/* for a connection given up to end */
#define	G_NBD_PATH_SECONDS	10	/* without a connection: the next server */
#define	G_NBD_BACKOFF_MIN	(NBE_SECOND / 10)
#define	G_NBD_BACKOFF_MAX	(10 * NBE_SECOND)
#define	G_NBD_PROBLEM_MAX	256	/* of what user space says, with its NUL */
#define	G_NBD_LOOK_MAX	(2 * NBE_SECOND)	/* between looks at a busy socket */
/* For what GEOM itself reads; for a slow server longer each time. */
#define	G_NBD_PATIENCE_MIN	(5 * NBE_SECOND)
#define	G_NBD_PATIENCE_MAX	(60 * NBE_SECOND)
#define	G_NBD_WAKE_MAX	(86400 * NBE_SECOND)	/* an sbintime_t can tell that */
/*
 * 2^24.5, of AES-GCM with one key (RFC 8446, 5.5); a connection that has fewer left
 * than LOW is made anew: more than go between two looks.
 */
#define	G_NBD_RECORDS_MAX	UINT64_C(23726566)
#define	G_NBD_RECORDS_LOW	(UINT64_C(1) << 22)

struct mbuf;
struct socket;
struct g_nbd_softc;

/* One of the servers of a device: a path of the engine, of the same number. */
struct g_nbd_server {
	char		*sv_host, *sv_port, *sv_name;	/* (c) */
	char		 sv_problem[G_NBD_PROBLEM_MAX];	/* (s) why it was not reached */
	uint32_t	 sv_fence_wish;	/* (s) number of the last wish to fence it */
};

struct g_nbd_io {
	struct nbe_req	 io_req;
	struct bio	*io_bio;
	struct g_nbd_softc *io_sc;
	bool		 io_look;	/* GEOM itself waits for it, */
	nbe_time	 io_since;	/* (s) ... since then */
	LIST_ENTRY(g_nbd_io) io_looks;	/* (s) of sc_looks */
	u_int		 io_refs;	/* atomic: engine, mbufs over its data */
};

struct g_nbd_conn {
	struct g_nbd_softc *nc_sc;	/* (c) */
	u_int		 nc_index;	/* (c) its number in the engine */
	u_int		 nc_refs;	/* (s) who uses it; 0: nobody */
	bool		 nc_closing;	/* (s) the threads are to leave */
	bool		 nc_borrowed;	/* (s) start sends in the sender's place */
	struct socket	*nc_so;		/* constant while nc_refs != 0 */
	u_int		 nc_tls_max;	/* likewise: bytes in a record; 0: no TLS */
	bool		 nc_tls_limited;	/* likewise: see G_NBD_RECORDS_MAX */
	lwpid_t		 nc_tid[2];	/* likewise: to be joined */
	struct cv	 nc_work_cv;	/* sc_mtx: the sender waits for commands */
	struct cv	 nc_room_cv;	/* so_snd: it waits for room */
	struct cv	 nc_data_cv;	/* so_rcv: the receiver waits for data */
	u_int		 nc_room_want;	/* so_snd */
	u_int		 nc_data_want;	/* so_rcv */
	bool		 nc_little;	/* (o) so little is received, see below */
	u_int		 nc_taken;	/* so_snd: how often the peer took bytes */
	u_int		 nc_taken_seen;	/* (s) */
	struct nbe_seg	 nc_tx_seg[G_NBD_TX_SEGS];	/* (o) */
	nbe_time	 nc_tx_began;	/* (o) */
	struct nbe_seg	 nc_rx_seg[G_NBD_RX_SEGS];	/* (o) */
	/* atomic */
	uint64_t	 nc_sends, nc_send_wakeups;
	uint64_t	 nc_receives, nc_receive_wakeups;
};

struct g_nbd_softc {
	struct mtx	 sc_mtx;
	struct g_provider *sc_provider;	/* topology; NULL before it exists */
	struct nbe_dev	*sc_dev;	/* (s) */
	void		*sc_dev_mem;	/* (c) */
	uint8_t		*sc_keep;	/* (s) unflushed writes, or NULL */
	u_int		 sc_conns_max;	/* (c) */
	struct g_nbd_conn *sc_conn[NBE_MAX_CONNS];	/* (c) once used */
	uint32_t	 sc_idle;	/* (s) bit per conn: its sender waits */
	uint32_t	 sc_shut;	/* (s) bit per conn: shut its socket down */
	u_int		 sc_conns;	/* (s) conns with nc_refs != 0 */
	u_int		 sc_reqs;	/* (s) requests that the engine has */
	bool		 sc_long;	/* (s) the last write was the sender's */
	bool		 sc_stopping;	/* topology: disconnect was asked for */
	bool		 sc_forced;	/* (s) ... without draining */
	bool		 sc_stopped;	/* (s) the engine is done */
	bool		 sc_resized;	/* (s) tell GEOM */
	/* (s) what user space is to do, as nbe_work says: bits per conn, path, path */
	uint32_t	 sc_open, sc_probe, sc_fence;
	uint32_t	 sc_fence_wishes;	/* (s) how many there were */
	bool		 sc_wanted;	/* (s) tell devd of a new probe or fence */
	enum nbe_why	 sc_lost_why;	/* (s) of the last connection, if sc_lost_at */
	time_t		 sc_lost_at;	/* (s) 0: none was */
	LIST_HEAD(, g_nbd_io) sc_looks;	/* (s) see g_nbd_is_look */
	bool		 sc_unseen;	/* (s) some failed: GEOM is to look again */
	bool		 sc_silent;	/* (s) ... the server did not answer in time, */
	nbe_time	 sc_patience;	/* (s) ... which is so long */
	bool		 sc_speaks;	/* (s) it does again: look now */
	bool		 sc_dead;	/* (s) requests failed by dead_timeout, */
	bool		 sc_died;	/* (s) ... tell devd */
	struct nbe_req	*sc_done;	/* (s) for the task to deliver */
	nbe_time	 sc_now;	/* (s) when the clock was last looked at */
	nbe_time	 sc_wake;	/* (s) when the callout fires */
	nbe_time	 sc_look;	/* (c) between looks at busy sockets */
	struct callout	 sc_callout;	/* (s) */
	struct task	 sc_task;
	struct cv	 sc_gone_cv;	/* sc_mtx: a connection is gone, or the
					 * engine has stopped */
	/* (c) as told by connect */
	u_int		 sc_unit, sc_sectorsize, sc_stripesize;
	bool		 sc_tls;
	char		*sc_description;
	u_int		 sc_paths;
	nbe_time	 sc_path_timeout;
	struct g_nbd_server sc_server[NBE_MAX_PATHS];
	enum nbe_fence_by sc_fence_by;
	char		*sc_fence_command;	/* a path, for user space to run */
};

MALLOC_DECLARE(M_GNBD);

/* g_nbd.c */
extern struct taskqueue *g_nbd_taskqueue;
/* NULL when it is missing or not len bytes long; the latter is an error. */
const void *g_nbd_param(struct gctl_req *, const char *name, int len);
/* *value stays as it is where there is none.  False: likewise. */
bool	g_nbd_param_u32(struct gctl_req *, const char *name, uint32_t *value);
/* A number of seconds, 0 for NBE_NEVER. */
int	g_nbd_param_time(struct gctl_req *, const char *name, intmax_t seconds,
	    nbe_time *);
int	g_nbd_missing(struct gctl_req *, const char *name);	/* EINVAL */
/* A copy, or NULL. */
char	*g_nbd_string(struct gctl_req *, const char *name);

/* g_nbd_path.c */
/* Of connect: how many servers, and how one is left. */
int	g_nbd_paths_config(struct gctl_req *, struct nbe_dev_config *);
void	g_nbd_paths_init(struct gctl_req *, struct g_nbd_softc *,
	    const struct nbe_dev_config *);
void	g_nbd_paths_free(struct g_nbd_softc *);
/* With sc_mtx held: of a server that has a connection nothing is wrong. */
void	g_nbd_path_is_up(struct g_nbd_softc *, u_int path);
/* nbe_work, with sc_mtx held, but for connections that need not be opened any more,
 * which nobody here has begun: the engine is told so.  What user space is to do is
 * remembered. */
void	g_nbd_ask(struct g_nbd_softc *, struct nbe_work *, nbe_time now);
void	g_nbd_tell_devd(const struct g_nbd_softc *, const char *type);
/* Verbs: user space did what it was to do, or could not; go to another server. */
void	g_nbd_report(struct gctl_req *, struct g_nbd_softc *);
void	g_nbd_move(struct gctl_req *, struct g_nbd_softc *);

/* g_nbd_io.c */
int	g_nbd_io_init(void);
void	g_nbd_io_fini(void);
int	g_nbd_errno(enum nbe_err);
nbe_time g_nbd_now(struct g_nbd_softc *);	/* with sc_mtx held */
/* With sc_mtx held: no connection is left, and GEOM is not to wait. */
void	g_nbd_fail_looks(struct g_nbd_softc *, nbe_time now);
/* With sc_mtx held, at each tick: nor for a server that is silent for so long. */
void	g_nbd_check_looks(struct g_nbd_softc *, nbe_time now);
/* With sc_mtx held: a server that was silent has sent something. */
void	g_nbd_heard(struct g_nbd_softc *);
void	g_nbd_start(struct bio *);
/* With sc_mtx held, after calls of the engine; the result is for
 * g_nbd_complete, without it. */
struct nbe_req *g_nbd_turn(struct g_nbd_softc *, nbe_time now);
/* Its two halves: all but the senders, and one of the idle senders of tx.  sent: but
 * for a send nothing has happened. */
struct nbe_req *g_nbd_work(struct g_nbd_softc *, uint32_t *tx, nbe_time now,
	    bool sent);
void	g_nbd_wake_sender(struct g_nbd_softc *, uint32_t tx);
void	g_nbd_complete(struct nbe_req *);
void	g_nbd_lent_free(struct mbuf *);
/* The bio's bytes [off, off + len), one stretch at a time. */
uint8_t	*g_nbd_bio_at(const struct bio *, uint64_t off, size_t *len);
static inline struct g_nbd_io *
g_nbd_io_of(struct nbe_req *r)
{

	return (__containerof(r, struct g_nbd_io, io_req));
}

/* g_nbd_conn.c */
int	g_nbd_conn_steal(lwpid_t, const int *fds, u_int n, struct socket **);
void	g_nbd_socket_close(struct socket *, bool abort);
/* Takes over the socket, which leads to that path, also when it fails; *why: the device
 * refused it.  Its number will be below limit. */
int	g_nbd_conn_up(struct g_nbd_softc *, struct socket *, u_int path,
	    const struct nbe_export *, u_int limit, enum nbe_why *why);
/* With sc_mtx held: begins a send in place of an idle sender; NULL: there is nothing to
 * send, or none is idle. */
struct g_nbd_conn *g_nbd_borrow(struct g_nbd_softc *, u_int *nseg, nbe_time now);
/* Ends it, with a turn, and sends what came meanwhile; without sc_mtx, in any context
 * that may take a mutex. */
void	g_nbd_send_now(struct g_nbd_conn *, u_int nseg);
void	g_nbd_conn_shutdown(struct g_nbd_softc *, uint32_t conns);
/* With sc_mtx held, before a tick: what the sockets know and the engine cannot. */
void	g_nbd_conns_look(struct g_nbd_softc *, nbe_time now);
void	g_nbd_conn_free(struct g_nbd_softc *);

/* g_nbd_mbuf.c */
struct mbuf *g_nbd_to_mbufs(struct g_nbd_conn *, u_int nseg, u_int room,
	    u_int *len);
/* Contiguous bytes at off of an mbuf of pages; *len is set, 0 at its
 * end. */
const uint8_t *g_nbd_extpg_at(const struct mbuf *, u_int off, u_int *len);
void	g_nbd_from_segs(const struct nbe_seg *, u_int nseg);

/* g_nbd_conf.c */
extern u_int g_nbd_debug, g_nbd_maxpayload, g_nbd_timeout, g_nbd_dead_timeout;
extern u_long g_nbd_sendspace, g_nbd_recvspace;
extern uint64_t g_nbd_write_copied, g_nbd_enomems, g_nbd_write_truncs;
extern uint64_t g_nbd_read_truncs;
extern uint64_t g_nbd_wishes;
void	g_nbd_getattr(struct g_nbd_softc *, struct bio *);
g_dumpconf_t g_nbd_dumpconf;

#define	G_NBD_LOG(level, sc, fmt, ...) do {				\
	if (g_nbd_debug >= (level))					\
		printf("nbd%u: " fmt "\n", (sc)->sc_unit, ##__VA_ARGS__); \
} while (0)
#define	G_NBD_WARN	1
#define	G_NBD_INFO	2

#endif
