/*
 * harness.h - one device, a server made of bytes, a clock that stands still.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The front of the device tests.  It sees no more of the engine than nbe.h, checks
 * the rules of the seam at every step (and gives up when one is broken), and keeps
 * what the client sent, per connection, until the test takes it as commands.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdlib.h>

#include "nbe.h"
#include "wire.h"

#define RIG_CONNS	4u
#define RIG_IOS		32768u
#define RIG_SEGS	64u
#define ALL_FLAGS	(NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH | \
			NBE_FLAG_SEND_FUA | NBE_FLAG_SEND_TRIM | \
			NBE_FLAG_SEND_WRITE_ZEROES | NBE_FLAG_SEND_DF | \
			NBE_FLAG_CAN_MULTI_CONN | NBE_FLAG_SEND_CACHE | \
			NBE_FLAG_SEND_FAST_ZERO)
#define CONTEXT_ID	77u		/* of base:allocation */
#define MEGABYTE	1048576u
#define UNTOUCHED	0xee		/* what a buffer holds at first */

struct bytes {
	uint8_t	*at;
	size_t	 len, room;
};

struct io {
	struct nbe_req r;		/* first: a request is its io */
	uint8_t	*buf;			/* NULL: no payload */
	bool	 done;
	unsigned order;			/* the how manieth to be done, from 1 */
	struct nbe_extent extent[4];
};

/* One command, as the server sees it. */
struct command {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, off, len;
	const uint8_t *payload;		/* WRITE; valid until more is sent */
};

struct rig {
	/* set before rig_start */
	struct nbe_dev_config cfg;
	struct nbe_export exp;
	/* then */
	struct nbe_dev *dev;
	nbe_time now;
	nbe_time send_time;	/* that a send takes */
	struct nbe_work work;		/* the last one; done is taken already */
	bool	 resized;		/* since rig_start */
	bool	 dies;			/* before anything that is done is kept */
	unsigned done;
	uint8_t	*keep;
	struct bytes sent[RIG_CONNS];
	size_t	 taken[RIG_CONNS];	/* of sent, by rig_take */
	struct io *io[RIG_IOS];
	unsigned ios;
	void	*mem;
};

/* One connection, no time-outs, fence of 10 s; 1 MiB with blocks of 512 bytes. */
struct rig *rig_new(enum nbe_framing);
/* The device; its first connection is up. */
void	rig_start(struct rig *);
void	rig_start_down(struct rig *);
void	rig_end(struct rig *);

enum nbe_why rig_up(struct rig *, unsigned conn);
void	rig_down(struct rig *, unsigned conn);
/* The engine asks for closing, and gets it. */
bool	rig_closing(const struct rig *, unsigned conn);
bool	rig_opens(const struct rig *, unsigned conn);
void	rig_close(struct rig *, unsigned conn);
void	rig_wait(struct rig *, nbe_time);
void	rig_work(struct rig *);

struct io *rig_submit(struct rig *, enum nbe_op, uint64_t off, uint64_t len,
	    unsigned flags);
/* Content of the disk that the tests' server has, and that writes write. */
uint8_t	rig_data(uint64_t off);
bool	rig_has_data(const struct io *);

/* Send all there is.  rig_send_some: one begin and end, at most limit bytes. */
void	rig_send(struct rig *, unsigned conn);
uint64_t rig_send_some(struct rig *, unsigned conn, unsigned nseg, uint64_t limit);
/* Copy the bytes of segments of a begin; a test that does its own end. */
void	rig_collect(struct rig *, unsigned conn, const struct nbe_seg *, unsigned n,
	    uint64_t limit);
/* Commands that were sent and not taken. */
unsigned rig_count(const struct rig *, unsigned conn);
struct command rig_take(struct rig *, unsigned conn);
/* Send all, take the first. */
struct command rig_command(struct rig *, unsigned conn);

/* The server's bytes.  Offsets and lengths are those of the wire. */
void	bytes_add(struct bytes *, const void *, size_t len);
void	bytes_free(struct bytes *);
void	add16(struct bytes *, uint16_t);
void	add32(struct bytes *, uint32_t);
void	add64(struct bytes *, uint64_t);
void	add_data(struct bytes *, uint64_t off, uint64_t len);
void	reply_simple(struct bytes *, const struct command *, uint32_t error);
/* Head of a chunk: structured or extended, as the command was. */
void	reply_chunk(struct bytes *, const struct rig *, const struct command *,
	    uint16_t flags, uint16_t type, uint64_t len);
void	reply_none(struct bytes *, const struct rig *, const struct command *);
void	reply_data(struct bytes *, const struct rig *, const struct command *,
	    uint16_t flags, uint64_t off, uint64_t len);
void	reply_hole(struct bytes *, const struct rig *, const struct command *,
	    uint16_t flags, uint64_t off, uint32_t len);
void	reply_error(struct bytes *, const struct rig *, const struct command *,
	    uint16_t flags, uint32_t error, const char *message);
/* Whatever ends the command well, or with an error, in the rig's framing. */
void	reply_ok(struct bytes *, const struct rig *, const struct command *);
void	reply_fail(struct bytes *, const struct rig *, const struct command *,
	    uint32_t error);

/* How to receive: pieces of so many bytes; segs 0: direct, else read-ahead. */
struct way {
	size_t	 piece;
	unsigned segs;
};
void	rig_receive(struct rig *, unsigned conn, const uint8_t *, size_t len,
	    struct way);
void	rig_reply(struct rig *, unsigned conn, const struct bytes *);
void	rig_answer(struct rig *, unsigned conn, const struct command *,
	    uint32_t error);
/* Send all, answer all with success, until nothing moves. */
void	rig_serve(struct rig *, unsigned conn);

bool	io_ended(const struct io *, enum nbe_err);

#endif
