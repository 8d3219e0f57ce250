/*
 * successor.c - the next daemon of a device, when this one was killed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
#define MS		(NBE_SECOND / 1000)

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

/* Unless there is another daemon by now, with counts of its own: who was started by
 * hand does not wait for this one. */
static void
write_counts(const struct successor *n, unsigned before)
{
	int dir = open(n->state->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned count, streak;
	char text[FILE_MAX];

	if (dir < 0)
		return;
	(void)flock(dir, LOCK_EX);
	read_counts(n->state, &count, &streak);
	snprintf(text, sizeof(text), "%u %u\n", n->count, n->streak);
	if (count == before)
		(void)state_write(n->state, FILE_NAME, text);
	close(dir);
}

void
successor_serves(struct successor *n, const struct node *node, bool takes_over)
{
	n->node = *node;
	n->since = clock_now();
	if (!takes_over)
		return;
	n->count++;
	write_counts(n, n->count - 1);
}

void
successor_rests(struct successor *n)
{
	node_init(&n->node);
}

/* ---- what is kept ---------------------------------------------------------------- */

static void
open_door(struct successor *n)
{
	if (n->door >= 0)
		close(n->door);
	n->door = kept_listen(n->state);
}

/* Until fd, or -1: nothing, has something to read, or time is up; false. */
static bool
stay(const struct successor *n, int fd, nbe_time time)
{
	struct pollfd at[] = {
		{ .fd = fd, .events = POLLIN }, { .fd = n->door, .events = POLLIN },
	};
	nbe_time end = clock_after(time), now;

	while ((now = clock_now()) < end) {
		nbe_time ms = (end - now + MS - 1) / MS;

		at[0].revents = at[1].revents = 0;
		(void)poll(at, 2, ms < INT_MAX ? (int)ms : INT_MAX);
		if (at[1].revents != 0)
			kept_give(n->door, &n->kept);
		if (at[0].revents != 0)
			return true;
	}
	return false;
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
listen_to(const struct successor *after, int errors, char *line, size_t size)
{
	char text[1024];
	size_t used = 0;
	ssize_t n;
	char *last;

	do {
		(void)stay(after, errors, NBE_NEVER);
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
attempt(const struct successor *n, const char *program, char *line, size_t size)
{
	int pipe_[2], status = -1;
	pid_t child;

	snprintf(line, size, "no process can be made");
	if (pipe(pipe_) < 0)
		return false;
	child = fork();
	if (child == 0)
		run_program(n->state, program, pipe_[1]);
	close(pipe_[1]);
	if (child > 0) {
		listen_to(n, pipe_[0], line, size);
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

/* Its number may be another disk's, its name another device's, or nobody's. */
static bool
is_needed(const struct successor *n)
{
	unsigned count, streak;

	read_counts(n->state, &count, &streak);
	return access(n->state->dir, F_OK) == 0 && count == n->count &&
	    node_is(&n->node);
}

/* What it had goes with its process, a moment after its end of the socket. */
static void
await_end(const struct successor *n)
{
	nbe_time end = clock_now() + END_TIME;

	while (state_pid(n->state) != 0 && clock_now() < end)
		(void)stay(n, -1, END_POLL);
}

/* How long it waits, as its predecessors have lived. */
static nbe_time
first_pause(struct successor *n)
{
	nbe_time pause = 0;

	if (n->upgrades)
		return 0;
	n->streak = clock_now() - n->since < SHORT_LIFE ? n->streak + 1 : 0;
	write_counts(n, n->count);
	for (unsigned i = 1; i < n->streak && pause < PAUSE_MAX; i++)
		pause = longer(pause);
	return pause;
}

/* A device by FUSE is gone with its daemon, where nobody has /dev/fuse open. */
static bool
is_left(const struct successor *n)
{
	return n->node.kind == NODE_UBLK || (n->node.kind == NODE_LOOP &&
	    n->kept.fuse >= 0);
}

static void
start_next(struct successor *n)
{
	const char *program = n->upgrades ? n->program : PROGRAM;
	char line[1024], before[1024] = "";
	struct log log;
	nbe_time pause;

	log_open(&log, n->state->name, false);
	if (!n->upgrades)
		log_line(&log, LOG_ERR, "the daemon was killed; starting the next one");
	await_end(n);
	pause = first_pause(n);
	for (stay(n, -1, pause); is_needed(n); stay(n, -1, pause)) {
		if (n->door < 0)	/* /run was full, perhaps */
			open_door(n);
		if (attempt(n, program, line, sizeof(line)))
			break;
		program = PROGRAM;
		if (strcmp(line, before) != 0)
			log_line(&log, LOG_ERR, "no daemon yet: %s", line);
		memcpy(before, line, sizeof(before));
		pause = longer(pause);
	}
	log_close(&log);
}

/* While no daemon has it locked no page of it must go out: that could be to the device
 * that waits for the next daemon, and for this. */
static void
lock_memory(struct successor *n)
{
	struct stat st;
	void *p;

	if (n->memory != NULL)
		munmap(n->memory, n->memory_size);
	n->memory = NULL;
	if (n->kept.memory < 0 || fstat(n->kept.memory, &st) < 0 || st.st_size <= 0)
		return;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, n->kept.memory, 0);
	if (p == MAP_FAILED)
		return;
	n->memory = p;
	n->memory_size = (size_t)st.st_size;
	(void)mlock(p, n->memory_size);
}

/* Without files of its own it keeps none, and the daemon sees that by its socket. */
static void *
watch(void *arg)
{
	struct successor *n = arg;
	struct kept_message m;

	if (unshare(CLONE_FILES) < 0) {
		(void)shutdown(n->life, SHUT_RDWR);
		return NULL;
	}
	(void)call_close_range(STDERR_FILENO + 1, (unsigned)n->life - 1);
	(void)call_close_range((unsigned)n->life + 1, ~0u);
	(void)mlock(&n->kept, sizeof(n->kept));		/* it has secrets */
	while (kept_hear(n->life, &n->kept, &m)) {
		explicit_bzero(m.session, sizeof(m.session));
		if (m.what == KEPT_ALL_THERE)
			open_door(n);
		if (m.what == KEPT_MEMORY)
			lock_memory(n);
	}
	pthread_mutex_lock(&n->lock);
	if (is_left(n) && is_needed(n))
		start_next(n);
	pthread_mutex_unlock(&n->lock);
	kept_close(&n->kept);
	explicit_bzero(&n->kept, sizeof(n->kept));
	return NULL;
}

bool
successor_begin(struct successor *n, const struct state *s, int life,
    uint64_t memory_max)
{
	*n = (struct successor){ .state = s, .life = life, .door = -1 };
	kept_init(&n->kept);
	n->kept.memory_max = memory_max;
	node_init(&n->node);
	pthread_mutex_init(&n->lock, NULL);
	read_counts(s, &n->count, &n->streak);
	if (readlink(PROGRAM, n->program, sizeof(n->program) - 1) < 0)
		n->program[0] = '\0';
	return pthread_create(&n->thread, NULL, watch, n) == 0;
}

void
successor_await(struct successor *n)
{
	close(n->life);		/* only that of the thread counts */
	(void)pthread_join(n->thread, NULL);
}
