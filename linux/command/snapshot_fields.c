/*
 * snapshot_fields.c - a snapshot in words: the fields of list, show and stats.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "snapshot_fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "flags.h"
#include "front.h"
#include "mounts.h"
#include "options.h"

#define TABLE(fields)	{ fields, COUNT_OF(fields) }
/* Getters of plain members. */
#define GET_NUMBER(name, member)						\
	static void								\
	get_##name(const void *object, struct value *v)				\
	{									\
		value_number(v, snap(object)->member);				\
	}
#define GET_TEXT(name, member)							\
	static void								\
	get_##name(const void *object, struct value *v)				\
	{									\
		value_text(v, snap(object)->member);				\
	}
#define GET_TIME(name, member)							\
	static void								\
	get_##name(const void *object, struct value *v)				\
	{									\
		value_ms(v, snap(object)->member);				\
	}
#define GET_BOOL(name, member)							\
	static void								\
	get_##name(const void *object, struct value *v)				\
	{									\
		value_bool(v, snap(object)->member);				\
	}

static const struct control_snapshot *
snap(const void *object)
{
	return object;
}

const char *const state_names_all[] = {
	"CONNECTED", "DEGRADED", "DISCONNECTED", "DETACHED", STATE_DEAD, NULL,
};

unsigned
snapshot_path(const struct control_snapshot *s)
{
	unsigned i = 0;

	while (i + 1 < s->paths && s->path[i].state != DISK_PATH_ACTIVE)
		i++;
	return i;
}

const char *
snapshot_state(const struct control_snapshot *s)
{
	if (s->detached)
		return "DETACHED";
	if (s->stats.conns_up == 0)
		return "DISCONNECTED";
	return s->stats.conns_up < s->stats.conns_wanted ? "DEGRADED" : "CONNECTED";
}

bool
state_is_down(const char *state)
{
	return strcmp(state, "CONNECTED") != 0 && strcmp(state, "DEGRADED") != 0;
}

/* ---- as in gnbd list --------------------------------------------------------- */

static void
get_state(const void *object, struct value *v)
{
	value_text(v, snapshot_state(object));
}

static void
get_export_name(const void *object, struct value *v)
{
	value_text(v, snap(object)->export_name);
	/* The default export has no name. */
	if (v->text[0] == '\0')
		v->text = "(null)";
}

static void
get_export_key(const void *object, struct value *v)
{
	value_text(v, snap(object)->export_name);
}

static void
get_description(const void *object, struct value *v)
{
	const char *text = snap(object)->description;

	value_text(v, text[0] != '\0' ? text : NULL);
}

static void
get_transmission(const void *object, struct value *v)
{
	flags_transmission(v, snap(object)->export.flags);
}

static void
get_handshake(const void *object, struct value *v)
{
	flags_handshake(v, snap(object)->export.hs_flags);
}

GET_TEXT(name, name)
GET_NUMBER(active, stats.conns_up)
GET_NUMBER(connections, stats.conns_wanted)
GET_BOOL(tls, tls)
GET_NUMBER(payload_max, export.payload_max)
GET_NUMBER(block_pref, export.block_pref)
GET_NUMBER(block_min, export.block_min)
GET_NUMBER(size, export.size)
GET_TEXT(port, port)
GET_TEXT(host, host)

static const struct field geom[] = {
	{ "Geom name", "name", get_name },
	{ "State", "state", get_state },
	{ "ActiveConnections", "active_connections", get_active },
	{ "Connections", "connections", get_connections },
	{ "TLS", "tls", get_tls },
	{ "MaximumPayload", "maximum_payload", get_payload_max },
	{ "PreferredBlocksize", "preferred_blocksize", get_block_pref },
	{ "MinimumBlocksize", "minimum_blocksize", get_block_min },
	{ "TransmissionFlags", "transmission_flags", get_transmission },
	{ "HandshakeFlags", "handshake_flags", get_handshake },
	{ "Size", "size", get_size },
	{ "Name", NULL, get_export_name },
	{ NULL, "export", get_export_key },
	{ "Description", "description", get_description },
	{ "Port", "port", get_port },
	{ "Host", "host", get_host },
};
const struct field_table geom_fields = TABLE(geom);

/* ---- the provider ------------------------------------------------------------ */

static void
get_mediasize(const void *object, struct value *v)
{
	char human[16];

	value_number(v, snap(object)->export.size);
	value_say(v, "%" PRIu64 " (%s)", v->number,
	    human_size(human, sizeof(human), v->number));
}

GET_NUMBER(sectorsize, sector_size)

/* Who has opened it, is not to be known; whether somebody keeps it, is. */
static void
get_mode(const void *object, struct value *v)
{
	const struct control_snapshot *s = object;
	struct errtext users;
	struct stat st;
	char node[48];
	bool used;

	snprintf(node, sizeof(node), "/dev/%s", s->node);
	used = s->node[0] != '\0' && stat(node, &st) == 0 &&
	    mounts_in_use(st.st_rdev, &users);
	value_text(v, !used ? "r0w0e0" : s->read_only ? "r1w0e1" : "r1w1e1");
}

GET_TEXT(device, device)

static void
get_node(const void *object, struct value *v)
{
	const char *node = snap(object)->node;

	value_text(v, node[0] != '\0' ? node : NULL);
}

static const struct field provider[] = {
	{ NULL, "name", get_name },
	{ NULL, "device", get_device },
	{ NULL, "node", get_node },
	{ "Mediasize", "mediasize", get_mediasize },
	{ "Sectorsize", "sectorsize", get_sectorsize },
	{ "Mode", "mode", get_mode },
};
const struct field_table provider_fields = TABLE(provider);

/* ---- counters ---------------------------------------------------------------- */

/* Requests of WNBD are those of the device; what is sent for them are commands. */
GET_NUMBER(received, stats.received)
GET_NUMBER(started, stats.started)
GET_NUMBER(replied, stats.replied)
GET_NUMBER(queued, stats.queued)
GET_NUMBER(pending, stats.active)
GET_NUMBER(aborted_started, stats.aborted_started)
GET_NUMBER(aborted_queued, stats.aborted_queued)
GET_NUMBER(aborted_done, stats.aborted_done)

static void
get_outstanding(const void *object, struct value *v)
{
	const struct nbe_stats *st = &snap(object)->stats;

	value_number(v, (uint64_t)st->queued + st->active);
}

static void
time_since(const struct control_snapshot *s, nbe_time last, struct value *v)
{
	if (last != 0)
		value_number(v, (s->now - last) / (NBE_SECOND / 1000));
}

static void
get_since_received(const void *object, struct value *v)
{
	time_since(object, snap(object)->stats.last_received, v);
}

static void
get_since_started(const void *object, struct value *v)
{
	time_since(object, snap(object)->stats.last_started, v);
}

static void
get_since_replied(const void *object, struct value *v)
{
	time_since(object, snap(object)->stats.last_replied, v);
}

static const struct field counters[] = {
	{ "TotalReceivedIORequests", "TotalReceivedIORequests", get_received },
	{ "TotalSubmittedIORequests", "TotalSubmittedIORequests", get_started },
	{ "TotalReceivedIOReplies", "TotalReceivedIOReplies", get_replied },
	{ "UnsubmittedIORequests", "UnsubmittedIORequests", get_queued },
	{ "PendingSubmittedIORequests", "PendingSubmittedIORequests", get_pending },
	{ "AbortedSubmittedIORequests", "AbortedSubmittedIORequests",
	    get_aborted_started },
	{ "AbortedUnsubmittedIORequests", "AbortedUnsubmittedIORequests",
	    get_aborted_queued },
	{ "CompletedAbortedIORequests", "CompletedAbortedIORequests",
	    get_aborted_done },
	{ "OutstandingIOCount", "OutstandingIOCount", get_outstanding },
	{ "TimeSinceLastReceivedReqMs", "TimeSinceLastReceivedReqMs",
	    get_since_received },
	{ "TimeSinceLastSubmittedReqMs", "TimeSinceLastSubmittedReqMs",
	    get_since_started },
	{ "TimeSinceLastReplyMs", "TimeSinceLastReplyMs", get_since_replied },
};
const struct field_table counter_fields = TABLE(counters);

GET_NUMBER(commands, stats.parts)
GET_NUMBER(in_flight, stats.in_flight)
GET_NUMBER(retries, stats.retries)
GET_NUMBER(timeouts, stats.timeouts)
GET_NUMBER(conns_made, stats.conns_made)
GET_NUMBER(conns_lost, stats.conns_lost)
GET_NUMBER(conns_refused, stats.conns_refused)
GET_NUMBER(fenced, stats.fenced)
GET_NUMBER(restarts, stats.restarts)
GET_NUMBER(flushes_failed, stats.flushes_failed)
GET_NUMBER(replayed, stats.replayed)
GET_NUMBER(failovers, stats.failovers)
GET_NUMBER(moves, stats.moves)
GET_NUMBER(kept_bytes, stats.kept_bytes)
GET_BOOL(dirty, stats.dirty)
GET_BOOL(lost, stats.lost)

static const struct field repairs[] = {
	{ "Commands", "commands", get_commands },
	{ "CommandsInFlight", "commands_in_flight", get_in_flight },
	{ "Retries", "retries", get_retries },
	{ "Timeouts", "timeouts", get_timeouts },
	{ "ConnectionsMade", "connections_made", get_conns_made },
	{ "ConnectionsLost", "connections_lost", get_conns_lost },
	{ "ConnectionsRefused", "connections_refused", get_conns_refused },
	{ "FencedRequests", "fenced_requests", get_fenced },
	{ "ServerRestarts", "server_restarts", get_restarts },
	{ "FailedFlushes", "failed_flushes", get_flushes_failed },
	{ "ReplayedRequests", "replayed_requests", get_replayed },
	{ "Failovers", "failovers", get_failovers },
	{ "Moves", "moves", get_moves },
	{ "KeptBytes", "kept_bytes", get_kept_bytes },
	{ "UnflushedWrites", "unflushed_writes", get_dirty },
	{ "LostWrites", "lost_writes", get_lost },
};
const struct field_table repair_fields = TABLE(repairs);

/* ---- settings ---------------------------------------------------------------- */

GET_TEXT(uri, uri)
GET_BOOL(read_only, read_only)
GET_TIME(timeout, timeout)
GET_TIME(dead_timeout, dead_timeout)
GET_TIME(fence, fence)
GET_NUMBER(depth, depth)
GET_TIME(path_timeout, path_timeout)

static void
get_fence_by(const void *object, struct value *v)
{
	uint32_t by = snap(object)->fence_by;

	value_text(v, by <= NBE_FENCE_STORE ? fence_words[by] : NULL);
}

static void
get_fence_command(const void *object, struct value *v)
{
	const char *program = snap(object)->fence_command;

	value_text(v, program[0] != '\0' ? program : NULL);
}

static void
get_failback(const void *object, struct value *v)
{
	nbe_time failback = snap(object)->failback;

	value_ms(v, failback != 0 ? failback : NBE_NEVER);
}

GET_BOOL(shared, shared)
GET_NUMBER(keep_size, keep_size)

static void
get_pid(const void *object, struct value *v)
{
	value_number(v, (uint64_t)snap(object)->pid);
}

static void
get_unflushed(const void *object, struct value *v)
{
	uint32_t policy = snap(object)->unflushed;

	value_text(v, policy <= NBE_UNFLUSHED_IGNORE ? unflushed_words[policy] : NULL);
}

static void
get_replies(const void *object, struct value *v)
{
	value_text(v, framing_name(snap(object)->export.framing));
}

static void
get_attached(const void *object, struct value *v)
{
	static const char *const words[] = {
		[FRONT_STARTING] = "starting", [FRONT_FUSE] = "FUSE (/dev/fuse)",
		[FRONT_FUSE_URING] = "FUSE (io_uring)", [FRONT_UBLK] = "ublk",
		[FRONT_UBLK_REGISTERED] = "ublk (registered buffers)",
		[FRONT_ENDED] = "ended",
	};
	const struct control_snapshot *s = object;
	uint32_t state = s->front_state;

	if (state >= FRONT_STATES)
		return;
	value_text(v, words[state]);
	if (state == FRONT_FUSE || state == FRONT_FUSE_URING)
		value_say(v, "%s over %s", s->node[0] != '\0' ? "loop device" : "file",
		    words[state]);
}

GET_NUMBER(straight, front_straight)
GET_NUMBER(takeovers, takeovers)
GET_BOOL(outlives, outlives)

static void
get_uptime(const void *object, struct value *v)
{
	const struct control_snapshot *s = object;

	value_number(v, (s->now - s->started) / NBE_SECOND);
}

static const struct field settings[] = {
	{ "Name", "name", get_name },
	{ "Device", "device", get_device },
	{ "Node", "node", get_node },
	{ "URI", "uri", get_uri },
	{ "Attached", "attached", get_attached },
	{ "Straight", "straight", get_straight },
	{ "Pid", "pid", get_pid },
	{ "UptimeSeconds", "uptime_seconds", get_uptime },
	{ "OutlivesDaemon", "outlives_daemon", get_outlives },
	{ "Takeovers", "takeovers", get_takeovers },
	{ "State", "state", get_state },
	{ "ReadOnly", "read_only", get_read_only },
	{ "TLS", "tls", get_tls },
	{ "Replies", "replies", get_replies },
	{ "Connections", "connections", get_connections },
	{ "ActiveConnections", "active_connections", get_active },
	{ "Depth", "depth", get_depth },
	{ "Timeout", "timeout_ms", get_timeout },
	{ "DeadTimeout", "dead_timeout_ms", get_dead_timeout },
	{ "Fence", "fence_ms", get_fence },
	{ "FenceBy", "fence_by", get_fence_by },
	{ "FenceCommand", "fence_command", get_fence_command },
	{ "PathTimeout", "path_timeout_ms", get_path_timeout },
	{ "Failback", "failback_ms", get_failback },
	{ "Shared", "shared", get_shared },
	{ "Unflushed", "unflushed", get_unflushed },
	{ "KeepSize", "keep_size", get_keep_size },
};
const struct field_table setting_fields = TABLE(settings);
