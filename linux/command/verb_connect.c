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
#include <unistd.h>

#include "attached.h"
#include "control_client.h"
#include "daemon.h"
#include "fuse.h"
#include "json.h"
#include "process.h"
#include "progress.h"
#include "ring.h"
#include "server.h"
#include "udev_names.h"

struct connecting {
	const struct options *options;
	struct server	server;
	struct nbc_conn	conn[NBE_MAX_CONNS];
	unsigned	conns;
	char		*about;		/* the disk takes conn, with its text */
	char		*hook;		/* its absolute path; NULL: none */
	char		*config;	/* for the device's directory */
	struct state	state;
	struct daemon_config daemon;
	uint64_t	export_size;
	int		sock;		/* the child's way to us */
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
open_one(struct connecting *c, struct nbc_error *err)
{
	struct nbc_conn *conn = &c->conn[c->conns];

	if (!nbc_open(conn, &c->server.target, c->server.tls, &c->server.options, err))
		return false;
	c->conns++;
	return true;
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
	while (ok && c->conns < wanted) {
		ok = open_one(c, &err);
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

/* A block device has whole sectors only. */
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
		    " bytes, is no multiple of a sector; its last %" PRIu64
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

/* ---- all of it ------------------------------------------------------------- */

static struct settings
settings_of(const struct options *o)
{
	return (struct settings){
		.depth = o->depth, .timeout = o->timeout,
		.dead_timeout = o->dead_timeout, .fence = o->fence,
		.keep_size = o->keep_size, .sector_size = o->sector_size,
		.unflushed = (enum nbe_unflushed)o->unflushed,
		.read_only = o->read_only,
		.discard_max = o->no_discard ? 0 : o->discard_max,
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
	(void)udev_names_write(&c->state, &c->server.target);
	warn_of_other(c);
	if (c->conn[0].about != NULL)
		c->about = strdup(c->conn[0].about);
	c->export_size = c->conn[0].exp.size;
	c->daemon = (struct daemon_config){
		.state = &c->state, .target = &c->server.target,
		.tls = c->server.tls, .options = &c->server.options,
		.settings = settings_of(c->options),
		.conn = c->conn, .conns = c->conns, .arg = c,
		.about = c->about, .hook = c->hook,
	};
	return c->options->foreground ? run_here(c) : run_in_child(c);
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

	if (o->device == NULL || o->foreground)
		return ATTACHED_NOT;
	return attached_find(&c->state, o->device, c->config, err);
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
	case ATTACHED_NOT:
		break;
	}
	status = open_all(c);
	return status == EXIT_OK ? attach(c) : status;
}

/* The daemon stands elsewhere, and may not say any more what is wrong with it. */
static bool
find_hook(struct connecting *c, struct errtext *err)
{
	const char *hook = c->options->hook;

	if (hook == NULL)
		return true;
	c->hook = realpath(hook, NULL);
	return (c->hook != NULL && access(c->hook, X_OK) == 0) ||
	    errtext_set(err, "--hook %s: %s", hook, strerror(errno));
}

enum exit_status
verb_connect(const struct options *o)
{
	/* Too large for a stack.  Connections that a child has are not closed here:
	 * that would say goodbye in its name. */
	static struct connecting c;
	enum exit_status status;
	enum attach_kind kind;
	struct errtext err;

	c.options = o;
	if (!process_has_room(&err) || !ring_check(&err) || !find_hook(&c, &err) ||
	    !attach_choose((enum attach_kind)o->via, &kind, &err)) {
		complain(err.text);
		return EXIT_FAILED;
	}
	status = server_init(&c.server, o);
	if (status != EXIT_OK)
		return status;
	c.config = attached_config(&c.server.target, o);
	if (c.config != NULL) {
		status = attach_once(&c);
	} else {
		complain("out of memory");
		status = EXIT_FAILED;
	}
	server_free(&c.server);
	free(c.config);
	free(c.hook);
	free(c.about);
	return status;
}
