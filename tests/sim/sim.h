/*
 * sim.h - one seed, one run: the engine against a model of the world.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread, virtual time, one generator of random numbers.  The world is a
 * server, or several, with a disk and a write-back cache of its own (server.c,
 * store.c), connections that cut, stall and delay (net.c), and an upper layer that
 * issues requests and knows what each block may hold (oracle.c).  front.c is the
 * front: it moves bytes between the engine and the connections, in pieces of every
 * size; paths.c is what it does where there are several servers.
 *
 * The promises of the project are checkers; each names itself when it fails:
 *   P1 flush	P2 no loss	P3 fence	P4 restart	P5 FUA, barrier
 *   P6 identity	P7 hostile server		P8 TLS
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"

#define BLOCK		512u
#define BLOCKS		160u		/* at first; the disk may grow by a half */
#define BLOCKS_MAX	240u
#define IOS		28u
#define CONNS		4u
#define SERVERS		4u
#define US		UINT64_C(1000)
#define MS		UINT64_C(1000000)

/* ---- random numbers ---- */
extern uint64_t sim_seed;
uint64_t rnd(void);
uint64_t below(uint64_t n);
bool	 one_in(unsigned n);

_Noreturn void violated(const char *promise, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define HOLDS(promise, cond, ...) \
	do { if (!(cond)) violated(promise, __VA_ARGS__); } while (0)

/* With --trace: what happens, with the time. */
void	 trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Negative controls: what makes a run lose data, if it is several servers. */
enum control {
	AS_IT_IS,
	NO_FENCE,
	IN_FLIGHT_ONLY,			/* what was acknowledged has no fence */
	LYING_COMMAND,			/* says that it has ended a server */
	NO_PAST,			/* the next device is told nothing */
	NO_DOUBT,			/* whoever answers was there all the time */
	UNKEPT,				/* all records are taken for acknowledged */
	ARRIVED,			/* what is underway is taken to have arrived */
};

/* ---- what varies from seed to seed ---- */
struct plan {
	bool lying;			/* the server lies now */
	bool honest;			/* it never did: contents can be checked */
	bool silence;			/* connections may stall for ever */
	bool shutdowns;			/* ESHUTDOWN */
	unsigned restart_odds, cut_odds, abort_odds, scale_odds, error_odds;
	bool late;			/* commands of cut connections run later */
	unsigned sleep_odds, renew_odds;
	unsigned die_odds;		/* of the front, with the engine in it */
	bool polite;			/* the client's system goes on sending what a
					 * closed connection left in its buffer */
	bool deaf;			/* to what comes on a late connection */
	struct nbe_dev_config cfg;
	struct nbe_export exp;
	/* several servers */
	unsigned paths;
	unsigned stranger;		/* has another disk; SERVERS: none */
	unsigned away_odds, move_odds;
	enum control control;
	nbe_time fence;			/* what the world keeps to */
};
extern struct plan plan;
extern nbe_time now;
extern struct nbe_dev *dev;

/* ---- pipes (net.c) ---- */
struct pipe {
	uint8_t *b;
	size_t head, len, room;
};
void	pipe_put(struct pipe *, const void *, size_t);
void	pipe_take(struct pipe *, void *, size_t);	/* NULL: drop */
const uint8_t *pipe_peek(const struct pipe *);
void	pipe_clear(struct pipe *);

/* ---- greet.c ---- */
bool	greet_line(const struct nbe_export *offer, struct nbe_export *got);

/* ---- store.c ---- */
void	store_init(void);
uint8_t	*store_seen_by(unsigned server);
const uint8_t *store_durable(void);
bool	store_owned_by(unsigned server);
unsigned store_owner(void);
void	store_take(unsigned server);
void	store_changed(unsigned server, uint64_t off, uint64_t len);
void	store_write_back(unsigned server, unsigned block);
void	store_drop(unsigned server, unsigned block);
void	store_end(unsigned server);
bool	store_dirty(unsigned server);

/* ---- server.c ---- */
struct command {
	uint16_t cmd, flags;
	uint64_t cookie, off, len;
	uint8_t	*data;			/* WRITE */
	uint64_t number;		/* of all that the server has parsed */
	nbe_time run_at;		/* of late ones; NBE_NEVER: while it sleeps */
	unsigned server;		/* of late ones */
	bool kept;			/* its connection is listened to */
	bool underway;			/* late: the server does not have it yet */
};
struct server_conn {
	unsigned server;
	bool	alive;			/* the server has it */
	bool	stalled;
	uint64_t size;			/* of the disk, when it was made */
	struct pipe wire, up, down;	/* the client's send buffer; the server's */
	struct command q[256];
	unsigned count;
};
extern struct server_conn server_conn[CONNS];
void	server_init(void);
void	server_free(void);
void	server_step(unsigned conn);
bool	server_moves(unsigned conn);	/* bytes from wire to up; false: none */
void	server_sleep(unsigned server, nbe_time);
bool	server_reached(unsigned server);	/* by a dial */
void	server_goes_away(unsigned server, nbe_time);
void	server_returns(unsigned server);	/* the device is there again */
void	server_end(unsigned server);		/* it will never write any more */
void	server_world(void);			/* what they do by themselves */
void	server_run_late(bool all);
void	server_cut(unsigned conn);	/* forgets it; what it had may run late */
void	server_forget(unsigned conn);	/* and the client does, too */
void	server_left(unsigned conn);	/* for it is late */
void	server_died(void);		/* of the client: nobody listens any more */
bool	server_underway(unsigned conn);	/* what the client's system has goes on */
void	server_arrives(unsigned server);	/* all of it */
void	server_gets_nothing(unsigned server);	/* and none of it will */
bool	server_flushes(unsigned server);	/* for one more command */
void	server_restart(unsigned server);
const uint8_t *server_durable(unsigned block);
const uint8_t *server_current(unsigned block);
extern uint64_t server_size;		/* grows */
extern unsigned long server_restarts;

/* ---- oracle.c ---- */
struct io {
	struct nbe_req r;
	uint8_t	*buf;
	bool	live, aborted;
	uint64_t seq, version;
	uint64_t *snap;			/* FLUSH: what it covers, by block */
	unsigned restarts;		/* server_restarts at submission */
	unsigned tolds;			/* losses told by then */
	struct nbe_extent ext[4];
};
extern struct io io[IOS];
void	oracle_init(void);
void	oracle_free(void);
void	oracle_issue(void);		/* perhaps submit a request */
void	oracle_done(struct nbe_req *);
void	oracle_restarted(unsigned block);	/* the server dropped its cache */
void	oracle_other_server(bool in_order);
void	oracle_given_up(void);			/* records: the next flush tells */
void	oracle_not_replayed(void);
void	oracle_arrives(const struct nbe_req *);	/* a command of it is sent */
void	oracle_check_write(const uint8_t *data, uint64_t off, uint64_t len);
void	oracle_durable(void);		/* what was promised durable is so now */
void	oracle_end(bool flushed);	/* all done: the disk is as it should be */
unsigned oracle_live(void);
void	oracle_abort_one(void);
void	oracle_records_lost(void);	/* nothing will be replayed */
void	oracle_in_doubt(void);		/* and a lost replay may still land */
struct io *io_of(const struct nbe_req *);
extern unsigned long done_count, error_count;

/* ---- front.c ---- */
void	front_init(void);
void	front_step(bool faults);
void	front_work(void);
void	front_free(void);
void	front_open(unsigned conn);
void	front_died(void);
bool	front_is_left(unsigned conn);	/* so that a flush can be sent */
extern bool front_stopped;

/* ---- heir.c ---- */
void	heir_prepare(void);		/* plan.cfg, before there is a device */
void	heir_init(void);
void	heir_submit(struct io *);
void	heir_done(const struct io *);
void	heir_watch(void);		/* a connection is gone */
void	heir_connected(unsigned path);
void	heir_takes_over(void);		/* the front has died */
void	heir_step(void);		/* an old answer may come */
bool	heir_may_lose(void);		/* a flush may fail with REPLAY, too */
void	heir_free(void);

/* ---- paths.c ---- */
void	paths_init(void);
void	paths_dial(unsigned conn);
void	paths_drop(unsigned conn);	/* the dial is not wanted */
void	paths_up(void);			/* a connection is */
void	paths_sent(unsigned conn);
bool	paths_done(struct nbe_req *);	/* it was one of ours */
void	paths_step(unsigned conn);
void	paths_work(const struct nbe_work *);
void	paths_fault(void);
void	paths_end(void);
void	paths_died(void);
unsigned paths_after(void);		/* where the next device begins */
extern struct io paths_look;

/* ---- front.c ---- */
extern uint8_t *keep_buf;

#endif
