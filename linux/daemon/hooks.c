/*
 * hooks.c - programs that are told what becomes of a device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "hooks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privilege.h"
#include "process.h"

/* A connection that is made anew is no loss. */
#define LOST_AFTER	NBE_SECOND

/* No text: the daemon reads what comes from the network, and programs of root read
 * this. */
struct hook_order {
	enum hook_event	event;
	struct attachment attachment;
	unsigned	path;
	uint64_t	size;
};

static const char *const event_names[] = {
	[HOOK_UP] = "up", [HOOK_LOST] = "lost", [HOOK_BACK] = "back",
	[HOOK_DEAD] = "dead", [HOOK_RESIZED] = "resized",
	[HOOK_MOVED] = "moved",
};

/* ---- which programs -------------------------------------------------------- */

/* As run-parts(8) has it: what editors and packages leave beside a program is none. */
static int
is_program(const struct dirent *entry)
{
	const char *name = entry->d_name;

	while (isalnum((unsigned char)*name) || *name == '-' || *name == '_')
		name++;
	return *name == '\0' && name > entry->d_name;
}

/* Those of the machine's administrator, for devices of root. */
static int
list_programs(struct dirent ***entries)
{
	*entries = NULL;
	if (!privilege_is_root())
		return 0;
	return scandir(HOOK_DIR, entries, is_program, alphasort);
}

static void
free_programs(struct dirent **entries, int count)
{
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
}

/* ---- in the process -------------------------------------------------------- */

static void
become(const char *program, const struct hook_order *order, const char *name)
{
	const char *event = event_names[order->event];
	sigset_t none;

	/* also those that were ignored where connect was called */
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl(program, program, event, name, (char *)NULL);
	fprintf(stderr, "nbdisk[%s]: %s: %s\n", name, program, strerror(errno));
	_exit(127);
}

static void
run(const char *program, const struct hook_order *order, const char *name)
{
	pid_t child = fork();

	if (child == 0)
		become(program, order, name);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void
set_environment(const struct hook_order *order, const struct hooks_config *config,
    const struct state *s)
{
	const struct attachment *a = &order->attachment;
	char device[STATE_PATH_MAX], node[NODE_NAME_MAX], size[24], uri[512];

	snprintf(size, sizeof(size), "%" PRIu64, order->size);
	setenv("NBDISK_EVENT", event_names[order->event], 1);
	setenv("NBDISK_DEVICE", attachment_path(s, a, device), 1);
	setenv("NBDISK_NODE", node_name(&a->node, node), 1);
	setenv("NBDISK_SIZE", size, 1);
	nbc_target_print(config->server[order->path].target, uri, sizeof(uri));
	setenv("NBDISK_URI", uri, 1);
}

static void
carry_out(const struct hook_order *order, const struct hooks_config *config,
    const struct state *s)
{
	struct dirent **entries;
	int count = list_programs(&entries);
	char path[sizeof(HOOK_DIR) + NAME_MAX + 1];

	set_environment(order, config, s);
	if (config->program != NULL)
		run(config->program, order, s->name);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), HOOK_DIR "/%s", entries[i]->d_name);
		if (access(path, X_OK) == 0)
			run(path, order, s->name);
	}
	free_programs(entries, count);
}

/* What gave up its rights is not believed by who has them. */
static bool
is_sane(const struct hook_order *o)
{
	return o->event < HOOK_EVENTS && o->path < NBE_MAX_PATHS &&
	    o->attachment.node.kind < NODE_KINDS;
}

static void
be_hooks(const struct hooks_config *config, const struct state *s)
{
	struct hook_order order;

	if (!config->keep_stderr)
		process_leave_terminal();
	setenv("NBDISK_NAME", s->name, 1);
	while (recv(PROCESS_SERVANT_FD, &order, sizeof(order), 0) == sizeof(order) &&
	    is_sane(&order))
		carry_out(&order, config, s);
	_exit(0);
}

/* ---- in the daemon --------------------------------------------------------- */

static bool
are_there(const struct hooks_config *config)
{
	struct dirent **entries;
	int count = list_programs(&entries);

	free_programs(entries, count);
	return count > 0 || config->program != NULL;
}

bool
hooks_start(struct hooks *h, const struct hooks_config *config, const struct state *s,
    struct errtext *err)
{
	pid_t child;

	*h = (struct hooks){ .sock = -1 };
	if (!are_there(config))
		return true;
	child = process_servant("nbdisk-hooks", &h->sock, err);
	if (child == 0)
		be_hooks(config, s);
	return child > 0;
}

bool
hooks_tell(struct hooks *h, enum hook_event event, const struct attachment *a,
    uint64_t size, unsigned path)
{
	const struct hook_order order = {
		.event = event, .attachment = *a, .size = size,
		.path = path,
	};

	if (h->sock < 0)
		return true;
	return send(h->sock, &order, sizeof(order), MSG_NOSIGNAL | MSG_DONTWAIT) ==
	    (ssize_t)sizeof(order);
}

enum hook_event
hooks_turn(struct hooks *h, nbe_time down_for, nbe_time dead_timeout, uint64_t *next)
{
	bool was_lost = h->lost;

	*next = UINT64_MAX;
	if (down_for == 0) {
		h->lost = h->dead = false;
		return was_lost ? HOOK_BACK : HOOK_EVENTS;
	}
	if (!h->lost) {
		h->lost = down_for >= LOST_AFTER;
		*next = h->lost ? 0 : LOST_AFTER - down_for;
		return h->lost ? HOOK_LOST : HOOK_EVENTS;
	}
	if (h->dead || dead_timeout == NBE_NEVER)
		return HOOK_EVENTS;
	h->dead = down_for >= dead_timeout;
	if (!h->dead)
		*next = dead_timeout - down_for;
	return h->dead ? HOOK_DEAD : HOOK_EVENTS;
}

void
hooks_end(struct hooks *h)
{
	if (h->sock >= 0)
		close(h->sock);
	h->sock = -1;
}
