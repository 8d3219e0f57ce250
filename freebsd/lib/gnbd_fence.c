/*
 * gnbd_fence.c - the user's program that keeps a server from writing.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Its environment is that of nbdisk's --fence-command, so one program serves both.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gnbd.h"

#define	RUN_SECONDS	60
#define	POLL_US		20000
#define	VARIABLES	6
#define	VARIABLE_MAX	1200

struct environment {
	char	text[VARIABLES][VARIABLE_MAX];
	char	*variable[VARIABLES + 1];
};

/* Its URI and its host, as variables. */
static bool
name_server(const struct gnbd_device *d, unsigned path, const char *which, char *uri,
    char *host, struct nbc_error *err)
{
	const char *name = gnbd_path_text(d, path, "Name");
	const char *port = gnbd_path_text(d, path, "Port");
	struct nbc_target t = { .family = NBC_TCP };
	char text[1024];
	bool ok;

	ok = gnbd_set(&t.host, gnbd_path_text(d, path, "Host"), err) &&
	    gnbd_set(&t.port, port, err) &&
	    gnbd_set(&t.export_name, name == NULL ? "" : name, err);
	if (ok && t.host[0] == '/')
		t.family = NBC_UNIX;
	if (ok) {
		nbc_target_print(&t, text, sizeof(text));
		snprintf(uri, VARIABLE_MAX, "NBDISK_%s_URI=%s", which, text);
		snprintf(host, VARIABLE_MAX, "NBDISK_%s_HOST=%.1000s", which, t.host);
	}
	nbc_target_free(&t);
	return (ok);
}

static bool
describe(struct environment *e, const struct gnbd_device *d, unsigned path,
    struct nbc_error *err)
{
	unsigned active = (unsigned)gnbd_device_number(d, "ActivePath", 0);

	snprintf(e->text[0], VARIABLE_MAX, "PATH=/sbin:/bin:/usr/sbin:/usr/bin:"
	    "/usr/local/sbin:/usr/local/bin");
	snprintf(e->text[1], VARIABLE_MAX, "NBDISK_NAME=%s", d->geom->lg_name);
	for (unsigned i = 0; i < VARIABLES; i++)
		e->variable[i] = e->text[i];
	e->variable[VARIABLES] = NULL;
	return (name_server(d, path, "OLD", e->text[2], e->text[3], err) &&
	    name_server(d, active, "NEW", e->text[4], e->text[5], err));
}

/* In a process group of its own, so that all of it can be ended. */
static int
start(const char *program, struct environment *e, pid_t *pid)
{
	char name[] = "fence", *argv[] = { name, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int error;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	error = posix_spawn(pid, program, &files, &attr, argv, e->variable);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return (error);
}

static time_t
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec);
}

/* Its status; one that takes too long is ended. */
static int
await(pid_t pid)
{
	time_t end = now() + RUN_SECONDS;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() >= end) {
			(void)kill(-pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			break;
		}
		(void)usleep(POLL_US);
	}
	return (status);
}

bool
gnbd_fence(const struct gnbd_device *d, unsigned path, struct nbc_error *err)
{
	const char *program = gnbd_device_text(d, "FenceBy");
	struct environment e;
	int error, status;
	pid_t pid;

	if (program == NULL || program[0] != '/')
		return (nbc_fail(err, NBC_INTERNAL, "The device has no program to "
		    "fence a server."));
	if (!describe(&e, d, path, err))
		return (false);
	error = start(program, &e, &pid);
	if (error != 0)
		return (nbc_fail(err, NBC_USAGE, "%s: %s", program, strerror(error)));
	status = await(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return (true);
	if (WIFEXITED(status))
		return (nbc_fail_for_now(err, NBC_REFUSED, "%s: exit status %d",
		    program, WEXITSTATUS(status)));
	return (nbc_fail_for_now(err, NBC_REFUSED, "%s: ended by signal %d", program,
	    WTERMSIG(status)));
}
