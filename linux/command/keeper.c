/*
 * keeper.c - stays in the foreground for a device whose daemon may be killed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "keeper.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

static sigset_t
signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void
keeper_begin(struct keeper *k)
{
	sigset_t set = signals();

	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, &k->before);
	/* Processes whose parents have ended are then children of this one. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void
keeper_is_child(const struct keeper *k)
{
	sigprocmask(SIG_SETMASK, &k->before, NULL);
}

/* False: there is none any more. */
static bool
reap(bool *failed)
{
	pid_t child;
	int status;

	while ((child = waitpid(-1, &status, WNOHANG)) > 0)
		*failed |= WIFEXITED(status) && WEXITSTATUS(status) != 0;
	return child == 0 || errno != ECHILD;
}

/* The device is there still: nobody has taken the place of a daemon that was killed. */
static bool
is_left(const struct state *s)
{
	return access(s->dir, F_OK) == 0;
}

bool
keeper_stay(struct state *s)
{
	sigset_t set = signals();
	bool failed = false;

	/* The lock among them, and connections, which are the daemon's now. */
	s->lock = -1;
	(void)call_close_range(STDERR_FILENO + 1, ~0u);
	while (reap(&failed)) {
		int number = sigwaitinfo(&set, NULL);
		pid_t daemon = number > 0 && number != SIGCHLD ? state_pid(s) : 0;

		if (daemon > 0)
			(void)kill(daemon, number);
	}
	return !failed && !is_left(s);
}
