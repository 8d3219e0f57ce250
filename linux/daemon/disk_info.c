/*
 * disk_info.c - what a disk is like.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "clock.h"
#include "disk_impl.h"

nbe_time
disk_down_for(struct disk *d)
{
	return d->down_since == 0 ? 0 : disk_now(d) - d->down_since + 1;
}

void
disk_stats(const struct disk *d, struct nbe_stats *st)
{
	nbe_stats(d->dev, st);
}

void
disk_conn_info(const struct disk *d, unsigned conn, struct disk_conn_info *info)
{
	const struct link *l = &d->link[conn];
	struct nbe_stats st;

	nbe_stats(d->dev, &st);
	*info = (struct disk_conn_info){
		.tls = l->nbc.tls != NULL || l->nbc.ktls, .ktls = l->nbc.ktls,
	};
	snprintf(info->problem, sizeof(info->problem), "%s", l->problem);
	if (nbe_conn_is_up(d->dev, conn))
		info->state = DISK_CONN_UP;
	else if (dialer_dials(d->dialer, conn))
		info->state = DISK_CONN_OPENING;
	else
		info->state = conn < st.conns_wanted ? DISK_CONN_WAITING :
		    DISK_CONN_UNUSED;
}

unsigned
disk_path(const struct disk *d)
{
	return d->path;
}

void
disk_path_info(const struct disk *d, unsigned path, struct disk_path_info *info)
{
	nbe_time t = clock_now() - d->asleep;
	struct nbe_path p;

	nbe_path(d->dev, path, &p);
	*info = (struct disk_path_info){
		.state = (enum disk_path_state)p.state, .tried = p.tried,
		.moving = p.moving, .fencing = p.fencing,
		.since_ms = t > p.since ? (t - p.since) / (NBE_SECOND / 1000) : 0,
	};
	nbc_target_print(d->server[path].target, info->uri, sizeof(info->uri));
	if (d->path_problem[path][0] != '\0' && p.state == NBE_PATH_FAILED)
		snprintf(info->problem, sizeof(info->problem), "%s",
		    d->path_problem[path]);
	else if (p.state == NBE_PATH_FAILED || p.why == NBE_WHY_UNFLUSHED)
		snprintf(info->problem, sizeof(info->problem), "%s",
		    nbe_why_text(p.why));
}
