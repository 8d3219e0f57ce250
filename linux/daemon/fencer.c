/*
 * fencer.c - the user's program that keeps a server from writing.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fencer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "process.h"

#define RUN_TIME	(60 * NBE_SECOND)
#define POLL_NS		20000000
#define VARIABLES	6
#define VARIABLE_MAX	1200
#define PATH_VARIABLE	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:" \
			"/sbin:/bin"

/* ---- in its process ---------------------------------------------------------- */

struct environment {
	char	text[VARIABLES][VARIABLE_MAX];
	char	*variable[VARIABLES + 1];
};

static void
tell(struct environment *e, const struct fencer *f, const struct fence_order *o)
{
	const struct nbc_target *old = f->server[o->path].target;
	const struct nbc_target *new = f->server[o->active].target;
	char uri[1024];

	snprintf(e->text[0], VARIABLE_MAX, PATH_VARIABLE);
	snprintf(e->text[1], VARIABLE_MAX, "NBDISK_NAME=%s", f->state->name);
	nbc_target_print(old, uri, sizeof(uri));
	snprintf(e->text[2], VARIABLE_MAX, "NBDISK_OLD_URI=%s", uri);
	snprintf(e->text[3], VARIABLE_MAX, "NBDISK_OLD_HOST=%.1000s", old->host);
	nbc_target_print(new, uri, sizeof(uri));
	snprintf(e->text[4], VARIABLE_MAX, "NBDISK_NEW_URI=%s", uri);
	snprintf(e->text[5], VARIABLE_MAX, "NBDISK_NEW_HOST=%.1000s", new->host);
	for (unsigned i = 0; i < VARIABLES; i++)
		e->variable[i] = e->text[i];
	e->variable[VARIABLES] = NULL;
}

/* In a process group of its own, so that all of it can be ended; all signals as they
 * are by default. */
static int
start(const struct fencer *f, struct environment *e, pid_t *pid)
{
	char *argv[] = { strdup(f->program), NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t all, none;
	int error;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	error = posix_spawn(pid, f->program, &files, &attr, argv, e->variable);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	free(argv[0]);
	return error;
}

/* Its status; one that takes too long is ended, and has failed. */
static int
await(pid_t pid)
{
	const struct timespec poll = { .tv_nsec = POLL_NS };
	nbe_time end = clock_after(RUN_TIME);
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_now() >= end) {
			kill(-pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return status;
		}
		(void)nanosleep(&poll, NULL);
	}
	return status;
}

static bool
carry_out(const struct fencer *f, const struct fence_order *o, struct errtext *why)
{
	struct environment e;
	int error, status;
	pid_t pid;

	tell(&e, f, o);
	error = start(f, &e, &pid);
	if (error != 0)
		return errtext_set(why, "%s: %s", f->program, strerror(error));
	status = await(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		return errtext_set(why, "%s: exit status %d", f->program,
		    WEXITSTATUS(status));
	return errtext_set(why, "%s: %s", f->program, WTERMSIG(status) == SIGKILL ?
	    "ended by force, after a minute" : strsignal(WTERMSIG(status)));
}

static void
be_fencer(const struct fencer *f)
{
	struct fence_order order;

	process_leave_terminal();
	while (recv(PROCESS_SERVANT_FD, &order, sizeof(order), 0) == sizeof(order) &&
	    order.path < NBE_MAX_PATHS && order.active < NBE_MAX_PATHS) {
		struct fence_result r = { .path = order.path };

		r.certain = carry_out(f, &order, &r.why);
		(void)send(PROCESS_SERVANT_FD, &r, sizeof(r), MSG_NOSIGNAL);
	}
	_exit(0);
}

/* ---- in the daemon ----------------------------------------------------------- */

bool
fencer_start(struct fencer *f, struct errtext *err)
{
	pid_t child;

	f->sock = -1;
	if (f->program == NULL)
		return true;
	child = process_servant("nbdisk-fencer", &f->sock, err);
	if (child == 0)
		be_fencer(f);
	return child > 0;
}

void
fencer_end(struct fencer *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

static void
received(struct ring_op *op, int res, uint32_t flags)
{
	struct fencer *f = container_of(op, struct fencer, op);

	(void)flags;
	f->busy = false;
	if (res != (int)sizeof(f->result)) {
		f->result = (struct fence_result){ .path = f->order.path };
		errtext_set(&f->result.why, "the process that runs %s has died",
		    f->program);
	}
	f->done(f->arg, &f->result);
}

void
fencer_run(struct fencer *f, const struct fence_order *order)
{
	struct io_uring_sqe *sqe = ring_sqe(f->ring);

	f->order = *order;
	f->busy = true;
	f->op.done = received;
	/* One small packet into an empty socket: does not wait. */
	(void)send(f->sock, &f->order, sizeof(f->order), MSG_NOSIGNAL | MSG_DONTWAIT);
	io_uring_prep_recv(sqe, f->sock, &f->result, sizeof(f->result), 0);
	ring_bind(sqe, &f->op);
}
