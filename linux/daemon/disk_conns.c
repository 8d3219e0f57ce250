/*
 * disk_conns.c - a disk's connections: made, told of, and closed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk_impl.h"
#include "tls.h"

static void
say(struct disk *d, unsigned conn, const char *what, const char *why)
{
	char line[512];

	snprintf(line, sizeof(line), "connection %u %s%s%s", conn, what,
	    why[0] != '\0' ? ": " : "", why);
	d->events.log(d->events.arg, line);
}

/* With several servers: which one it is now. */
static void
say_path(struct disk *d, unsigned path)
{
	char line[600], uri[512];

	d->path_problem[path][0] = '\0';
	if (path == d->path)
		return;
	d->path = path;
	nbc_target_print(d->server[path].target, uri, sizeof(uri));
	snprintf(line, sizeof(line), "the server is %s now", uri);
	d->events.log(d->events.arg, line);
	d->events.moved(d->events.arg);
}

/* Before anything is sent: whoever answers now may know of less. */
static void
tell_epoch(struct disk *d)
{
	uint32_t epoch = nbe_epoch(d->dev);
	struct nbe_stats st;

	if (epoch == d->epoch)
		return;
	d->epoch = epoch;
	nbe_stats(d->dev, &st);
	if (d->events.epoch != NULL)
		d->events.epoch(d->events.arg, d->paths == 1 && !st.dirty);
}

void
disk_ended(void *arg, unsigned conn)
{
	struct disk *d = arg;

	tell_epoch(d);
	if (d->link[conn].note != NULL)
		d->link[conn].note->can_ask = 0;
	if (d->events.conn != NULL)
		d->events.conn(d->events.arg, conn, NULL);
}

void
disk_tell_left(struct disk *d, unsigned path)
{
	uint32_t paths = nbe_old_paths(d->dev);

	if (d->events.left == NULL || (paths == d->left && path == d->left_path))
		return;
	d->left = paths;
	d->left_path = path;
	d->events.left(d->events.arg, paths, path);
}

/* Not of a session that only this process, or the kernel, can go on with. */
static void
tell_conn(struct disk *d, unsigned conn)
{
	const struct nbc_conn *nbc = &d->link[conn].nbc;
	struct kept_conn c = {
		.fd = nbc->fd, .path = (uint8_t)nbe_conn_path(d->dev, conn),
		.framing = (uint8_t)nbc->exp.framing, .has_session = nbc->tls != NULL,
	};
	struct nbc_tls_keys keys = { .suite = 0 };

	if (d->events.conn == NULL || nbc->ktls ||
	    (nbc->tls != NULL && !nbc_tls_keys(nbc->tls, &keys)))
		return;
	memcpy(c.session, &keys, sizeof(keys));
	d->events.conn(d->events.arg, conn, &c);
	explicit_bzero(&keys, sizeof(keys));
	explicit_bzero(&c, sizeof(c));
}

void
disk_take(struct disk *d, unsigned conn, struct nbc_conn *nbc)
{
	struct link *l = &d->link[conn];
	struct nbe_export exp = nbc->exp;
	unsigned path = nbe_conn_path(d->dev, conn);
	enum nbe_why why = nbe_conn_up(d->dev, conn, &exp, disk_now(d));

	if (why != NBE_WHY_NONE) {
		snprintf(l->problem, sizeof(l->problem), "%s", nbe_why_text(why));
		d->path_problem[path][0] = '\0';	/* the engine has the reason */
		say(d, conn, "was refused", l->problem);
		nbc_close(nbc, true);
		return;
	}
	disk_tell_left(d, path);
	if (!link_up(l, nbc)) {
		nbc_close(nbc, true);
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, disk_now(d));
		tell_epoch(d);
		return;
	}
	tell_conn(d, conn);
	say(d, conn, "is up", "");
	say_path(d, path);
}

static void
not_made(struct disk *d, unsigned conn, const char *why)
{
	struct link *l = &d->link[conn];

	if (strncmp(l->problem, why, sizeof(l->problem) - 1) != 0)
		say(d, conn, "cannot be made", why);
	snprintf(l->problem, sizeof(l->problem), "%.255s", why);
	snprintf(d->path_problem[nbe_conn_path(d->dev, conn)], sizeof(l->problem),
	    "%.255s", why);
	nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, disk_now(d));
}

static void
probed(struct disk *d, unsigned path, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error)
{
	if (ok)
		nbc_close(nbc, true);
	else
		snprintf(d->path_problem[path], sizeof(d->path_problem[path]), "%.255s",
		    error->text);
	nbe_probed(d->dev, path, ok ? NBE_WHY_NONE : NBE_WHY_CLOSED, disk_now(d));
}

void
disk_dialed(void *arg, unsigned seat, bool ok, struct nbc_conn *nbc,
    const struct nbc_error *error)
{
	struct disk *d = arg;

	if (seat >= NBE_MAX_CONNS)
		probed(d, seat - NBE_MAX_CONNS, ok, nbc, error);
	else if (ok)
		disk_take(d, seat, nbc);
	else if (error->kind == NBC_CANCELLED)
		nbe_conn_down(d->dev, seat, NBE_WHY_CLOSED, disk_now(d));
	else
		not_made(d, seat, error->text);
}

void
disk_dial(struct disk *d, unsigned conn)
{
	unsigned path = nbe_conn_path(d->dev, conn);
	char why[128];

	if (dialer_dials(d->dialer, conn) || d->link[conn].closing ||
	    dialer_dial(d->dialer, conn, &d->server[path]))
		return;
	snprintf(why, sizeof(why), "no thread to connect with: %s", strerror(errno));
	not_made(d, conn, why);
}

/* The seats of a dialer: connections, and behind them paths that are only tried. */
void
disk_probe(struct disk *d, unsigned path)
{
	unsigned seat = NBE_MAX_CONNS + path;

	/* Without a thread it is asked for again in the next round. */
	if (!dialer_dials(d->dialer, seat))
		(void)dialer_dial(d->dialer, seat, &d->server[path]);
}

bool
disk_close_conn(struct disk *d, unsigned conn)
{
	struct link *l = &d->link[conn];

	if (dialer_dials(d->dialer, conn)) {
		dialer_cancel(d->dialer, conn);
		return false;
	}
	if (l->closing)
		return false;
	if (l->nbc.fd < 0) {		/* it was not even dialed */
		nbe_conn_down(d->dev, conn, NBE_WHY_CLOSED, disk_now(d));
		return true;
	}
	link_close(l);
	say(d, conn, "is closed", l->problem);
	return true;
}
