/*
 * dialer.c - makes connections in threads, and hands them to the ring.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A thread owns its struct attempt until it has written the pointer to the pipe;
 * then the ring's thread does.  A thread that finds nobody reading any more
 * cleans up by itself.
 */
#include "dialer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct dialer {
	struct ring	*ring;
	dialer_done	*done;
	void		*arg;
	int		pipe_read, pipe_write;
	unsigned	pending;
	int		cancel[DIALER_SEATS];	/* written to; -1: no attempt */
	bool		reading;
	struct ring_op	read_op;
	struct attempt	*result;	/* where a read puts it */
};

struct attempt {
	unsigned	seat;
	int		pipe_write, cancel;	/* its own descriptors */
	struct dialer_server server;
	struct nbc_options options;	/* the server's, with cancel_fd */
	bool		ok;
	struct nbc_conn	nbc;
	struct nbc_error error;
};

static void start_read(struct dialer *);

static void
attempt_free(struct attempt *a)
{
	if (a->pipe_write >= 0)
		close(a->pipe_write);
	if (a->cancel >= 0)
		close(a->cancel);
	free(a);
}

static void *
attempt_run(void *arg)
{
	struct attempt *a = arg;
	int pipe_write = a->pipe_write;

	a->ok = nbc_open(&a->nbc, a->server.target, a->server.tls, &a->options,
	    &a->error);
	a->pipe_write = -1;
	if (write(pipe_write, &a, sizeof(a)) != sizeof(a)) {	/* nobody waits */
		if (a->ok)
			nbc_close(&a->nbc, true);
		attempt_free(a);
	}
	close(pipe_write);
	return NULL;
}

static struct attempt *
attempt_new(struct dialer *d, unsigned seat, const struct dialer_server *server)
{
	struct attempt *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->seat = seat;
	a->server = *server;
	a->options = *server->options;
	a->nbc.fd = -1;
	a->pipe_write = fcntl(d->pipe_write, F_DUPFD_CLOEXEC, 3);
	a->cancel = eventfd(0, EFD_CLOEXEC);
	a->options.cancel_fd = a->cancel;
	if (a->pipe_write >= 0 && a->cancel >= 0)
		d->cancel[seat] = fcntl(a->cancel, F_DUPFD_CLOEXEC, 3);
	if (d->cancel[seat] >= 0)
		return a;
	attempt_free(a);
	return NULL;
}

/* Signals are for the ring's thread. */
static int
start_thread(struct attempt *a)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, attempt_run, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static void
forget(struct dialer *d, unsigned seat)
{
	close(d->cancel[seat]);
	d->cancel[seat] = -1;
}

bool
dialer_dial(struct dialer *d, unsigned seat, const struct dialer_server *server)
{
	struct attempt *a = attempt_new(d, seat, server);
	int err;

	if (a == NULL)
		return false;
	err = start_thread(a);
	if (err != 0) {
		forget(d, seat);
		attempt_free(a);
		errno = err;
		return false;
	}
	d->pending++;
	start_read(d);
	return true;
}

/* ---- results --------------------------------------------------------------------- */

static void
read_done(struct ring_op *op, int res, uint32_t flags)
{
	struct dialer *d = container_of(op, struct dialer, read_op);
	struct attempt *a = d->result;

	(void)flags;
	d->reading = false;
	if (res != sizeof(a))
		return;
	d->pending--;
	start_read(d);
	forget(d, a->seat);
	d->done(d->arg, a->seat, a->ok, &a->nbc, &a->error);
	attempt_free(a);
}

static void
start_read(struct dialer *d)
{
	struct io_uring_sqe *sqe;

	if (d->reading || d->pending == 0)
		return;
	sqe = ring_sqe(d->ring);
	io_uring_prep_read(sqe, d->pipe_read, &d->result, sizeof(d->result), 0);
	ring_bind(sqe, &d->read_op);
	d->reading = true;
}

bool
dialer_dials(const struct dialer *d, unsigned seat)
{
	return d->cancel[seat] >= 0;
}

void
dialer_cancel(struct dialer *d, unsigned seat)
{
	uint64_t one = 1;

	if (d->cancel[seat] >= 0)
		(void)!write(d->cancel[seat], &one, sizeof(one));
}

/* ---- life ------------------------------------------------------------------------ */

struct dialer *
dialer_new(struct ring *ring, dialer_done *done, void *arg)
{
	struct dialer *d = calloc(1, sizeof(*d));
	int pipes[2];

	if (d == NULL)
		return NULL;
	*d = (struct dialer){
		.ring = ring, .done = done, .arg = arg, .read_op.done = read_done,
	};
	for (unsigned i = 0; i < DIALER_SEATS; i++)
		d->cancel[i] = -1;
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		free(d);
		return NULL;
	}
	d->pipe_read = pipes[0];
	d->pipe_write = pipes[1];
	return d;
}

void
dialer_free(struct dialer *d)
{
	for (unsigned i = 0; i < DIALER_SEATS; i++)
		if (d->cancel[i] >= 0)
			close(d->cancel[i]);
	close(d->pipe_read);
	close(d->pipe_write);
	free(d);
}
