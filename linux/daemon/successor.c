/*
 * successor.c - the next daemon of a device, when this one was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "successor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "log.h"
#include "text_file.h"

#define PROGRAM		"/proc/self/exe"	/* also when its file was replaced */
#define FILE_NAME	"takeovers"
#define FILE_MAX	64
#define SHORT_LIFE	(60 * NBE_SECOND)
#define PAUSE_MIN	(NBE_SECOND / 10)
#define PAUSE_MAX	(10 * NBE_SECOND)
#define END_TIME	(5 * NBE_SECOND)
#define END_POLL	(NBE_SECOND / 200)

/* ---- what is counted ------------------------------------------------------------ */

static void
read_counts(const struct state *s, unsigned *count, unsigned *streak)
{
	char path[STATE_PATH_MAX];
	char *text = text_file_read(state_path(s, FILE_NAME, path), FILE_MAX, NULL);

	*count = *streak = 0;
	if (text != NULL && sscanf(text, "%u %u", count, streak) != 2)
		*count = *streak = 0;
	free(text);
}

static void
write_counts(const struct successor *n)
{
	char text[FILE_MAX];

	snprintf(text, sizeof(text), "%u %u\n", n->count, n->streak);
	(void)state_write(n->state, FILE_NAME, text);
}

void
successor_init(struct successor *n, const struct state *s)
{
	*n = (struct successor){ .state = s };
	read_counts(s, &n->count, &n->streak);
	if (readlink(PROGRAM, n->program, sizeof(n->program) - 1) < 0)
		n->program[0] = '\0';
}

void
successor_serves(struct successor *n, bool takes_over)
{
	n->serves = true;
	n->since = clock_now();
	if (!takes_over)
		return;
	n->count++;
	write_counts(n);
}

/* ---- an attempt ------------------------------------------------------------------ */

/* What the helper has that a program must not: its sockets, signals that it ignores. */
static void
run_program(const struct state *s, const char *program, int errors)
{
	static char verb[] = "recover";
	char name[sizeof(s->name)];
	char *argv[] = { program_invocation_name, verb, name, NULL };

	memcpy(name, s->name, sizeof(name));
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	if (dup2(errors, STDERR_FILENO) < 0 ||
	    call_close_range(STDERR_FILENO + 1, ~0u) < 0)
		_exit(EXIT_FAILURE);
	execv(program, argv);
	_exit(EXIT_FAILURE);
}

/* What it says, its last line; ends with the program, whose daemon has no terminal. */
static void
listen_to(int errors, char *line, size_t size)
{
	char text[1024];
	size_t used = 0;
	ssize_t n;
	char *last;

	do {
		n = read(errors, text + used, sizeof(text) - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	while (used > 0 && text[used - 1] == '\n')
		used--;
	text[used] = '\0';
	last = strrchr(text, '\n');
	snprintf(line, size, "%s", last != NULL ? last + 1 : text);
}

static bool
attempt(const struct state *s, const char *program, char *line, size_t size)
{
	int pipe_[2], status = -1;
	pid_t child;

	snprintf(line, size, "no process can be made");
	if (pipe(pipe_) < 0)
		return false;
	child = fork();
	if (child == 0)
		run_program(s, program, pipe_[1]);
	close(pipe_[1]);
	if (child > 0) {
		listen_to(pipe_[0], line, size);
		(void)waitpid(child, &status, 0);
	}
	close(pipe_[0]);
	return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- all of them ----------------------------------------------------------------- */

static nbe_time
longer(nbe_time pause)
{
	if (pause == 0)
		return PAUSE_MIN;
	return 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
}

static void
wait_for(nbe_time pause)
{
	struct timespec t = {
		.tv_sec = (time_t)(pause / NBE_SECOND),
		.tv_nsec = (long)(pause % NBE_SECOND),
	};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Its number may be another disk's, and its name another device's. */
static bool
is_needed(const struct successor *n, const struct node *node)
{
	unsigned count, streak;

	read_counts(n->state, &count, &streak);
	return count == n->count && node_is(node);
}

/* What it had goes with its process, a moment after its end of the socket. */
static void
await_end(const struct state *s)
{
	nbe_time end = clock_now() + END_TIME;

	while (state_pid(s) != 0 && clock_now() < end)
		wait_for(END_POLL);
}

/* How long it waits, as its predecessors have lived. */
static nbe_time
first_pause(struct successor *n)
{
	nbe_time pause = 0;

	if (n->upgrades)
		return 0;
	n->streak = clock_now() - n->since < SHORT_LIFE ? n->streak + 1 : 0;
	write_counts(n);
	for (unsigned i = 1; i < n->streak && pause < PAUSE_MAX; i++)
		pause = longer(pause);
	return pause;
}

void
successor_start(struct successor *n, const struct node *node)
{
	const char *program = n->upgrades ? n->program : PROGRAM;
	char line[1024], before[1024] = "";
	nbe_time pause;
	struct log log;

	if (!n->serves || !is_needed(n, node))
		return;
	log_open(&log, n->state->name, false);
	if (!n->upgrades)
		log_line(&log, LOG_ERR, "the daemon was killed; starting the next one");
	await_end(n->state);
	pause = first_pause(n);
	for (wait_for(pause); is_needed(n, node); wait_for(pause)) {
		if (attempt(n->state, program, line, sizeof(line)))
			break;
		program = PROGRAM;
		if (strcmp(line, before) != 0)
			log_line(&log, LOG_ERR, "no daemon yet: %s", line);
		memcpy(before, line, sizeof(before));
		pause = longer(pause);
	}
	log_close(&log);
}
