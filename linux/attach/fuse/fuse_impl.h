/*
 * fuse_impl.h - the parts of fuse.h among themselves.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *   fuse_dev.c, fuse_uring.c   transports: bytes from the kernel to a fuse_call,
 *                              an answer back to the kernel
 *   fuse_op.c                  decode: a call to an answer, or to an order for
 *                              the disk; pure, no I/O
 *   fuse_io.c                  an order to disk requests, whole blocks only
 *   fuse_mount.c               mount and unmount
 *   fuse_agreed.c              what outlives the process of it
 *   fuse.c                     start and stop, and the glue
 */
#ifndef FUSE_IMPL_H
#define FUSE_IMPL_H

#include "fuse.h"
#include "fuse_agreed.h"
#include "fuse_proto.h"

#define FUSE_PAYLOAD_MAX	(1u << 20)	/* bytes of one READ or WRITE */
#define FUSE_INO_DISK		2

/* ---- decode ------------------------------------------------------------------ */

/* The file system as the decoder sees it. */
struct fuse_fs {
	uid_t		uid;
	gid_t		gid;
	mode_t		mode;
	bool		read_only, want_uring, zero_slowly;
	uint16_t	max_background;
	struct fuse_agreed *agreed;
	unsigned	opens;			/* of the file, as agreed has them */
	/* set by INIT */
	bool		inited, over_uring;
	bool		can_resend;		/* the kernel, what was not answered */
};

/* One request of the kernel.  arg is the fixed part and aligned to 8. */
struct fuse_call {
	const struct fuse_in_header *head;
	const void	*arg;
	uint32_t	 arg_len;
	const uint8_t	*payload;	/* a name, or the data of WRITE */
	uint32_t	 payload_len;
};

enum fuse_goal { GOAL_READ, GOAL_WRITE, GOAL_FLUSH, GOAL_ZERO, GOAL_SEEK };

/* What the disk is asked to do: inside the device, but at any byte. */
struct fuse_order {
	enum fuse_goal	goal;
	uint64_t	offset, length;
	uint8_t		flags;		/* NBE_FUA, NBE_NO_HOLE */
	bool		trim;		/* ZERO: say first that it may be freed */
	bool		seek_hole;	/* SEEK: to a hole, else to data */
};

enum fuse_verdict {
	FUSE_ANSWER,	/* error, or len bytes in out */
	FUSE_SILENCE,	/* the kernel wants no answer */
	FUSE_ORDER,	/* order is set; answer when it is done */
};

struct fuse_answer {
	int		error;		/* 0, or a positive errno */
	uint32_t	len;
	uint8_t		*out;		/* FUSE_PAYLOAD_MAX bytes, aligned to 8 */
	struct fuse_order order;
};

/* Splits what read(2) on /dev/fuse returned; false: not a request. */
bool	fuse_call_split(struct fuse_call *, const void *bytes, size_t len);
/* answer->out is given; it may overlap the payload, and what follows the first
 * FUSE_ARG_SAFE bytes of arg. */
#define FUSE_ARG_SAFE	40
enum fuse_verdict fuse_decode(struct fuse_fs *, const struct nbe_export *,
	    const struct fuse_call *, struct fuse_answer *);

/* ---- requests ---------------------------------------------------------------- */

#define FUSE_STEPS_MAX	6

/* One request to the disk: whole blocks. */
struct fuse_step {
	uint64_t	offset, length;
	uint8_t		*data;
	uint8_t		op, flags;
};

/* One request of the kernel, from the moment a transport has it. */
struct fuse_req {
	struct disk_io	io;
	struct ring_op	op;		/* the transport's */
	struct fuse	*fuse;
	void		(*answer)(struct fuse_req *);	/* the transport's */
	uint8_t		*data;		/* FUSE_PAYLOAD_MAX bytes, page-aligned: what
					 * was written, is read, or is answered */
	uint64_t	unique;
	uint64_t	mark;		/* of a flush */
	int		error;		/* of the answer */
	uint32_t	out_len;	/* of the answer, in data */
	struct fuse_order order;
	/* fuse_io.c's */
	struct fuse_step step[FUSE_STEPS_MAX];
	uint8_t		steps, step_now;
	uint8_t		patch_at;	/* step before which bytes are merged */
	uint16_t	asks;		/* SEEK: questions so far */
	bool		aside;		/* a worker of the kernel's writes the answer */
	bool		exclusive;	/* needs the bounce buffer and no writer */
	struct fuse_req	*next;		/* free, waiting at the gate, or held */
	uint32_t	len;		/* held: bytes that were read */
	bool		ready;		/* that is in memory, as far as known */
	bool		reads;		/* a read of the kernel is under way, */
	bool		called_back;	/* and waits no longer */
};

/* Keeps read-modify-write apart from all that writes. */
struct fuse_gate {
	unsigned	writers;	/* past the gate, but not exclusive */
	struct fuse_req	*exclusive;	/* past the gate, alone */
	struct fuse_req	*first, *last;	/* waiting, in order */
};

void	fuse_io_start(struct fuse *, struct fuse_req *);

/* ---- transports -------------------------------------------------------------- */

struct fuse_dev {
	struct ring_op	poll, cancel;
	struct fuse_req	*reqs;
	struct fuse_req	*ready, *cold;	/* free; their buffers are in memory, or not */
	struct fuse_req	*held;		/* not looked at: the device is left */
	uint8_t		*buffers;
	size_t		buffers_size;
	unsigned	depth;
	unsigned	reading;	/* reads in the ring */
	unsigned	got;		/* requests read since the last poll */
	uint32_t	payload;	/* about: of the request read last */
	unsigned	burst;		/* reads that the next burst starts */
	bool		drained;	/* one of them found nothing */
	bool		starved;	/* no free request to read into */
	bool		warming;	/* a worker makes one ready */
	int		fd;
};

bool	fuse_dev_init(struct fuse *, unsigned depth);
void	fuse_dev_start(struct fuse *);
/* Of a device that goes on: asks for what was not answered.  False with errno. */
bool	fuse_dev_resend(struct fuse *);
void	fuse_dev_rest(struct fuse *);
/* What is held is taken. */
void	fuse_dev_go_on(struct fuse *);
void	fuse_dev_free(struct fuse_dev *);

struct fuse_uring_entry;

struct fuse_uring {
	struct fuse_uring_entry *entries;
	uint8_t		*payloads;
	size_t		payloads_size;
	unsigned	queues, per_queue;
	bool		failed;		/* the kernel goes on over /dev/fuse */
};

bool	fuse_uring_init(struct fuse *, unsigned depth);
/* Once the kernel has the reply to INIT. */
void	fuse_uring_register(struct fuse *);
void	fuse_uring_free(struct fuse_uring *);

/* ---- the whole --------------------------------------------------------------- */

struct fuse_notice {
	struct fuse_out_header head;
	struct fuse_notify_inval_inode_out inval;
};

struct fuse {
	struct fuse_fs	fs;
	struct ring	*ring;
	struct disk	*disk;
	struct fuse_dev	dev;
	struct fuse_uring uring;
	struct fuse_gate gate;
	uint8_t		*bounce;	/* NULL where every byte is a block */
	size_t		bounce_size;
	struct ring_op	notice_op;
	struct fuse_notice notice;
	bool		notifying, notify_again;
	enum fuse_state	state;
	struct handover	handover;
	bool		stopping;
	bool		abandoned;	/* nothing is answered: who comes next does */
	bool		outlives;	/* it may have a next one */
	bool		serving;	/* INIT was answered */
	unsigned	in_flight;
	unsigned	aside;		/* requests with such an answer */
	unsigned	in_ring;	/* operations whose done is still to come */
	uint64_t	requests;
};

/* A transport has a request: answer it now, or order it from the disk.  False:
 * the kernel wants no answer. */
bool	fuse_dispatch(struct fuse_req *, const struct fuse_call *);
/* The order is done, error and out_len are set. */
void	fuse_order_done(struct fuse_req *);
/* The reply to INIT is with the kernel. */
void	fuse_hello_done(struct fuse *);
void	fuse_ended(struct fuse *);
/* A mounted /dev/fuse, nonblocking; -1 with err. */
int	fuse_mount(const struct fuse_config *, struct errtext *err);

#endif
