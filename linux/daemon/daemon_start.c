/*
 * daemon_start.c - from a configuration to a daemon that serves.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "daemon_impl.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "fuse.h"
#include "privilege.h"
#include "ublk.h"

#define RING_ENTRIES	1024
#define BACKOFF_MIN	(NBE_SECOND / 10)
#define BACKOFF_MAX	(10 * NBE_SECOND)
#define KEEP_RECORDS	65536
#define FUSE_DEPTH	64	/* per CPU over io_uring */

static void
make_disk_config(struct daemon *d, struct disk_config *c)
{
	const struct settings *s = &d->config->settings;

	*c = (struct disk_config){
		.dev = {
			.conns_max = NBE_MAX_CONNS,
			.conns = (uint16_t)d->config->conns,
			.depth = (uint16_t)s->depth,
			.timeout = s->timeout, .dead_timeout = s->dead_timeout,
			.fence = s->fence,
			.backoff_min = BACKOFF_MIN, .backoff_max = BACKOFF_MAX,
			.unflushed = s->unflushed,
			.keep_size = s->keep_size, .keep_records = KEEP_RECORDS,
			.inherit = d->left.unflushed,
			.paths = (uint8_t)d->config->servers,
			.path = (uint8_t)d->config->path,
			.old_paths = d->left.paths,
			.fence_by = s->fence_by, .path_timeout = s->path_timeout,
			.failback = s->failback,
			/* To a disk that is only read, no harm can be done. */
			.compare = !s->shared && !s->read_only &&
			    (d->config->conn[0].exp.flags &
			    NBE_FLAG_READ_ONLY) == 0,
		},
		.server = d->server,
		.events = daemon_disk_events(d),
		.past = d->left.unflushed && s->unflushed != NBE_UNFLUSHED_IGNORE ?
		    DISK_PAST_LOST : DISK_PAST_SAFE,
		.notes = note_conns(&d->note),
	};
	/* Devices that lost one server must not all come back at one moment. */
	(void)!getrandom(&c->dev.seed, sizeof(c->dev.seed), GRND_NONBLOCK);
}

/* How the daemon connects: the engine decides when to try again, and the helper opens
 * the files. */
static void
make_servers(struct daemon *d)
{
	for (unsigned i = 0; i < d->config->servers; i++) {
		d->server[i] = d->config->server[i];
		d->options[i] = *d->server[i].options;
		d->options[i].retry_ms = 0;
		d->options[i].open_file = opener_open;
		d->options[i].open_arg = &d->opener.seat[i];
		d->server[i].options = &d->options[i];
	}
	d->fencer.program = d->config->settings.fence_command;
	d->fencer.state = d->config->state;
	d->fencer.server = d->server;
}

static bool
start_helper(struct daemon *d, struct errtext *err)
{
	const struct nbe_dev_config sizes = {
		.unflushed = d->config->settings.unflushed,
		.keep_size = d->config->settings.keep_size,
		.keep_records = KEEP_RECORDS,
	};

	if (!opener_init(&d->opener, err))
		return false;
	for (unsigned i = 0; i < d->config->servers; i++)
		d->opener.tls[i] = d->server[i].tls;
	return helper_start(&d->helper, &d->opener, d->config->state,
	    kept_memory_size(&sizes), err);
}

/* Of a new device nothing is left.  One of a user has no next daemon. */
static bool
open_note(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX];

	return !privilege_is_root() || note_open(&d->note,
	    state_path(d->config->state, "unflushed", path), &d->left, err);
}

/*
 * An answer to a flush there tells that all is safe if
 * (1) it is of the server that was active: what is unflushed is there;
 * (2) it is known to reach that server as it was since the last flush (nbe_epoch);
 * (3) a whole command was the last that was sent.
 */
static bool
may_ask(const struct daemon *d, const struct kept_conn *c, unsigned conn)
{
	return c->path == d->left.active && !d->left.doubt &&
	    d->left.conn[conn].can_ask != 0;
}

/* The sockets of the daemon that was killed, as that one has described them. */
static void
take_conns(struct daemon *d)
{
	struct kept *k = d->config->taken;

	for (unsigned i = 0; d->config->takes_over && i < NBE_MAX_CONNS; i++) {
		struct kept_conn *c = &k->conn[i];

		if (c->fd < 0)
			continue;
		if (c->path < d->config->servers && c->framing <= NBE_EXTENDED)
			disk_old_conn(d->disk, c,
			    may_ask(d, c, i) ? &d->left.conn[i] : NULL);
		else
			close(c->fd);
		c->fd = -1;
		explicit_bzero(c->session, sizeof(c->session));
	}
}

/* That of the dead daemon, where it is there; and the helper has it before anything is
 * acknowledged. */
static bool
open_memory(struct daemon *d, struct disk_config *c, struct errtext *err)
{
	static const struct kept_message m = { .what = KEPT_MEMORY };
	int taken = d->config->takes_over ? d->config->taken->memory : -1;

	if (c->dev.unflushed != NBE_UNFLUSHED_REPLAY)
		return true;
	if (!kept_memory_open(&d->memory, taken, &c->dev, err))
		return false;
	c->dev.records = d->memory.map;
	c->keep = d->memory.keep;
	if (d->note.file != NULL)
		(void)helper_keep(&d->helper, &m, d->memory.fd);
	return true;
}

static bool
start_disk(struct daemon *d, struct errtext *err)
{
	struct disk_config config;

	if (!open_note(d, err))
		return false;
	make_disk_config(d, &config);
	if (!open_memory(d, &config, err))
		return false;
	d->disk = disk_new(&d->ring, &config, d->config->conn, d->config->conns);
	if (d->disk == NULL)
		return errtext_set(err, "out of memory");
	if (disk_past(d->disk) == DISK_PAST_KEPT)
		daemon_past_known(d);
	take_conns(d);
	return true;
}

static struct handover_config
make_handover(struct daemon *d)
{
	return (struct handover_config){
		.note = &d->note,
		.replays = d->config->settings.unflushed == NBE_UNFLUSHED_REPLAY,
	};
}

static bool
start_fuse(struct daemon *d, struct errtext *err)
{
	char path[STATE_PATH_MAX], agreed[STATE_PATH_MAX];
	char source[DEVICE_NAME_MAX + 16];
	struct fuse_config config = {
		.mountpoint = state_path(d->config->state, "mnt", path),
		.source = source, .read_only = d->config->settings.read_only,
		.zero_slowly = d->config->settings.discard_max != UINT64_MAX,
		.want_uring = true, .depth = FUSE_DEPTH,
		.uid = geteuid(), .gid = getegid(), .mode = 0600,
		.agreed = !privilege_is_root() ? NULL :
		    state_path(d->config->state, "fuse", agreed),
		.taken = d->config->takes_over ? d->config->taken->fuse : -1,
		.handover = make_handover(d),
	};

	snprintf(source, sizeof(source), "nbdisk-%s", d->config->state->name);
	if (!fuse_start(&d->front.fuse, &config, &d->ring, d->disk, err))
		return false;
	/* Before the helper is asked for anything: should this daemon die, the device
	 * is its helper's business as much as the one's before. */
	if (d->config->takes_over)
		d->outlives = daemon_keep_front(d);
	return true;
}

static bool
serve_ublk(struct daemon *d, bool read_only, struct errtext *err)
{
	const struct ublk_config config = {
		.dev = d->attachment.node.ublk, .read_only = read_only,
		.handover = make_handover(d),
	};

	return ublk_start(&d->front.ublk, &config, &d->ring, d->disk, err);
}

static bool
add_ublk(struct daemon *d, struct errtext *err)
{
	struct helper_order order = daemon_make_order(d, HELPER_ADD);
	struct helper_result result;

	helper_ask(&d->helper, &order, &result);
	if (!result.ok)
		return errtext_set(err, "%s", result.why.text);
	d->attachment = result.attachment;
	if (serve_ublk(d, order.config.read_only, err)) {
		d->outlives = true;
		return true;
	}
	if (daemon_leaves_all(d))
		return false;
	order.job = HELPER_FORCE;
	helper_ask(&d->helper, &order, &result);
	d->attachment = result.attachment;
	return false;
}

static bool
start_front(struct daemon *d, struct errtext *err)
{
	if (d->config->via != ATTACH_UBLK)
		return start_fuse(d, err);
	if (add_ublk(d, err))
		return true;
	if (d->config->via_only)
		return false;
	log_line(&d->log, LOG_INFO, "by FUSE: %s", err->text);
	return start_fuse(d, err);
}

static bool
start_ring(struct daemon *d, struct errtext *err)
{
	bool wide = fuse_uring_support() == FUSE_URING_ON;
	int ret = ring_init(&d->ring, RING_ENTRIES, wide);

	if (ret < 0)
		return errtext_set(err, "io_uring: %s", strerror(-ret));
	d->helper.ring = &d->ring;
	d->helper.done = daemon_helper_done;
	d->helper.died = daemon_helper_died;
	d->helper.arg = d;
	d->fencer.ring = &d->ring;
	d->fencer.done = daemon_fence_done;
	d->fencer.arg = d;
	return true;
}

static bool
start_hooks(struct daemon *d, struct errtext *err)
{
	struct hooks_config config = {
		.program = d->config->hook, .server = d->server,
		.keep_stderr = d->config->log_to_stderr,
	};

	return hooks_start(&d->hooks, &config, d->config->state, err);
}

static bool
has_unix_server(const struct daemon *d)
{
	for (unsigned i = 0; i < d->config->servers; i++)
		if (d->server[i].target->family == NBC_UNIX)
			return true;
	return false;
}

void
daemon_end_processes(struct daemon *d)
{
	helper_end(&d->helper);
	opener_end(&d->opener);
	fencer_end(&d->fencer);
	hooks_end(&d->hooks);
}

bool
daemon_start(struct daemon *d, struct errtext *err)
{
	unsigned conns = d->config->conns;

	make_servers(d);
	if (!start_hooks(d, err) || !fencer_start(&d->fencer, err) ||
	    !start_helper(d, err) || !daemon_catch_signals(d, err) ||
	    !start_ring(d, err))
		goto close_conns;
	if (!start_disk(d, err) || !daemon_serve_control(d, err))
		goto free_ring;
	if (!start_front(d, err))
		goto free_control;
	pressure_begin(&d->pressure, &d->ring);
	if (!confine(has_unix_server(d), err))
		goto free_control;
	d->source = (struct snapshot_source){
		.state = d->config->state, .server = d->server,
		.servers = d->config->servers,
		.settings = &d->config->settings, .about = d->config->about,
		.attachment = &d->attachment, .node_lost = &d->node_lost,
		.size = &d->size, .takeovers = &d->takeovers,
		.outlives = &d->outlives,
		.disk = d->disk, .front = &d->front,
		.started = clock_now(),
	};
	return true;
free_control:
	control_server_free(d->control);
free_ring:
	ring_free(&d->ring);
	/* What the disk has is lost with the process, which ends now. */
	if (d->disk != NULL)
		conns = 0;
close_conns:
	for (unsigned i = 0; i < conns; i++)
		nbc_close(&d->config->conn[i], true);
	daemon_end_processes(d);
	return false;
}
