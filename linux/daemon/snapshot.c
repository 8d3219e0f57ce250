/*
 * snapshot.c - all that a command may want to know of a device, at one moment.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "snapshot.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"

/* Too long a text is cut, not refused: it is for people. */
#define COPY(to, text) \
	((void)snprintf((to), sizeof(to), "%s", (text) != NULL ? (text) : ""))

static void
take_names(struct control_snapshot *s, const struct snapshot_source *from)
{
	const struct nbc_target *t = from->server[disk_path(from->disk)].target;
	char path[STATE_PATH_MAX];

	COPY(s->name, from->state->name);
	COPY(s->device, attachment_path(from->state, from->attachment, path));
	(void)node_name(&from->attachment->node, s->node);
	nbc_target_print(t, s->uri, sizeof(s->uri));
	COPY(s->host, t->host);
	if (t->family != NBC_UNIX)
		COPY(s->port, t->port != NULL ? t->port : NBC_DEFAULT_PORT);
	COPY(s->export_name, t->export_name);
	COPY(s->description, from->about);
}

static void
take_settings(struct control_snapshot *s, const struct settings *from)
{
	s->timeout = from->timeout;
	s->dead_timeout = from->dead_timeout;
	s->fence = from->fence;
	s->keep_size = from->keep_size;
	s->unflushed = (uint32_t)from->unflushed;
	s->depth = from->depth;
	s->fence_by = (uint32_t)from->fence_by;
	s->path_timeout = from->path_timeout;
	s->failback = from->failback;
	s->shared = from->shared;
	COPY(s->fence_command, from->fence_command);
}

void
snapshot_take(struct control_snapshot *s, const struct snapshot_source *from)
{
	struct front_status front;

	take_names(s, from);
	take_settings(s, from->settings);
	s->pid = getpid();
	s->now = clock_now();
	s->started = from->started;
	s->export = *disk_export(from->disk);
	s->device_size = *from->size;
	s->sector_size = attachment_sector_size(from->attachment,
	    from->settings->sector_size != 0 ? from->settings->sector_size :
	    s->export.block_min);
	s->read_only = from->settings->read_only ||
	    (s->export.flags & NBE_FLAG_READ_ONLY) != 0;
	s->tls = s->export.tls;
	s->takeovers = *from->takeovers;
	s->outlives = *from->outlives;
	s->detached = *from->node_lost;
	front_status(from->front, &front);
	s->front_state = front.state;
	s->front_in_flight = front.in_flight;
	s->front_straight = front.straight;
	s->paths = from->servers;
	for (unsigned i = 0; i < from->servers; i++)
		disk_path_info(from->disk, i, &s->path[i]);
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++)
		disk_conn_info(from->disk, i, &s->conn[i]);
	s->renewing = disk_renewing(from->disk);
	disk_stats(from->disk, &s->stats);
}
