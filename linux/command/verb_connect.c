/*
 * verb_connect.c - attach an export.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All that can be refused is refused here, while somebody reads: names, TLS, the
 * export, how many connections.  Then a child becomes the daemon, and this process
 * waits for its word that the device is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attached.h"
#include "attachment.h"
#include "clock.h"
#include "connect_again.h"
#include "control_client.h"
#include "daemon.h"
#include "fuse.h"
#include "json.h"
#include "keeper.h"
#include "kept.h"
#include "privilege.h"
#include "process.h"
#include "progress.h"
#include "ring.h"
#include "server.h"
#include "standby.h"
#include "udev_names.h"

#define RETRY_NS	500000000

struct connecting {
	const struct options *options;
	struct server	server[NBE_MAX_PATHS];
	unsigned	servers;
	unsigned	first;		/* the server that is tried first */
	unsigned	path;		/* the server of conn */
	struct nbc_conn	conn[NBE_MAX_CONNS];
	unsigned	conns;
	char		*about;		/* the disk takes conn, with its text */
	char		*hook, *fence_command;	/* absolute paths; NULL: none */
	char		*config;	/* for the device's directory */
	struct state	state;
	struct daemon_config daemon;
	uint64_t	export_size;
	enum attach_kind via;
	bool		again;		/* in the place of a daemon that was killed */
	struct kept	taken;		/* by that; what makes its device stay */
	int		sock;		/* the child's way to us */
	struct keeper	keeper;
};

/* ---- connections ----------------------------------------------------------- */

static void
close_all(struct connecting *c)
{
	for (unsigned i = 0; i < c->conns; i++)
		nbc_close(&c->conn[i], true);
	c->conns = 0;
}

static bool
open_one(struct connecting *c, const struct nbc_options *options, struct nbc_error *err)
{
	const struct server *s = &c->server[c->path];

	if (!nbc_open(&c->conn[c->conns], &s->target, s->tls, options, err))
		return false;
	c->conns++;
	return true;
}

/* Each server once, by order; c->path is the one that is there.  failed: how many were
 * not. */
static bool
open_round(struct connecting *c, struct nbc_error *why, unsigned *failed, bool *again)
{
	struct nbc_options once = c->server[0].options;

	once.retry_ms = 0;
	*again = false;
	for (*failed = 0; *failed < c->servers; ++*failed) {
		c->path = (c->first + *failed) % c->servers;
		if (open_one(c, &once, &why[*failed]))
			return true;
		*again |= why[*failed].transient;
	}
	return false;
}

/* The text begins with the server. */
static void
say_unreachable(const char *how, const struct nbc_error *why)
{
	struct errtext text;

	errtext_set(&text, "%s%.900s", how, why->text);
	complain(text.text);
}

/* The first connection, to the first server of several that is there. */
static enum exit_status
open_first(struct connecting *c)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };
	struct nbc_error why[NBE_MAX_PATHS];
	nbe_time end = clock_after(c->options->retry);
	unsigned failed;
	bool again, ok;

	while (!(ok = open_round(c, why, &failed, &again)) && again &&
	    clock_now() < end)
		(void)nanosleep(&pause, NULL);
	for (unsigned i = 0; i < failed; i++)
		say_unreachable(ok ? "warning: " : "", &why[i]);
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* A server that takes some of the connections, but not all, is used as it is. */
static enum exit_status
no_more(const struct connecting *c, unsigned wanted, const struct nbc_error *err)
{
	struct errtext text;

	if (c->conns == 0 || !err->transient)
		return server_complain(err);
	errtext_set(&text, "warning: the server takes %u of %u connections; the next "
	    "one failed:\n%.900s", c->conns, wanted, err->text);
	complain(text.text);
	return EXIT_OK;
}

static enum exit_status
open_all(struct connecting *c)
{
	unsigned wanted = c->options->connections > 0 ? c->options->connections : 1;
	struct progress progress;
	enum exit_status status;
	struct nbc_error err;
	bool ok = true;

	progress_begin(&progress, "connecting");
	if (c->servers > 1 && (status = open_first(c)) != EXIT_OK) {
		progress_end(&progress);
		return status;
	}
	while (ok && c->conns < wanted) {
		ok = open_one(c, &c->server[c->path].options, &err);
		if (ok && wanted > 1 &&
		    (c->conn[0].exp.flags & NBE_FLAG_CAN_MULTI_CONN) == 0) {
			progress_end(&progress);
			complain("Server does not allow multiple connections.");
			close_all(c);
			return EXIT_FAILED;
		}
	}
	progress_end(&progress);
	if (ok)
		return EXIT_OK;
	status = no_more(c, wanted, &err);
	if (status != EXIT_OK)
		close_all(c);
	return status;
}

/* ---- what is said when it is there ----------------------------------------- */

/* Once per boot: who has read it does not need it at each connect. */
static void
hint(const struct connecting *c)
{
	if (!c->options->quiet && fuse_uring_support() == FUSE_URING_OFF &&
	    state_first_time("uring-hint"))
		complain("hint: FUSE over io_uring is off, and would be faster; an "
		    "administrator may write Y\nto " FUSE_URING_SWITCH
		    " before connecting");
}

/* A block device has whole sectors only, and the server may have larger blocks. */
static void
warn_of_tail(const struct connecting *c, const struct daemon_report *r)
{
	uint64_t size = c->export_size, there = size;
	char node[48];
	struct errtext text;
	int fd;

	snprintf(node, sizeof(node), "/dev/%s", r->node);
	fd = r->node[0] != '\0' ? open(node, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (ioctl(fd, BLKGETSIZE64, &there) == 0 && there < size) {
		errtext_set(&text, "warning: the size of the export, %" PRIu64
		    " bytes, is no multiple of a block; its last %" PRIu64
		    " bytes are not on the device", size, size - there);
		complain(text.text);
	}
	close(fd);
}

static void
print_device(const struct connecting *c, const char *device, const char *node,
    bool already)
{
	struct json j;

	if (!c->options->json) {
		puts(device);
		fflush(stdout);
		return;
	}
	json_start(&j, stdout, false);
	json_open(&j, NULL, '{');
	json_text(&j, "name", c->state.name);
	json_text(&j, "device", device);
	json_text(&j, "node", node[0] != '\0' ? node : NULL);
	json_bool(&j, "already", already);
	json_close(&j, '}');
	json_finish(&j);
	fflush(stdout);
}

static enum exit_status
tell(const struct connecting *c, const struct daemon_report *r)
{
	if (!r->ok) {
		complain(r->why.text);
		return EXIT_FAILED;
	}
	if (r->over_fuse)
		hint(c);
	warn_of_tail(c, r);
	print_device(c, r->device, r->node, false);
	return EXIT_OK;
}

/* ---- in the foreground ----------------------------------------------------- */

static void
ready_here(void *arg, const struct daemon_report *r)
{
	if (tell(arg, r) == EXIT_OK)
		process_notify("READY=1");
}

static enum exit_status
run_here(struct connecting *c)
{
	bool ok;

	c->daemon.ready = ready_here;
	c->daemon.watch = -1;
	c->daemon.log_to_stderr = true;
	ok = daemon_run(&c->daemon);
	process_notify("STOPPING=1");
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- in a child ------------------------------------------------------------ */

static void
ready_there(void *arg, const struct daemon_report *r)
{
	struct connecting *c = arg;

	(void)send(c->sock, r, sizeof(*r), MSG_NOSIGNAL);
	shutdown(c->sock, SHUT_WR);
}

static void
be_daemon(struct connecting *c, int sock)
{
	c->sock = sock;
	c->daemon.ready = ready_there;
	c->daemon.watch = sock;
	if (c->options->foreground)
		keeper_is_child(&c->keeper);
	else
		process_leave_terminal();
	_exit(daemon_run(&c->daemon) ? EXIT_OK : EXIT_FAILED);
}

static enum exit_status
await(const struct connecting *c, int sock, pid_t child)
{
	struct daemon_report r;
	struct progress progress;
	ssize_t n;

	progress_begin(&progress, "attaching");
	do
		n = recv(sock, &r, sizeof(r), 0);
	while (n < 0 && errno == EINTR);
	progress_end(&progress);
	if (n != (ssize_t)sizeof(r)) {
		r = (struct daemon_report){ .ok = false };
		errtext_set(&r.why, "the daemon died while it attached the device");
	}
	/* Then nothing of it is left when the reason is read. */
	if (!r.ok)
		(void)waitpid(child, NULL, 0);
	return tell(c, &r);
}

/* There is no child; errno says why. */
static enum exit_status
no_child(struct connecting *c, const char *call)
{
	struct errtext err;

	errtext_set(&err, "%s: %s", call, strerror(errno));
	complain(err.text);
	if (!c->again)
		state_remove(&c->state);
	close_all(c);
	return EXIT_FAILED;
}

static enum exit_status
run_in_child(struct connecting *c)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return no_child(c, "socketpair");
	child = fork();
	if (child == 0) {
		close(pair[0]);
		be_daemon(c, pair[1]);
	}
	close(pair[1]);
	return child > 0 ? await(c, pair[0], child) : no_child(c, "fork");
}

/* A device that outlives its daemon. */
static enum exit_status
run_and_stay(struct connecting *c)
{
	enum exit_status status;
	bool ok;

	c->daemon.log_to_stderr = true;
	keeper_begin(&c->keeper);
	status = run_in_child(c);
	if (status != EXIT_OK)
		return status;
	process_notify("READY=1");
	ok = keeper_stay(&c->state);
	process_notify("STOPPING=1");
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- all of it ------------------------------------------------------------- */

static struct settings
settings_of(const struct connecting *c)
{
	const struct options *o = c->options;

	return (struct settings){
		.depth = o->depth, .timeout = o->timeout,
		.dead_timeout = o->dead_timeout, .fence = o->fence,
		.keep_size = o->keep_size, .sector_size = o->sector_size,
		.unflushed = (enum nbe_unflushed)o->unflushed,
		.read_only = o->read_only,
		.discard_max = o->no_discard ? 0 : o->discard_max,
		.shared = o->shared, .path_timeout = o->path_timeout,
		.failback = o->failback == NBE_NEVER ? 0 : o->failback,
		.fence_by = c->fence_command != NULL ? NBE_FENCE_COMMAND :
		    o->fence_by == FENCE_UNSAID ? NBE_FENCE_TIME :
		    (enum nbe_fence_by)o->fence_by,
		.fence_command = c->fence_command,
	};
}

/* Two file systems' worth of writes in one disk end both. */
static void
warn_of_other(const struct connecting *c)
{
	struct errtext text;
	struct state other;

	if (c->options->read_only ||
	    (c->conn[0].exp.flags & NBE_FLAG_READ_ONLY) != 0 ||
	    !attached_twice(&other, c->state.name, c->config))
		return;
	errtext_set(&text, "warning: %s writes to the same export; a file system that "
	    "is mounted from both is destroyed", other.name);
	complain(text.text);
}

/* The state is there, and locked. */
static enum exit_status
start(struct connecting *c)
{
	if (c->conn[0].about != NULL)
		c->about = strdup(c->conn[0].about);
	c->export_size = c->conn[0].exp.size + c->conn[0].exp.tail;
	c->daemon = (struct daemon_config){
		.state = &c->state, .servers = c->servers, .path = c->path,
		.settings = settings_of(c),
		.conn = c->conn, .conns = c->conns, .arg = c,
		.about = c->about, .hook = c->hook, .via = c->via,
		.via_only = c->again || c->options->via != ATTACH_AUTO,
		.takes_over = c->again, .taken = &c->taken,
	};
	for (unsigned i = 0; i < c->servers; i++)
		c->daemon.server[i] = (struct dialer_server){
			&c->server[i].target, c->server[i].tls, &c->server[i].options,
		};
	if (!c->options->foreground)
		return run_in_child(c);
	return privilege_is_root() ? run_and_stay(c) : run_here(c);
}

static enum exit_status
attach(struct connecting *c)
{
	struct errtext err;

	if (!state_create(&c->state, c->options->device, &err)) {
		complain(err.text);
		close_all(c);
		return EXIT_FAILED;
	}
	(void)state_write(&c->state, "config", c->config);
	(void)udev_names_write(&c->state, &c->server[0].target);
	warn_of_other(c);
	return start(c);
}

/* ---- in the place of a daemon that was killed -------------------------------- */

static bool
take_kept(struct connecting *c)
{
	if (!attachment_outlives(&c->state, &c->via))
		return false;
	kept_ask(&c->state, &c->taken);
	return c->via != ATTACH_FUSE || c->taken.fuse >= 0;
}

/* The state is locked. */
static enum exit_status
take_over(struct connecting *c)
{
	enum exit_status status;
	struct errtext err;

	if (!take_kept(c)) {
		errtext_set(&err, "%s left no device that can be taken over",
		    c->state.name);
		complain(err.text);
		return EXIT_FAILED;
	}
	c->again = true;
	c->first = attachment_last_path(&c->state) % c->servers;
	status = open_all(c);
	return status == EXIT_OK ? start(c) : status;
}

static enum exit_status
lock_and_take_over(struct connecting *c)
{
	struct errtext err;

	if (state_lock_dead(&c->state))
		return take_over(c);
	errtext_set(&err, "%s: somebody else is at it", c->state.name);
	complain(err.text);
	return EXIT_FAILED;
}

/* ---- what is there already ------------------------------------------------- */

static enum exit_status
tell_again(struct connecting *c)
{
	static struct control_reply reply;
	const struct control_snapshot *s = &reply.snapshot;
	struct errtext err;

	if (!control_ask(&c->state, CONTROL_SNAPSHOT, 0, &reply, &err)) {
		complain(err.text);
		return EXIT_FAILED;
	}
	errtext_set(&err, "%s is connected already, as it is asked for", s->name);
	complain(err.text);
	print_device(c, s->device, s->node, true);
	return EXIT_OK;
}

/* Who stays in the foreground wants to be the daemon. */
static enum attached
look_for_it(struct connecting *c, struct errtext *err)
{
	const struct options *o = c->options;
	enum attached found;

	if (o->device == NULL)
		return ATTACHED_NOT;
	found = attached_find(&c->state, o->device, c->config, err);
	return found != ATTACHED_LEFT && o->foreground ? ATTACHED_NOT : found;
}

static enum exit_status
attach_once(struct connecting *c)
{
	enum exit_status status;
	struct errtext err;

	switch (look_for_it(c, &err)) {
	case ATTACHED_SAME:
		return tell_again(c);
	case ATTACHED_OTHER:
		complain(err.text);
		return EXIT_FAILED;
	case ATTACHED_LEFT:
		return lock_and_take_over(c);
	case ATTACHED_NOT:
		break;
	}
	status = open_all(c);
	if (status == EXIT_OK)
		standby_check(&c->server[c->path + 1], c->servers - c->path - 1,
		    &c->conn[0].exp);
	return status == EXIT_OK ? attach(c) : status;
}

/* The daemon stands elsewhere, and may not say any more what is wrong with it. */
static bool
find_program(char **path, const char *option, const char *name, struct errtext *err)
{
	struct stat st;

	if (name == NULL)
		return true;
	*path = realpath(name, NULL);
	if (*path == NULL || stat(*path, &st) < 0 || access(*path, X_OK) < 0)
		return errtext_set(err, "--%s %s: %s", option, name, strerror(errno));
	return S_ISREG(st.st_mode) ||
	    errtext_set(err, "--%s %s: it is no program", option, name);
}

static void
free_all(struct connecting *c)
{
	for (unsigned i = 0; i < c->servers; i++)
		server_free(&c->server[i]);
	free(c->config);
	free(c->hook);
	free(c->fence_command);
	free(c->about);
}

/* False: it was said. */
static bool
prepare(struct connecting *c, const struct options *o, enum attach_kind via)
{
	struct errtext err;

	c->options = o;
	if (o->root_device)
		process_outlive_system();
	if (process_has_room(&err) && ring_check(&err) &&
	    find_program(&c->hook, "hook", o->hook, &err) &&
	    find_program(&c->fence_command, "fence-command", o->fence_command, &err) &&
	    attach_choose(via, &c->via, &err))
		return true;
	complain(err.text);
	return false;
}

/* Too large for a stack.  Connections that a child has are not closed here: that would
 * say goodbye in its name. */
static struct connecting connecting;

enum exit_status
verb_connect(const struct options *o)
{
	struct connecting *c = &connecting;
	enum exit_status status;

	if (!prepare(c, o, (enum attach_kind)o->via))
		return EXIT_FAILED;
	status = servers_init(c->server, &c->servers, o);
	if (status == EXIT_OK) {
		c->config = attached_config(c->server, c->servers, o);
		if (c->config != NULL) {
			status = attach_once(c);
		} else {
			complain("out of memory");
			status = EXIT_FAILED;
		}
	}
	free_all(c);
	return status;
}

enum exit_status
connect_again(const struct options *o, const struct state *dead)
{
	struct connecting *c = &connecting;
	enum exit_status status;

	c->state = *dead;
	if (!prepare(c, o, ATTACH_AUTO))
		return EXIT_FAILED;
	status = servers_init(c->server, &c->servers, o);
	if (status == EXIT_OK)
		status = take_over(c);
	free_all(c);
	return status;
}
