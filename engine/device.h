/*
 * device.h - what the files of the device share.  Internal to the engine.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A request is cut into parts; a part is one command at the server and has a
 * slot.  A slot's way:
 *
 *   spare list -> conn.sent (by age) -> conn.answered -> spare list
 *                   |                      (nbe_rx_end)
 *                   +-> dev.retry (connection lost) -> conn.sent ...
 *
 * A request's way, by enum req_state:
 *
 *   QUEUED -> BUSY -> DONE          FENCED: must not overtake a lost write
 *     ^  \-> FENCED                 UNKEPT: answered, but the keep buffer is full
 *     +------- BUSY -> UNKEPT -> DONE
 *
 * The server's incarnation.  A server that restarted may have lost what it had
 * acknowledged and not flushed.  Two connections reach the same incarnation if
 * the older one answers a command that was given to it after the newer one came
 * up.  So a new connection carries nothing until it is proven so; when the last
 * proven one is lost, all bets are off: the epoch changes, and the connections
 * that are up are the proven ones of the new epoch.
 */
#ifndef NBE_DEVICE_H
#define NBE_DEVICE_H

#include "nbe.h"
#include "wire.h"

#define NO_SLOT		UINT16_MAX
#define RUNS_MAX	8
#define BATCH_BYTES	1048576u	/* enough to amortise a send */

/* Of a command that others overtake, in time-outs: overtaken by its like, by any. */
#define OVERTAKEN_ALIKE	3u
#define OVERTAKEN_BY_ANY 10u

/* Payload that a connection may owe: it begins small, grows while it is used and
 * answers come, and halves when they take long. */
#define WINDOW_MIN	65536u
#define WINDOW_START	1048576u
#define WINDOW_MAX	268435456u	/* as good as no limit */
#define ANSWER_SLOW	(2 * NBE_SECOND)

/* A connection is filled before the next one is used, as long as its last command will
 * be answered within this time; twice of it, when so many answers come together. */
#define FILL_TIME	(NBE_SECOND / 5000)
#define FILL_TOGETHER	4u
/* Where a send takes long, so does all that to spread costs: then as long as so many
 * sends, up to a limit. */
#define FILL_SENDS	24u
#define FILL_TIME_MAX	(NBE_SECOND / 500)

/* Bytes of one TRIM, ZERO or CACHE likewise. */
#define EFFECT_MIN	1048576u
#define EFFECT_START	67108864u

struct list {
	uint16_t head, tail;	/* of slots */
};

struct reqs {
	struct nbe_req *head, *tail;
};

enum req_state { REQ_IDLE, REQ_QUEUED, REQ_FENCED, REQ_BUSY, REQ_UNKEPT, REQ_DONE };

/* A stretch of a read that has arrived, relative to its part. */
struct run {
	uint32_t start, end;
};

struct slot {
	struct nbe_req	*req;		/* NULL: free, or its request was aborted */
	uint64_t	off, len;	/* on the disk */
	uint64_t	pos;		/* in the request's data or the keep buffer */
	uint64_t	ack;		/* FLUSH: acknowledgements that it covers;
					 * of a replay: the number of its record */
	uint64_t	rest;		/* of a replay: to be written again behind it,
					 * when it is done */
	nbe_time	sent_at;
	uint32_t	gen;		/* upper half of the cookie */
	uint32_t	moment;		/* of the device, when it was sent */
	uint16_t	next, prev;	/* of the list that it is on */
	uint16_t	flags;		/* CMD_FLAG_* */
	uint8_t		conn, op;
	uint8_t		error;		/* enum nbe_err: what error chunks said */
	uint8_t		runs;
	bool		used, in_tx, sent;
	bool		answered;	/* its reply is parsed to the end ... */
	bool		received;	/* ... and that nbe_rx_end has been */
	bool		scattered;	/* beyond RUNS_MAX: read again, smaller */
	bool		got_status;
	struct run	run[RUNS_MAX];
};

enum rx_step {
	RX_HEAD, RX_OFFSET, RX_HOLE, RX_STATUS, RX_ERROR, RX_ERROR_OFFSET, RX_EXTENT,
	RX_DATA, RX_ZERO, RX_SKIP,
	RX_STEPS
};

struct rx {
	enum rx_step	step;
	uint16_t	slot;
	uint16_t	type, flags;	/* of the present chunk */
	uint32_t	need, have;	/* of the present header, in buf */
	uint64_t	pos;		/* in the request's data; EXTENT: covered */
	uint64_t	left;		/* DATA, ZERO, SKIP: bytes to go */
	uint64_t	chunk_left;	/* behind what is being read */
	uint8_t		buf[LEN_EXT_REPLY];
};

struct conn {
	bool		wanted;		/* one of those that the device is to have */
	bool		up, proven;
	bool		draining;	/* no new commands; DISC when empty */
	bool		disc_planned;
	bool		closing;	/* the front is to close it */
	bool		aborted;	/* may carry commands of aborted requests */
	bool		renew;		/* to be replaced, in an orderly way */
	bool		opening;	/* the front was told to make it */
	bool		tx_open, rx_open, rx_direct;
	bool		babbles;	/* error chunks come, and nothing that helps */
	uint8_t		path;		/* that it is to, or is made to */
	enum nbe_framing framing;
	uint32_t	alloc_context;
	uint64_t	size;		/* of the disk, as this connection has it */
	uint32_t	moment;		/* of the device, when it came up */
	enum nbe_why	why;
	uint32_t	in_flight;	/* slots of this connection */
	struct list	sent, answered;
	nbe_time	open_at;
	uint32_t	tries;		/* without an answer, for the backoff */
	/* the batch: commands planned, in the order of the stream */
	uint16_t	*batch;		/* slots; NO_SLOT is DISC */
	uint8_t		*headers;	/* encoded, back to back */
	uint32_t	batch_count, batch_at;
	uint64_t	batch_pos;	/* bytes of batch[batch_at] that are out */
	uint32_t	reads;		/* in flight, and their bytes */
	uint64_t	read_bytes;
	uint64_t	owed;		/* payload of all in flight, either way */
	uint64_t	window;		/* of which there may be so much */
	nbe_time	window_cut_at;
	nbe_time	moved_at;	/* bytes moved, or nothing was owed */
	nbe_time	gap;		/* between answers owed; a mean */
	uint32_t	together;	/* answers that come at once, a mean; times 8 */
	nbe_time	answered_at;	/* or nothing was owed */
	uint32_t	answers;	/* since then */
	/* The oldest command in flight, if later ones were answered before it. */
	uint16_t	passed;		/* NO_SLOT: none */
	uint32_t	passed_gen;
	nbe_time	passed_at;	/* by the first of these */
	nbe_time	passed_alike_at;	/* by the first of its kind and size */
	struct rx	rx;
};

/* A stretch of the disk that a lost or abandoned command may still change: fence.c. */
struct fence {
	uint64_t	off, end;
	nbe_time	until;		/* NBE_NEVER while its time does not run */
	uint32_t	moment;		/* of the loss */
	bool		waits;		/* for an answer to what was sent after that */
	uint64_t	ack;		/* of a replay: newer records wait; else
					 * NOT_REPLAYED */
	uint16_t	slot;		/* NO_SLOT: its connection is gone */
	uint8_t		path;		/* that has the command */
	bool		past;		/* or what a device before this one had left
					 * there: all wait, replays, too */
	bool		cached;		/* or what it acknowledged, or failed: all wait,
					 * replays and what is sent again, too */
	bool		dormant;	/* the store keeps that path out, it is said */
};
#define NOT_REPLAYED	UINT64_MAX

/* An acknowledged change that no flush has covered, for REPLAY.  Another device may
 * read it, so it has no bool: any byte may be there. */
struct record {
	uint64_t	off, len;
	uint64_t	keep;		/* place in the keep buffer, or NBE_NO_KEEP */
	uint64_t	keep_end;	/* keep_tail behind it */
	uint64_t	ack;		/* its number among the acknowledgements */
	uint8_t		op, flags;
	uint8_t		kept;		/* nbe_kept: else another device takes it that
					 * it was not acknowledged */
	uint8_t		durable;	/* no older one is replayed over it; it is not
					 * replayed itself, and its data not kept */
	uint8_t		given_up;	/* lost again and again: the user is told; or it
					 * is another device's, not acknowledged */
};

/*
 * Records [first, last), counting up, modulo the room.  This may outlive the device
 * (nbe_dev_config.records), which may end between any two instructions.  So a record is
 * there, whole, before last counts it; first has passed it before its place is used
 * anew, and that of its data; a record says what holds before anybody can act on it.
 * lost is set before a record is given up, and cleared when a flush has succeeded that
 * was submitted after the loss was told.
 */
struct records {
	uint32_t	layout;		/* RECORDS_LAYOUT; 0: it is being made */
	uint32_t	record_size;
	uint64_t	room, keep_size;
	uint64_t	first, last;
	uint8_t		lost;		/* something is, and that may not be told yet */
	struct record	at[];
};
#define RECORDS_LAYOUT	0x6e620001u

struct unflushed {
	uint64_t	acked;		/* acknowledgements so far */
	uint64_t	flushed;	/* of these, covered by a flush */
	uint64_t	past;		/* those before were another device's ... */
	bool		inherited;	/* ... and there are no records of them */
	bool		taken;		/* the records of that one held */
	bool		lost;		/* the next flush has to say so ... */
	uint64_t	lost_told;	/* ... and all up to this number */
	bool		telling;	/* the one that says so is not handed over */
	struct records	*records;	/* REPLAY: of these; else none */
	uint64_t	durable;	/* records of durable writes */
	uint64_t	keep_head, keep_tail;	/* bytes of the keep buffer, likewise */
	bool		replaying;
	uint64_t	replay_end;	/* records from here on are of this server */
	uint64_t	replay_next;	/* record to be sent next */
	uint64_t	replay_done;	/* bytes of it that are sent */
	uint64_t	replay_wave;	/* [wave, next] may be in flight */
	uint32_t	replay_parts;	/* in flight or to be retried */
	nbe_time	replay_until;	/* what is lost then is given up; 0: none was */
	struct list	retry;		/* of replay parts */
	/* The server may have a piece of a change that failed or was aborted. */
	bool		stray;
	uint32_t	stray_moment;	/* of the device, after the last of these */
};

/* What the server may have of ours that no flush has covered. */
enum cached { CACHED_NOTHING, CACHED_RECORDS, CACHED_ANYTHING };

/* A server of the list. */
struct path {
	enum nbe_path_state state;
	enum nbe_why	why;
	nbe_time	since;
	bool		cached;		/* it was left with what no flush has covered */
	bool		fencing;	/* the front was asked to, and did not answer */
	bool		underway;	/* what was lost there is still on its way */
	nbe_time	fence_at;	/* not before */
};

#define NO_PATH		UINT8_MAX

struct multipath {
	struct path	path[NBE_MAX_PATHS];
	uint8_t		at;		/* where connections are, or are made to */
	uint8_t		home;		/* the last one that had any */
	uint8_t		target;		/* of a move; NO_PATH: none */
	uint8_t		left;		/* dials of this round of the list */
	uint32_t	rounds;		/* that found no server, for the backoff */
	bool		seeking;	/* one path is dialed after the other */
	bool		shutdown;	/* the server says that it is shutting down */
	bool		leaving;	/* for that or for a move: in order */
	bool		in_order;	/* home was left so, and has nothing of ours */
	bool		by_hand;
	nbe_time	lost_at;	/* from here on its time counts */
	nbe_time	failback_at, failback_wait;
};

/* What may be sent. */
enum hold {
	HOLD_NOT,
	HOLD_NEW,		/* no new request, but the device's own flush */
	HOLD_ALL,		/* nor what is sent again */
	HOLD_COMPARE,		/* nothing but NBE_COMPARE */
};

struct nbe_dev {
	struct nbe_dev_config cfg;
	struct nbe_export exp;
	struct nbe_stats st;
	uint64_t	rng;
	uint64_t	data_max, effect_max;	/* longest part, by kind */
	uint64_t	effect_now;		/* what of effect_max is used */
	uint32_t	slots;
	uint32_t	epoch;
	uint32_t	moment;			/* counts connections made and
						 * losses */
	uint32_t	wanted;
	uint32_t	live;			/* none from here on is wanted or up */
	uint32_t	up, proven;
	uint32_t	usable;			/* proven, and not draining */
	nbe_time	send_time;		/* nbe_send_took, a mean; 0: not told */
	uint32_t	in_flight;		/* slots used, not in retry */
	uint32_t	begun;			/* requests begun, not done */
	nbe_time	silent_since;		/* no proven answer; NBE_NEVER: fine */
	bool		dead, resized;
	bool		stopping, stop_now, stop_flushed;
	bool		renewing;		/* some connection is to be renewed */
	enum hold	hold;
	bool		hold_flushed;		/* or tried to, since it holds */
	nbe_time	grace;			/* time-outs are so much longer: no
						 * change is answered on this path, and
						 * the store may be shutting out one */
	nbe_time	patience;		/* time-out of connections, with that */
	struct reqs	queue, fenced, unkept;
	struct nbe_req	*barrier;		/* runs alone until it is done */
	struct nbe_req	*done, **done_tail;
	struct nbe_req	own_flush;
	struct nbe_req	replay;			/* stands for all replay parts */
	struct unflushed un;
	struct list	spare, retry;
	uint32_t	retry_count, queue_count;
	uint32_t	fence_count, fence_room;
	uint32_t	fence_waits;		/* of these: for an answer */
	struct fence	*fence;
	struct multipath mp;
	struct conn	*conn;
	struct slot	*slot;
};

/* What a command of the device is on the wire. */
struct op_info {
	uint16_t	command;
	uint16_t	needs;		/* transmission flag */
	bool		modifies;	/* changes the disk's content */
};

/* Some time from now; what is beyond all times never comes. */
static inline nbe_time
after(nbe_time now, nbe_time wait)
{
	return wait > NBE_NEVER - now ? NBE_NEVER : now + wait;
}

static inline struct slot *
slot_at(struct nbe_dev *d, uint16_t i)
{
	return &d->slot[i];
}

static inline uint16_t
slot_index(const struct nbe_dev *d, const struct slot *s)
{
	return (uint16_t)(s - d->slot);
}

/* Of the ops the first two: their length is bound by payload_max. */
static inline bool
has_payload(uint8_t op)
{
	return op <= NBE_WRITE;
}

static inline bool
list_empty(const struct list *l)
{
	return l->head == NO_SLOT;
}

/* Where answers come together, they have waited for us and not we for the server: it
 * would not be faster over several connections. */
static inline nbe_time
fill_time(const struct nbe_dev *d, const struct conn *c)
{
	nbe_time least = c->together < 8 * FILL_TOGETHER ? FILL_TIME : 2 * FILL_TIME;
	nbe_time sends = FILL_SENDS * d->send_time;

	if (sends > FILL_TIME_MAX)
		sends = FILL_TIME_MAX;
	return sends > least ? sends : least;
}

/*
 * May the connection take a command?  It may always have its share; and more, as long
 * as the last of what it has will be answered soon, as fast as answers come: then to
 * fill one connection costs no time, and spares the sends and wake-ups of the others.
 */
static inline bool
may_take(const struct nbe_dev *d, const struct conn *c, uint32_t share)
{
	return c->proven && !c->draining && c->owed < c->window &&
	    (c->in_flight < share || (c->in_flight < d->cfg.depth &&
	    c->in_flight * c->gap < fill_time(d, c)));
}

static inline bool
wants_disc(const struct conn *c)
{
	return c->draining && c->in_flight == 0 && !c->disc_planned;
}

/* How long the first change on a path may take, beyond the time-out. */
static inline void
set_grace(struct nbe_dev *d, nbe_time grace)
{
	d->grace = grace;
	d->patience = after(d->cfg.timeout, grace);
}

static inline void
reqs_append(struct reqs *q, struct nbe_req *r)
{
	r->next = NULL;
	r->prev = q->tail;
	if (q->tail == NULL)
		q->head = r;
	else
		q->tail->next = r;
	q->tail = r;
}

/* No request waits or is under way. */
static inline bool
idle(const struct nbe_dev *d)
{
	return d->queue.head == NULL && d->begun == 0;
}

static inline bool
wants_open(const struct nbe_dev *d, const struct conn *c)
{
	return c->wanted && !c->up && (!d->stopping || (!d->stop_now && !idle(d)));
}

/* It is being made to a path that the device has left. */
static inline bool
astray(const struct nbe_dev *d, const struct conn *c)
{
	return c->opening && c->path != d->mp.at;
}

/* Why nothing will be sent any more, as things are. */
static inline enum nbe_err
gone(const struct nbe_dev *d)
{
	if (d->stop_now)
		return NBE_ESHUTDOWN;
	return d->dead ? NBE_ETIMEDOUT : NBE_OK;
}

/*
 * The layers, from the lowest, each with what of the device is its to change.  Calls go
 * down only; what lies below answers by what it returns, and may take a request off its
 * queue or put it back.  tests/unit/layers_test.py holds each file to its place.
 */

/* slot.c: slots and lists of slots; knows no request but by its address and age */
extern const struct op_info nbe_op_info[NBE_OPS];
void	 list_init(struct list *);
void	 list_append(struct nbe_dev *, struct list *, struct slot *);
void	 list_prepend(struct nbe_dev *, struct list *, struct slot *);
void	 list_remove(struct nbe_dev *, struct list *, struct slot *);
void	 list_insert_by_age(struct nbe_dev *, struct list *, struct slot *);
struct slot *list_take(struct nbe_dev *, struct list *);
struct slot *slot_new(struct nbe_dev *, struct nbe_req *, uint8_t op);
void	 slot_free(struct nbe_dev *, struct slot *);
struct slot *slot_by_cookie(struct nbe_dev *, unsigned conn, uint64_t cookie);
uint64_t slot_half(const struct nbe_dev *, const struct slot *);
bool	 slot_too_long(const struct nbe_dev *, const struct slot *);
uint64_t slot_shrink(struct nbe_dev *, const struct slot *);
void	 effect_less(struct nbe_dev *, const struct slot *);
void	 effect_more(struct nbe_dev *, const struct slot *);

/* queue.c: dev.queue, fenced and unkept, on one of which a request waits */
void	 reqs_prepend(struct reqs *, struct nbe_req *);
void	 reqs_remove(struct reqs *, struct nbe_req *);
void	 req_requeue(struct nbe_dev *, struct nbe_req *);	/* at the front */
void	 req_unlink(struct nbe_dev *, struct nbe_req *);

/* conn.c: dev.conn[].up, proven, draining, closing, and the counts of these;
 * mp.shutdown */
nbe_time conn_backoff(struct nbe_dev *, uint32_t *tries);
void	 conn_close(struct conn *, enum nbe_why);
void	 conn_drain(struct nbe_dev *, struct conn *, enum nbe_why);
void	 conn_shut_down(struct nbe_dev *, struct conn *);
void	 conn_recount(struct nbe_dev *);
void	 conn_prove(struct nbe_dev *, uint32_t moment);

void	 conn_pace(struct conn *, nbe_time now);
void	 conn_slow(struct conn *, const struct slot *, nbe_time now);
void	 conn_passed(struct nbe_dev *, struct conn *, const struct slot *,
	    nbe_time now);
nbe_time conn_passed_late_at(const struct nbe_dev *, const struct conn *);
void	 effect_answered(struct nbe_dev *, const struct conn *, const struct slot *,
	    nbe_time now);
bool	 effect_timed_out(const struct nbe_dev *, const struct slot *);

/* The slot leaves the connection. */
static inline void
conn_forget(struct nbe_dev *d, struct conn *c, const struct slot *s)
{
	c->in_flight--;
	d->in_flight--;
	if (has_payload(s->op))
		c->owed -= s->len;
	if (s->op == NBE_READ) {
		c->reads--;
		c->read_bytes -= s->len;
	}
	if (s->error == NBE_ESHUTDOWN && s->answered)
		conn_shut_down(d, c);
}

/* A proven connection answered s, which is off its list of what is sent. */
static inline void
conn_answered(struct nbe_dev *d, struct conn *c, const struct slot *s, nbe_time now)
{
	NBE_ASSERT(c->proven);
	c->tries = 0;
	d->silent_since = NBE_NEVER;
	if (d->proven != d->up)
		conn_prove(d, s->moment);
	if (!list_empty(&c->sent) && slot_at(d, c->sent.head)->sent_at < s->sent_at)
		conn_passed(d, c, s, now);
	if (!has_payload(s->op))
		effect_answered(d, c, s, now);
	else if (now - s->sent_at >= ANSWER_SLOW)
		conn_slow(c, s, now);
	else if (c->owed > c->window / 2 && c->window < WINDOW_MAX)
		c->window += s->len;	/* it is used */
}

/*
 * When the connection is to be given up.  Slow is not dead: it is late
 *
 * (1) when it owes an answer and no byte of it has moved for a time-out;
 * (2) when its oldest command has been overtaken for some time-outs by later ones of
 *     its kind and size: the server has forgotten it;
 * (3) or, for some more, by later ones of any kind.
 */
static inline nbe_time
conn_late_at(const struct nbe_dev *d, const struct conn *c)
{
	nbe_time late;

	if (!c->up || c->closing || list_empty(&c->sent))
		return NBE_NEVER;
	late = after(c->moved_at, d->patience);
	if (c->passed != NO_SLOT && conn_passed_late_at(d, c) < late)
		late = conn_passed_late_at(d, c);
	return late;
}

/* fence.c: dev.fence; gives requests back to the queue */
void	 fence_lost(struct nbe_dev *, const struct slot *);
void	 fence_aborted(struct nbe_dev *, const struct slot *);
void	 fence_answered(struct nbe_dev *, const struct slot *);
void	 fence_proven(struct nbe_dev *, uint32_t moment, nbe_time now);
/* No command is under way whose answer would be the proof. */
static inline bool
fence_wants_proof(const struct nbe_dev *d)
{
	return d->fence_waits != 0 && d->in_flight == 0 && !list_empty(&d->spare);
}
bool	 fence_holds_replay(const struct nbe_dev *);
void	 fence_release(struct nbe_dev *);
void	 fence_stirred(struct nbe_dev *, uint8_t path, nbe_time now);
bool	 fence_expire(struct nbe_dev *, nbe_time now);
void	 fence_left(struct nbe_dev *, uint8_t path, enum cached);
void	 fence_store_changed(struct nbe_dev *);
void	 fence_begun(struct nbe_dev *, const struct nbe_req *, uint8_t path);
void	 fence_ended(struct nbe_dev *, uint8_t path);
void	 fence_underway(struct nbe_dev *, uint8_t path);
void	 fence_back(struct nbe_dev *, uint8_t path);
void	 fence_inherit(struct nbe_dev *, uint8_t path);
bool	 fence_sleeps(const struct nbe_dev *, uint8_t path);
bool	 fence_of_path(const struct nbe_dev *, uint8_t path);
bool	 fence_blocks(const struct nbe_dev *, const struct nbe_req *);
bool	 fence_blocks_record(const struct nbe_dev *, const struct record *);
bool	 fence_blocks_retry(const struct nbe_dev *, const struct slot *);
nbe_time fence_wake(const struct nbe_dev *);

/* records.c: dev.un.records, as a device before this one has left them */
size_t	 records_size(const struct nbe_dev_config *);
void	 records_begin(struct nbe_dev *);
bool	 records_take(struct nbe_dev *);
uint64_t records_head(const struct nbe_dev *);

static inline struct record *
record_at(const struct nbe_dev *d, uint64_t i)
{
	return &d->un.records->at[i % d->cfg.keep_records];
}

/* unflushed.c: dev.un */
enum ack {
	ACK_DONE,	/* it may be reported */
	ACK_FLUSH,	/* it may, and the device is to flush soon */
	ACK_UNKEPT,	/* it may not: there is no room to keep it before a flush */
};
void	 unflushed_init(struct nbe_dev *);
void	 unflushed_inherit(struct nbe_dev *);
bool	 unflushed_dirty(const struct nbe_dev *);
bool	 unflushed_worth_flushing(const struct nbe_dev *);
enum ack unflushed_ack(struct nbe_dev *, struct nbe_req *);
void	 unflushed_flushed(struct nbe_dev *, const struct slot *);
void	 unflushed_stray(struct nbe_dev *);
enum cached unflushed_cached(const struct nbe_dev *);
bool	 unflushed_awaits(const struct nbe_dev *, uint8_t op, uint64_t off,
	    uint64_t len);
bool	 unflushed_tells(const struct nbe_dev *, const struct nbe_req *);
void	 unflushed_is_told(struct nbe_dev *);
void	 unflushed_told(struct nbe_dev *);
void	 unflushed_handed_over(struct nbe_dev *);
void	 unflushed_restarted(struct nbe_dev *);
bool	 unflushed_pending(const struct nbe_dev *);
struct slot *unflushed_next(struct nbe_dev *);
bool	 unflushed_part_goes_on(struct nbe_dev *, struct slot *);
void	 unflushed_part_done(struct nbe_dev *, enum nbe_err);
bool	 unflushed_part_lost(struct nbe_dev *, struct slot *, nbe_time now);

/* schedule.c: takes from dev.queue and retry, and cuts */
struct slot *schedule_next(struct nbe_dev *, nbe_time now);
bool	 schedule_pending(struct nbe_dev *);
uint32_t schedule_share(const struct nbe_dev *);

/* stats.c: dev.st; reads all below it */
void	 stats_done(struct nbe_dev *, const struct nbe_req *, nbe_time now);

/* request.c: a request's state, dev.done, own_flush */
void	 req_fail(struct nbe_dev *, struct nbe_req *, enum nbe_err);
void	 req_redo(struct nbe_dev *, struct nbe_req *);
void	 req_conclude(struct nbe_dev *, struct nbe_req *, nbe_time now);
void	 req_own_flush(struct nbe_dev *, nbe_time now);
bool	 req_settled(struct nbe_dev *, nbe_time now);
void	 req_report_unkept(struct nbe_dev *, nbe_time now);
void	 req_redo_unkept(struct nbe_dev *, nbe_time now);

/* Done, or round again, if nothing of it is out there any more. */
static inline void
req_settle(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	if (r->state == REQ_BUSY && r->parts == 0)
		req_conclude(d, r, now);
}

/* part.c: dev.retry */
void	 part_answered(struct nbe_dev *, struct slot *, nbe_time now);
void	 part_lost(struct nbe_dev *, struct slot *, nbe_time now);
void	 part_drop(struct nbe_dev *, struct slot *, nbe_time now);
void	 part_drop_retries(struct nbe_dev *, struct nbe_req *, nbe_time now);

/* abort.c */
void	 conn_orphan_aborted(struct nbe_dev *, struct conn *, nbe_time now);
void	 req_fail_all(struct nbe_dev *, enum nbe_err, nbe_time now);

/* transmit.c: conn.batch */
void	 command_encode(uint8_t *, enum nbe_framing, uint16_t flags, uint16_t command,
	    uint64_t cookie, uint64_t off, uint64_t len);

/* receive.c: conn.rx */
void	 conn_rx_init(struct conn *);

/* last_flush.c: called by the front only, without a device */

/* path.c: dev.mp, and when connections are made to a path */
void	 path_init(struct nbe_dev *, nbe_time now);
void	 path_up(struct nbe_dev *, nbe_time now);
void	 path_lost(struct nbe_dev *, const struct conn *, bool was_fine, nbe_time now);
void	 path_not_made(struct nbe_dev *, struct conn *, enum nbe_why, bool astray,
	    nbe_time now);
void	 path_tick(struct nbe_dev *, nbe_time now);
void	 path_step(struct nbe_dev *, struct nbe_work *, nbe_time now);
nbe_time path_wake(const struct nbe_dev *, nbe_time now);

/* reconnect.c: conn.wanted, renew; dev.epoch, renewing, and hold, which the layer below
 * has, too */
void	 reconnect_step(struct nbe_dev *, nbe_time now);

/* device.c: called by the front only */

#endif
