/*
 * ring.h - io_uring, and the one loop of the daemon around it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Every operation is a struct ring_op inside its owner's object; its done is
 * called with the result when the kernel has finished it.  One thread: the one
 * that calls ring_init makes all other calls too, because the kernel is told
 * that nobody else submits.  Entries are submitted together, in one system
 * call, when the loop next waits.
 */
#ifndef RING_H
#define RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errtext.h"

/* The object that an operation is embedded in. */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct ring_op {
	/* res and flags as in struct io_uring_cqe.  With IORING_CQE_F_MORE the
	 * operation goes on (multishot). */
	void	(*done)(struct ring_op *, int res, uint32_t flags);
};

struct ring {
	struct io_uring	uring;
	bool		stop;
	bool		alone;		/* nothing is set aside, for this thread goes
					 * before others now; whoever knows sets it */
	unsigned	workers;	/* of the kernel, at most, for ring_set_aside */
};

/* Whether this process may have one; err says who refuses it, and what to do. */
bool	ring_check(struct errtext *err);
/* sqe128: FUSE over io_uring needs entries of 128 bytes.  0, or -errno. */
int	ring_init(struct ring *, unsigned entries, bool sqe128);
/* Whatever is still in the ring is cancelled; its done is not called. */
void	ring_free(struct ring *);
/* Whether the kernel touches what operations were given only while ring_run waits, or
 * takes them: Linux 6.1.  Else, and what was set aside, at any time. */
bool	ring_is_calm(const struct ring *);
/* A free entry (submits what is queued when there is none): prepare it, then
 * bind it to the op that its completion goes to. */
struct io_uring_sqe *ring_sqe(struct ring *);
void	ring_bind(struct io_uring_sqe *, struct ring_op *);
/* For a prepared entry that copies or seals much: a worker of the kernel's carries it
 * out, on another CPU, while this thread goes on.  That costs two switches; and nothing
 * happens where there is one CPU, or before Linux 6.1: false. */
bool	ring_set_aside(const struct ring *, struct io_uring_sqe *);
/* What was prepared goes to the kernel now, not when the loop next waits. */
void	ring_submit(struct ring *);
/* Room for count buffers of the kernel's, registered by their number. */
bool	ring_have_buffers(struct ring *, unsigned count);
/* The next count entries will be submitted together: for linked ones. */
void	ring_reserve(struct ring *, unsigned count);
/* Run until ring.stop: wait, call what is done, then call idle(arg) once per
 * round, before the next wait.  idle returns ns until it wants to run again
 * even if nothing completes; UINT64_MAX: never.  What was prepared when stop was
 * seen is still submitted.  0, or -errno of io_uring itself. */
int	ring_run(struct ring *, uint64_t (*idle)(void *), void *arg);

#endif
