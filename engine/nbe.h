/*
 * nbe.h - the NBD engine: seam and manual.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An NBD client without a place to run in: no libc, allocation, socket, clock,
 * lock, thread or callback.  A front (a driver in a kernel, a daemon, a simulator)
 * owns all of these.  It tells the engine what happened and when; the engine says
 * what to send, where to receive and what is finished.
 *
 * Rules for the caller
 *  - Serialise all calls on one object (one lock, or one thread).  No call
 *    blocks or calls out, so any lock will do.
 *  - Time is passed in and never goes back.  Lengths and offsets are bytes.
 *  - After a group of calls, and before dropping the lock, take nbe_work(); do
 *    what it says after dropping the lock.  A group that begins a send may leave
 *    that to the one that ends it.
 *
 * Errors come in three kinds that never mix.  A bug of ours or of the front is
 * NBE_ASSERT.  Bad bytes or a lost socket end one handshake or connection, with
 * a sticky enum nbe_why.  A refusal by the server ends one request, with
 * nbe_req.error.
 *
 * "proto.md" in comments is doc/proto.md of the NBD project.
 */
#ifndef NBE_H
#define NBE_H

#include "nbe_port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t nbe_time;		/* ns, monotonic, any origin */
#define NBE_NEVER	UINT64_MAX
#define NBE_SECOND	UINT64_C(1000000000)

#define NBE_MAX_CONNS	32
#define NBE_MAX_PATHS	8
#define NBE_MAX_DEPTH	1024		/* commands in flight on one connection */
#define NBE_MAX_STRING	4096		/* bytes of a name or text (proto.md) */
#define NBE_BLOCK_MAX	65536		/* largest minimum block size (proto.md) */
#define NBE_PAYLOAD_DEFAULT 33554432	/* 2^25, when the server names no maximum */

/* The result of a request.  Each front maps these in one table. */
enum nbe_err {
	NBE_OK,
	NBE_EPERM,		/* device is read-only, or server policy */
	NBE_EIO,		/* server error, or acknowledged data was lost */
	NBE_ENOMEM,
	NBE_EINVAL,		/* range or alignment; or the server says so */
	NBE_ENOSPC,
	NBE_EOVERFLOW,
	NBE_ENOTSUP,		/* the server does not offer this operation */
	NBE_ESHUTDOWN,		/* the device is stopping */
	NBE_ETIMEDOUT,		/* no server has answered within dead_timeout */
	NBE_EABORTED,		/* nbe_abort */
	NBE_ERRS
};

/*
 * Why a handshake or a connection ended.  nbe_why_text has a sentence for each.
 */
enum nbe_why {
	NBE_WHY_NONE,
	/* said by the front */
	NBE_WHY_CLOSED,		/* the peer closed the socket, or it broke */
	NBE_WHY_TLS_FAILED,	/* the TLS session broke */
	/* handshake: what the server said no to */
	NBE_WHY_UNKNOWN_EXPORT,
	NBE_WHY_POLICY,
	NBE_WHY_TLS_REQUIRED,	/* the server wants TLS, the user forbade it */
	NBE_WHY_TLS_REFUSED,	/* the user wants TLS, the server has none */
	NBE_WHY_PLATFORM,
	NBE_WHY_INVALID,
	NBE_WHY_SHUTDOWN,
	NBE_WHY_BLOCK_SIZE_REQUIRED,
	NBE_WHY_TOO_BIG,
	NBE_WHY_UNSUPPORTED,	/* LIST, INFO, or GO where EXPORT_NAME cannot do */
	NBE_WHY_EXT_HEADERS_REQUIRED,
	NBE_WHY_REFUSED,	/* any other error reply */
	/* handshake: bytes that are not the protocol */
	NBE_WHY_NOT_NBD,
	NBE_WHY_REPLY_MAGIC,
	NBE_WHY_WRONG_OPTION,	/* a reply to an option that was not sent */
	NBE_WHY_UNEXPECTED_REPLY,
	NBE_WHY_REPLY_LENGTH,
	NBE_WHY_TOO_MANY_REPLIES,
	NBE_WHY_NO_EXPORT_INFO,	/* GO was acknowledged without NBD_INFO_EXPORT */
	NBE_WHY_INFO_CONFLICT,	/* two replies of one kind that differ */
	NBE_WHY_BAD_STRING,	/* a NUL in a text, or a name beyond the limit */
	NBE_WHY_BAD_SIZE,	/* 0, above INT64_MAX, or less than one block */
	NBE_WHY_BAD_BLOCK_SIZE,
	/* transmission: bytes that are not the protocol */
	NBE_WHY_BAD_MAGIC,
	NBE_WHY_BAD_COOKIE,	/* unknown, finished, or of another connection */
	NBE_WHY_BAD_CHUNK,	/* type, flags or length that cannot be */
	NBE_WHY_BAD_RANGE,	/* chunk outside its request, or an overlap */
	NBE_WHY_INCOMPLETE,	/* DONE before all bytes of a read came */
	NBE_WHY_WRONG_FRAMING,	/* simple reply where structured is a must */
	/* transmission: the engine's own decision */
	NBE_WHY_TIMEOUT,	/* late: see nbe_dev_config.timeout */
	NBE_WHY_SERVER_SHUTDOWN,/* the server answered ESHUTDOWN */
	NBE_WHY_SCALED,		/* fewer connections are wanted */
	NBE_WHY_RENEWED,	/* it is to be made anew */
	NBE_WHY_MOVED,		/* the device goes to another path */
	NBE_WHY_UNFLUSHED,	/* of a move: what was written could not be flushed */
	NBE_WHY_STOPPED,
	/* nbe_conn_up: the connection contradicts the device */
	NBE_WHY_SHRANK,
	NBE_WHY_READ_ONLY,
	NBE_WHY_FLAGS_LOST,
	NBE_WHY_BLOCK_SIZE_CHANGED,
	NBE_WHY_PAYLOAD_SHRANK,
	NBE_WHY_FRAMING_LOST,
	NBE_WHY_NO_MULTI_CONN,
	NBE_WHY_OTHER_PATH,	/* the device left that path while it was dialed */
	NBE_WHY_OTHER_DISK,	/* said by the front: see nbe_compared */
	NBE_WHYS
};
const char *nbe_why_text(enum nbe_why);

/* ---- what a server exports -------------------------------------------------- */

/* Transmission flags, as sent by the server (proto.md, "Transmission flags"). */
#define NBE_FLAG_HAS_FLAGS		(1u << 0)
#define NBE_FLAG_READ_ONLY		(1u << 1)
#define NBE_FLAG_SEND_FLUSH		(1u << 2)
#define NBE_FLAG_SEND_FUA		(1u << 3)
#define NBE_FLAG_ROTATIONAL		(1u << 4)
#define NBE_FLAG_SEND_TRIM		(1u << 5)
#define NBE_FLAG_SEND_WRITE_ZEROES	(1u << 6)
#define NBE_FLAG_SEND_DF		(1u << 7)
#define NBE_FLAG_CAN_MULTI_CONN		(1u << 8)
#define NBE_FLAG_SEND_RESIZE		(1u << 9)
#define NBE_FLAG_SEND_CACHE		(1u << 10)
#define NBE_FLAG_SEND_FAST_ZERO		(1u << 11)
#define NBE_FLAG_BLOCK_STATUS_PAYLOAD	(1u << 12)

/* Handshake flags, as sent by the server. */
#define NBE_HS_FIXED_NEWSTYLE		(1u << 0)
#define NBE_HS_NO_ZEROES		(1u << 1)

enum nbe_framing { NBE_SIMPLE, NBE_STRUCTURED, NBE_EXTENDED };

/*
 * All values are checked: size is 1 to INT64_MAX and a multiple of block_min;
 * block_min is a power of two in 1..65536; block_pref a power of two, at least
 * block_min and 512; payload_max a multiple of block_min, at least block_pref.
 */
struct nbe_export {
	uint64_t	size;		/* a multiple of block_min */
	uint32_t	block_min, block_pref, payload_max;
	uint32_t	tail;		/* bytes of the server's behind size: less than
					 * a block, they cannot be reached */
	uint32_t	alloc_context;	/* id of base:allocation, if has_alloc */
	uint16_t	flags;		/* NBE_FLAG_*; 0 without HAS_FLAGS */
	uint16_t	hs_flags;	/* NBE_HS_*; 0 for oldstyle */
	enum nbe_framing framing;
	bool		has_alloc;
	bool		has_block_size;	/* the server named its block sizes */
	bool		tls;		/* negotiated inside TLS */
};

/* ---- handshake: bytes in, bytes out ----------------------------------------- */

enum nbe_goal { NBE_GOAL_GO, NBE_GOAL_INFO, NBE_GOAL_LIST };
enum nbe_tls { NBE_TLS_OFF, NBE_TLS_IF_OFFERED, NBE_TLS_REQUIRED };

struct nbe_hs_config {
	const char	*name;		/* export; valid as long as the handshake */
	uint32_t	 name_len;	/* up to NBE_MAX_STRING, no NUL inside */
	enum nbe_goal	 goal;
	enum nbe_tls	 tls;
	enum nbe_framing framing_max;
	bool		 want_alloc;	/* meta context base:allocation */
};

enum nbe_hs_state {
	NBE_HS_IO,	/* move bytes: first send_buf; when it is empty, recv_buf */
	NBE_HS_TLS,	/* start TLS on the socket, then nbe_hs_resume */
	NBE_HS_ITEM,	/* nbe_hs_name is one listed export; then nbe_hs_resume */
	NBE_HS_DONE,	/* nbe_hs_export is final; after GO the next byte is
			 * transmission, after INFO and LIST call nbe_hs_abort */
	NBE_HS_FAILED,	/* nbe_hs_why; sticky; call nbe_hs_abort before closing */
	NBE_HS_ABORTING,/* send send_buf, if any, then close; the server may close
			 * first; nbe_hs_why still answers */
};

/* A text that the server sent: not ended by NUL, may hold any byte but NUL. */
struct nbe_text {
	const char	*ptr;
	uint32_t	 len;
};

/* Its size is public, its fields are the engine's own.  About 21 KiB, needed
 * only while connecting. */
struct nbe_hs {
	struct nbe_hs_config cfg;
	struct nbe_export exp;
	enum nbe_hs_state state;
	enum nbe_why	why;
	uint8_t		step, option;		/* indices of handshake.c's tables */
	bool		in_tls;
	bool		idle;			/* the server awaits an option */
	bool		got_export;
	uint16_t	hs_flags;		/* offered and known to us */
	uint32_t	reply, reply_len;	/* present option reply */
	uint32_t	replies;		/* to the present option */
	uint32_t	unread;			/* of the reply, behind in[] */
	uint32_t	out_pos, out_len;
	uint32_t	in_base, in_len, in_need;
	uint32_t	name_len, about_len, message_len;
	uint8_t		out[NBE_MAX_STRING + 256];
	uint8_t		in[2 * NBE_MAX_STRING + 512];
	char		name_buf[NBE_MAX_STRING];
	char		about_buf[NBE_MAX_STRING];
};

void			 nbe_hs_init(struct nbe_hs *, const struct nbe_hs_config *);
enum nbe_hs_state	 nbe_hs_state(const struct nbe_hs *);
/* NULL and 0 when there is nothing to send. */
const uint8_t		*nbe_hs_send_buf(const struct nbe_hs *, size_t *len);
void			 nbe_hs_send_ack(struct nbe_hs *, size_t len);
/* Never asks for a byte beyond the present message, so the stream can be handed
 * to TLS, to a kernel or to nbe_conn_up with nothing read ahead.  NULL and 0
 * while there are bytes to send. */
uint8_t			*nbe_hs_recv_buf(struct nbe_hs *, size_t *len);
void			 nbe_hs_recv_ack(struct nbe_hs *, size_t len);
/* After NBE_HS_TLS (TLS is up) and NBE_HS_ITEM (item was read). */
void			 nbe_hs_resume(struct nbe_hs *);
/* The socket closed: names the reason that fits the present step. */
void			 nbe_hs_closed(struct nbe_hs *);
/* Leave: queue NBD_OPT_ABORT, if the server awaits an option and would understand
 * it (proto.md, "Termination of the session during option haggling"). */
void			 nbe_hs_abort(struct nbe_hs *);
const struct nbe_export	*nbe_hs_export(const struct nbe_hs *);
/* Canonical name and description (INFO_NAME, INFO_DESCRIPTION, LIST); length 0
 * when the server sent none.  Valid until the next resume. */
struct nbe_text		 nbe_hs_name(const struct nbe_hs *);
struct nbe_text		 nbe_hs_about(const struct nbe_hs *);
enum nbe_why		 nbe_hs_why(const struct nbe_hs *);
/* What the server wrote with its refusal; length 0 when nothing. */
struct nbe_text		 nbe_hs_message(const struct nbe_hs *);

/* ---- requests ----------------------------------------------------------------- */

enum nbe_op {
	NBE_READ, NBE_WRITE, NBE_FLUSH, NBE_TRIM, NBE_ZERO, NBE_CACHE, NBE_EXTENTS,
	NBE_OPS
};
const char *nbe_op_name(enum nbe_op);

#define NBE_FUA		0x01	/* durable when done; write + flush where the server
				 * has no FUA; WRITE, TRIM, ZERO */
#define NBE_BARRIER	0x02	/* after all earlier requests, before all later */
#define NBE_NO_HOLE	0x04	/* ZERO: keep the range allocated */
#define NBE_FAST_ZERO	0x08	/* ZERO: try the server's fast way first; where it
				 * has none, the zeroing is an ordinary one */
#define NBE_FAST_ONLY	0x10	/* with FAST_ZERO: where it has none, ENOTSUP */
#define NBE_COMPARE	0x20	/* READ: one of those for nbe_compared.  It overtakes
				 * all, also while the device stops, and is not sent
				 * again: EIO when its connection is lost */

/* One run of base:allocation (proto.md, "Metadata querying"). */
#define NBE_EXTENT_HOLE	0x01	/* not allocated (a hint) */
#define NBE_EXTENT_ZERO	0x02	/* reads as zeroes (a promise) */
struct nbe_extent {
	uint64_t	length;
	uint32_t	flags;
};

#define NBE_NO_KEEP	UINT64_MAX

/*
 * One request, inside the front's own per-I/O object.  The front owns it before
 * nbe_submit and after it appeared on nbe_work.done; in between, the engine.
 */
struct nbe_req {
	/* in: set before nbe_submit */
	uint64_t	offset, length;		/* multiples of block_min */
	uint8_t		op;			/* enum nbe_op */
	uint8_t		flags;			/* NBE_FUA .. */
	uint32_t	extents_max;		/* EXTENTS: room in extents[], >= 1 */
	struct nbe_extent *extents;		/* EXTENTS: filled from offset on */
	/* out: valid on nbe_work.done */
	uint8_t		error;			/* enum nbe_err */
	uint32_t	extents_count;		/* may cover less than length */
	uint64_t	keep;			/* NBE_NO_KEEP, or: copy the data to
						 * this place of the keep buffer,
						 * before the lock is dropped */
	struct nbe_req	*next;			/* the next one that is done */
	/* the engine's own */
	struct nbe_req	*prev;
	uint64_t	record;			/* its number, or NBE_NO_KEEP */
	uint64_t	planned;		/* bytes given to parts */
	uint64_t	part_max, number;	/* of all submitted */
	nbe_time	submitted_at, retry_until;
	uint32_t	epoch;			/* of the first part's reply */
	uint16_t	parts;			/* commands that are out there */
	uint8_t		state;
	bool		begun, cleared, flushing, redo;
};

/* ---- device: requests over connections ---------------------------------------- */

/* What becomes of writes that were acknowledged, not yet flushed, when the
 * server may have restarted. */
enum nbe_unflushed {
	NBE_UNFLUSHED_FAIL,	/* the flushes under way fail, or the next one */
	NBE_UNFLUSHED_REPLAY,	/* they are kept, and written again */
	NBE_UNFLUSHED_IGNORE,
};

/*
 * Paths: several servers of one disk.
 *
 * A path is one server of a list; the engine knows it by its number, the front knows
 * how to dial it.  One path at a time is active: all connections are to that one.  It
 * is left
 *
 *  - when it has had no connection for path_timeout (failover), or says ESHUTDOWN; the
 *    next ones by order are tried then, the first of the list after the last, one dial
 *    at a time; after each round of the whole list the device waits (backoff);
 *  - when the user says so (nbe_move), or by failback: in order, when the new one is
 *    known to answer (nbe_work.probe).  All is finished and flushed first, so nothing
 *    is lost, and nothing needs a fence.  So it is with a server that says ESHUTDOWN
 *    and goes on to answer, as far as it does.
 *
 * What the path that was left still has of ours, it may write at any time: commands
 * that were in flight, and what it acknowledged and no flush has covered.  Newer
 * changes of these places wait until it is fenced.  With NBE_UNFLUSHED_REPLAY that is
 * known place by place (reads of what is to be written again wait, too); else all
 * changes wait, unless all was flushed.  Other reads go on at once.  How it is fenced:
 *
 *  TIME	when the new path has answered and the fence time is over.  Rests on the
 *	old server to be dead or awake: one that sleeps for longer still writes.
 *  COMMAND	when the front has seen to it that the old server writes no more:
 *	nbe_work.fence, nbe_fenced.
 *  STORE	the store lets no server write but the one that wrote last; nothing
 *	waits, but for what a server was sent that has never written: that is left
 *	to time.  The store may need the fence time to shut the old one out: until
 *	the first change on the new path is answered, time-outs are so much longer.
 *
 * Back on a path before it was fenced, its own answer counts, as with one server.
 *
 * Acknowledged writes that no flush has covered: nbe_unflushed, as with a server that
 * restarts.
 *
 * A device may take the place of another one that ended in the middle of its work, as
 * with its process.  Commands of that one may still be carried out, and nobody knows
 * where, so all changes wait: for the fence of its servers, the present one among
 * them.  Which ones it had left something with nbe_old_paths tells, which is to be
 * kept where the end of the process does not reach it.  What it had acknowledged and
 * not flushed is the front's to know: this device cannot tell whether its server was
 * restarted in between.  But with NBE_UNFLUSHED_REPLAY that can outlive it, too: see
 * nbe_dev_config.records.
 */
enum nbe_fence_by { NBE_FENCE_TIME, NBE_FENCE_COMMAND, NBE_FENCE_STORE };

/*
 * A connection is given up (NBE_WHY_TIMEOUT) that owes an answer, and no byte of which
 * has moved for the time-out, in either direction; or whose oldest command is overtaken
 * by later ones of its kind and size for 3 time-outs, or by any for 10.
 */
struct nbe_dev_config {
	uint16_t conns_max;		/* 1..NBE_MAX_CONNS: room for nbe_scale */
	uint16_t conns;			/* wanted at first, 1..conns_max */
	uint16_t depth;			/* 1..NBE_MAX_DEPTH in flight per conn */
	uint32_t part_max;		/* split above this; 0: the server's maximum */
	nbe_time timeout;		/* see above; NBE_NEVER: none */
	nbe_time dead_timeout;		/* fail requests without a server for so long */
	nbe_time fence;			/* how long a lost write may still land,
					 * once the server answers again */
	nbe_time backoff_min, backoff_max;	/* between attempts to reconnect */
	enum nbe_unflushed unflushed;
	uint64_t keep_size;		/* REPLAY: bytes of the front's keep buffer */
	uint32_t keep_records;		/* REPLAY: requests that may be kept */
	/*
	 * REPLAY: nbe_records_size bytes, aligned to 8, for the records of what is in
	 * the keep buffer; NULL: they are in the device's own memory.  Where these and
	 * the keep buffer outlive the process, which may be killed between any two
	 * instructions, another device gets both, with the same sizes, and writes again
	 * what this one has acknowledged.  So the front
	 *
	 * - copies the data of a request that is done, then calls nbe_kept, and then
	 *   acknowledges it: of one that was not, nothing is known;
	 * - lets the next device have all requests that were not acknowledged;
	 * - has acknowledged what is done before it begins to wait for an answer to
	 *   what was submitted later.
	 *
	 * inherit, with any policy: a device before this one had acknowledged what no
	 * flush has covered.  What it may have left of that in records is not believed;
	 * nbe_inherited says whether it holds.
	 */
	void	*records;
	bool	 inherit;
	uint64_t seed;			/* of the jitter; same seed, same run */
	/* Paths.  All zero: there is one, and nothing of them matters. */
	uint8_t	 paths;			/* up to NBE_MAX_PATHS */
	uint8_t	 path;			/* the one that is active at first */
	uint32_t old_paths;		/* bit per path: the device before this one
					 * may have left something there; with one
					 * path, bit 0 */
	enum nbe_fence_by fence_by;
	nbe_time path_timeout;
	nbe_time failback;		/* so long on another path, then back to the
					 * first, if it answers; twice as long after
					 * each time.  0: only by hand */
	bool	 compare;		/* see nbe_compared */
};

struct nbe_dev;
/* Bytes of memory that nbe_dev_init needs, aligned to 16.  Nothing is to be
 * freed but that block. */
size_t		 nbe_dev_size(const struct nbe_dev_config *);
struct nbe_dev	*nbe_dev_init(void *mem, const struct nbe_dev_config *,
		    const struct nbe_export *, nbe_time now);
const struct nbe_export *nbe_dev_export(const struct nbe_dev *);
size_t		 nbe_records_size(const struct nbe_dev_config *);
/* All that the device before this one had acknowledged will be there: it is written
 * again, before a flush is answered.  Else the front is to say that it may be lost, and
 * fails the flushes under way, or the next one. */
bool		 nbe_inherited(const struct nbe_dev *);

/* What happened. */

void	nbe_submit(struct nbe_dev *, struct nbe_req *, nbe_time now);
/* The data of this one, which is done, is in the keep buffer, if it was to be there.
 * It is about to be acknowledged: see nbe_dev_config.records. */
void	nbe_kept(struct nbe_dev *, const struct nbe_req *);
/* Finish with NBE_EABORTED as soon as no socket uses its buffers. */
void	nbe_abort(struct nbe_dev *, struct nbe_req *, nbe_time now);

/* What a server offers, against what a device has that sends data_max bytes at a time:
 * why it cannot take it over, or NBE_WHY_NONE. */
enum nbe_why nbe_contradiction(const struct nbe_export *have,
	    const struct nbe_export *offered, uint64_t data_max);
/*
 * A connection finished its handshake.  Anything but NBE_WHY_NONE: it contradicts
 * the device and was not taken; leave it with NBD_CMD_DISC (nbe_disc) and close
 * it; the engine will ask for another after a while.
 */
enum nbe_why nbe_conn_up(struct nbe_dev *, unsigned conn,
	    const struct nbe_export *, nbe_time now);
/* The DISC command, for a connection that nbe_dev does not have.  Returns its
 * length. */
unsigned nbe_disc(uint8_t buf[32], enum nbe_framing);
/*
 * Where the nbe_dev has died, and its connections are still there: whether anything
 * that was acknowledged since then may be lost.  The epoch changes when the last
 * connection is gone that is known to reach the server where it was acknowledged; of
 * what is older nobody can tell any more.
 */
uint32_t nbe_epoch(const struct nbe_dev *);
/* Whether this connection is known to reach that server, and what was sent there ends
 * with a whole command, so that a last flush may follow if the device dies now. */
bool	nbe_can_flush_last(const struct nbe_dev *, unsigned conn);
/*
 * What comes then is what the server still owed, from any byte on, and among it the
 * answer, which the cookie tells: it must be random.  FLUSHED: the server was not
 * restarted in that epoch, and has flushed all that it had acknowledged.
 */
struct nbe_last_flush {
	uint64_t	cookie;
	uint64_t	heard[2];	/* the last 16 bytes */
};
enum nbe_heard { NBE_HEARD_NOTHING, NBE_HEARD_FLUSHED, NBE_HEARD_REFUSED };
/* Returns the command's length. */
unsigned nbe_last_flush(struct nbe_last_flush *, uint64_t cookie, enum nbe_framing,
	    uint8_t buf[32]);
enum nbe_heard nbe_last_flush_hear(struct nbe_last_flush *, const uint8_t *, size_t);
/* FLUSHED, over a connection of the device before this one: what that had acknowledged
 * need not be written again. */
void	nbe_past_flushed(struct nbe_dev *);
/* It is closed, or could not be opened; no tx and no rx is open on it. */
void	nbe_conn_down(struct nbe_dev *, unsigned conn, enum nbe_why, nbe_time now);
void	nbe_tick(struct nbe_dev *, nbe_time now);
/* Ask for n connections, 1..conns_max.  Those that are up are kept; surplus ones
 * finish their commands. */
void	nbe_scale(struct nbe_dev *, unsigned n, nbe_time now);
/* Make connection conn anew, in an orderly way, if it is up: it finishes what it has
 * and says DISC; the last one waits until all is flushed, too.  No request fails or is
 * lost, and no unflushed write; with one connection there is a pause of some round
 * trips. */
void	nbe_renew(struct nbe_dev *, unsigned conn);
/* Ask at once for the connections that are missing, without backoff, and renew the
 * others one by one: so a disk that has grown is seen. */
void	nbe_reconnect(struct nbe_dev *, nbe_time now);
/* After nbe_work: is one that is up still to be made anew, for whatever reason? */
bool	nbe_renewing(const struct nbe_dev *);

enum nbe_path_state {
	NBE_PATH_STANDBY,
	NBE_PATH_ACTIVE,	/* the device is there, or was last */
	NBE_PATH_FAILED,	/* when used or tried last */
};
struct nbe_path {
	enum nbe_path_state state;
	enum nbe_why	why;		/* it is not active; NONE: nothing happened */
	nbe_time	since;		/* it is so */
	bool		tried;		/* no path has a connection; it is its turn */
	bool		moving;		/* the device is about to move to it */
	bool		fencing;	/* it was left, and changes may have to wait for
					 * it to be fenced */
};
void	nbe_path(const struct nbe_dev *, unsigned path, struct nbe_path *);
/* Which path to dial for a connection of nbe_work.open; else the one that it is to.
 * The same from nbe_work.open to nbe_conn_up or nbe_conn_down. */
unsigned nbe_conn_path(const struct nbe_dev *, unsigned conn);
/* Go there, in order; not while nbe_fenced is awaited for it.  Where it cannot be
 * reached, or what was written cannot be flushed, the device stays, and nbe_path.why of
 * that path says why.  Without any connection it is tried next, and the path that was
 * lost is left as with a failover. */
void	nbe_move(struct nbe_dev *, unsigned path, nbe_time now);
/* nbe_work.probe: the path was dialed and shook hands (NBE_WHY_NONE), or did not. */
void	nbe_probed(struct nbe_dev *, unsigned path, enum nbe_why, nbe_time now);
/* nbe_work.fence: is it certain that nothing of what this path was sent will be written
 * any more?  Else the front is asked again after a while. */
void	nbe_fenced(struct nbe_dev *, unsigned path, bool certain, nbe_time now);
/*
 * nbe_work.compare has a number: the server may be another one than before (it was
 * restarted, or is another path), and nothing but READs with NBE_COMPARE is sent until
 * the front has said whether it has the same disk.  What it compares are blocks that a
 * flush has covered and that were not changed since.  Each new server has a new number;
 * what is said of an earlier one does not count.  Not the same: all connections are
 * closed (NBE_WHY_OTHER_DISK), and the path has failed.
 */
void	nbe_compared(struct nbe_dev *, uint32_t compare, bool same);
/* Take no more requests.  drain: finish all, flush, say DISC; else fail all now.
 * May be called again with drain false.  Ends with nbe_work.stopped. */
void	nbe_stop(struct nbe_dev *, bool drain, nbe_time now);

/* One run of bytes.  The engine never touches payload; it names it. */
enum nbe_seg_kind {
	NBE_SEG_CORE,		/* base[0..len) is the engine's own memory */
	NBE_SEG_DATA,		/* bytes off..off+len of req's data */
	NBE_SEG_KEPT,		/* send only: bytes off..off+len of the keep buffer */
	NBE_SEG_SKIP,		/* receive only: read len bytes and drop them */
	NBE_SEG_ZERO,		/* receive only: no wire bytes; zero that of req */
};
struct nbe_seg {
	enum nbe_seg_kind kind;
	uint32_t	 len;
	uint8_t		*base;	/* CORE; after nbe_rx_ahead: where the bytes are */
	struct nbe_req	*req;
	uint64_t	 off;
};

/*
 * Sending.  begin plans the next bytes of the stream, as many commands as fit
 * into seg[nseg] (nseg at least 2) and returns how many segments; end says how
 * many bytes the socket took.  At most one begin is open per connection, and a
 * request is not done while its bytes are in an open begin.  A front whose socket
 * uses the buffers for longer (mbufs, zero-copy sends) counts that itself, and passes
 * on a request that is done when the last of them is free: no lock is needed for that.
 */
unsigned nbe_tx_begin(struct nbe_dev *, unsigned conn, struct nbe_seg *,
	    unsigned nseg, nbe_time now);
void	 nbe_tx_end(struct nbe_dev *, unsigned conn, uint64_t sent,
	    enum nbe_why, nbe_time now);
/*
 * For a front that reads its clock around a send, and has several connections: a send
 * of 64 KiB or less, which the socket took whole and at once, took so long.  Where that
 * is much, a connection is filled for longer before the next one is used.  What a
 * longer send takes, or one that waits for the peer, says nothing of this machine.
 */
void	 nbe_send_took(struct nbe_dev *, nbe_time);

/*
 * Receiving, in one of two ways, which may alternate.
 *
 * Direct: nbe_rx_begin names where the next bytes of the stream go: payload
 * straight into the request, and the header behind it, so that one readv gets
 * both.  Reading may stop after *need bytes and must not wait for more.  With
 * *need 0 there is nothing to read: zero what a ZERO segment names, end with 0.
 *
 * Read-ahead: the front received len bytes into a buffer of its own and hands
 * them over; the engine parses them where they are and names the copies to make:
 * seg.base is the source of a DATA segment, ZERO has none, SKIP is never named.
 * *used says how many bytes are consumed; the front gives the rest again, in
 * front of what comes next.  A rest is left only when seg[] was full.  What came in
 * several buffers may be handed over one by one before nbe_rx_end; no other call on
 * the device but nbe_rx_left may be in between.
 *
 * Either way nbe_rx_end closes it; only then are requests done.  got counts the
 * bytes that came into the segments of nbe_rx_begin; 0 after nbe_rx_ahead.  False: it
 * was a piece of a reply and no more, so nbe_work has nothing new to say and need not
 * be called for it.
 */
unsigned nbe_rx_begin(struct nbe_dev *, unsigned conn, struct nbe_seg *,
	    unsigned nseg, uint64_t *need);
unsigned nbe_rx_ahead(struct nbe_dev *, unsigned conn, const uint8_t *buf,
	    size_t len, struct nbe_seg *, unsigned nseg, size_t *used);
bool	 nbe_rx_end(struct nbe_dev *, unsigned conn, uint64_t got,
	    enum nbe_why, nbe_time now);
/* Mean payload in bytes of the reads in flight on this connection, 0 without
 * any: a front reads ahead while it is small and goes direct when it is large. */
uint64_t nbe_rx_payload(const struct nbe_dev *, unsigned conn);
/*
 * The peer has taken bytes of this connection since the last call: its system has
 * acknowledged them (TCP), or read them (local sockets).  Bytes that came in the engine
 * counts itself; bytes that went into the own system's buffer prove nothing, so
 * nbe_tx_end does not count.  With neither for the time-out, while an answer is owed,
 * the connection is late: ask the system at least twice in that time.
 */
void	 nbe_moved(struct nbe_dev *, unsigned conn, nbe_time now);
/*
 * For a front that keeps a late connection's socket (NBE_WHY_TIMEOUT), half closed,
 * after nbe_conn_down: something came there, which the front does not look at.  So the
 * server still works on what it was sent on that path, and the fence times that run
 * begin anew.  There is nothing to keep it for when nbe_old_writes says no.
 */
void	 nbe_stirred(struct nbe_dev *, unsigned path, nbe_time now);
/*
 * For a front that keeps a connection of the device before, which may have died with
 * whole commands still in the own system: underway, before anything is sent; and then,
 * when all is with the server, or never will be, not any more.  Until then it counts as
 * not lost yet, and the fence of that path waits.
 */
void	 nbe_underway(struct nbe_dev *, unsigned path, bool underway);
/* May a write still land there that was lost with its connection? */
bool	 nbe_old_writes(const struct nbe_dev *, unsigned path);
/* What old_paths is to be for the next device, should this one end now: after each
 * nbe_conn_up, before anything is sent there; and then whenever it is convenient. */
uint32_t nbe_old_paths(const struct nbe_dev *);
/* Bytes of payload of the present reply that are still to come; 0: a header is
 * next. */
uint64_t nbe_rx_left(const struct nbe_dev *, unsigned conn);

/* What to do. */
struct nbe_work {
	struct nbe_req	*done;	/* finished, linked by next */
	uint32_t	 tx;	/* bit per conn: nbe_tx_begin has bytes */
	uint32_t	 open;	/* bit per conn: connect, handshake, nbe_conn_up or
				 * nbe_conn_down; stays set until one of them */
	uint32_t	 close;	/* bit per conn: shut it down, end tx and
				 * rx, nbe_conn_down; or it was to be opened, and
				 * need not be, whether that has begun or not:
				 * nbe_conn_down, the sooner the better */
	uint32_t	 probe;	/* bit per path: dial it, shake hands, leave it, and
				 * call nbe_probed; stays set until then */
	uint32_t	 fence;	/* bit per path: end what it has of ours, and call
				 * nbe_fenced; stays set until then */
	uint32_t	 compare; /* nbe_compared is to be called; 0: it is not */
	bool		 resized;	/* nbe_dev_export has a new size, and so has
					 * each connection that is up */
	bool		 stopped;	/* all is closed; the memory may go */
};
void	nbe_work(struct nbe_dev *, struct nbe_work *, nbe_time now);
/* Call nbe_tick and nbe_work no later than this.  Any call on the device may change
 * it, nbe_tx_begin among them: ask when all else is done, before going to sleep.
 * now is the time of the last nbe_work. */
nbe_time nbe_wake(const struct nbe_dev *, nbe_time now);

/* Why the engine asks to close a connection, or why it was last lost. */
enum nbe_why nbe_conn_why(const struct nbe_dev *, unsigned conn);
bool	nbe_conn_is_up(const struct nbe_dev *, unsigned conn);
/* It is up, takes no more commands, and ends when it has finished those it has, or is
 * to be closed at once. */
bool	nbe_conn_is_leaving(const struct nbe_dev *, unsigned conn);
/* Before nbe_conn_down: was its end agreed on?  Then all its commands are answered and
 * DISC is sent, and what is still in the system's send buffer is to arrive.  Any other
 * end must be a reset: what was given up would arrive too, minutes later. */
bool	nbe_conn_in_order(const struct nbe_dev *, unsigned conn);

/* ---- counters ------------------------------------------------------------------ */

/* Latency buckets: four per power of two, from 2^10 ns (about 1 us) up. */
#define NBE_LATENCY_BUCKETS	128

struct nbe_op_stats {
	uint64_t reqs, bytes, errors;
	uint64_t latency_sum_ns;
	uint64_t latency[NBE_LATENCY_BUCKETS];
};

struct nbe_stats {
	struct nbe_op_stats op[NBE_OPS];
	uint64_t received;		/* requests submitted to the engine */
	uint64_t started;		/* of these, given to a server */
	uint64_t replied;		/* of these, answered in full */
	uint64_t aborted_started, aborted_queued, aborted_done;
	uint64_t parts;			/* commands sent */
	uint64_t retries;		/* commands sent again */
	uint64_t timeouts, conns_lost, conns_made, conns_refused;
	uint64_t fenced;		/* requests that waited for a fence */
	uint64_t restarts;		/* times the server may have restarted */
	uint64_t flushes_failed;	/* because of unflushed, lost writes */
	uint64_t replayed;		/* kept requests written again */
	uint64_t failovers, moves;	/* to another path: it had to, it was to */
	nbe_time last_received, last_started, last_replied;	/* 0: never */
	uint32_t queued, active;	/* now: not begun, begun */
	uint32_t in_flight;		/* now: commands at the server */
	uint32_t conns_up, conns_wanted;
	uint64_t kept_bytes;		/* now: in the keep buffer */
	bool	 dirty;			/* acknowledged writes await a flush */
	bool	 lost;			/* some were lost; the next flush will say so */
};
void	nbe_stats(const struct nbe_dev *, struct nbe_stats *);
/* Lower bound in ns of the bucket that holds the given part (in 1/1000) of all
 * requests of op; 0 when there were none. */
uint64_t nbe_latency_ns(const struct nbe_stats *, enum nbe_op, unsigned permille);

/* Every invariant of the device; for tests, after each step. */
bool	nbe_dev_valid(const struct nbe_dev *);

#ifdef __cplusplus
}
#endif
#endif
