/*
 * verb_metrics.c - OpenMetrics text, for a collector of text files.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All samples of a metric stand together, so devices are the inner loop.  Only types
 * that the older text format of Prometheus has, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "devices.h"
#include "record.h"
#include "snapshot_fields.h"

/* ---- numbers of a device ----------------------------------------------------- */

#define GET(name, expression)							\
	static uint64_t								\
	get_##name(const struct control_snapshot *s)				\
	{									\
		return expression;						\
	}
GET(wanted, s->stats.conns_wanted)
GET(up, s->stats.conns_up)
GET(size, s->device_size)
GET(queued, s->stats.queued)
GET(active, s->stats.active)
GET(unflushed, s->stats.dirty)
GET(lost, s->stats.lost)
GET(uptime, (s->now - s->started) / NBE_SECOND)
GET(retries, s->stats.retries)
GET(timeouts, s->stats.timeouts)
GET(conns_made, s->stats.conns_made)
GET(conns_lost, s->stats.conns_lost)
GET(conns_refused, s->stats.conns_refused)
GET(restarts, s->stats.restarts)
GET(flushes_failed, s->stats.flushes_failed)
GET(failovers, s->stats.failovers)
GET(moves, s->stats.moves)
GET(replayed, s->stats.replayed)
GET(fenced, s->stats.fenced)

struct metric {
	const char	*name, *type, *help;
	uint64_t	(*get)(const struct control_snapshot *);
};

static const struct metric metrics[] = {
	{ "connections", "gauge", "connections that are wanted", get_wanted },
	{ "connections_up", "gauge", "connections to a server", get_up },
	{ "size_bytes", "gauge", "size of the device", get_size },
	{ "requests_queued", "gauge", "requests that no server has", get_queued },
	{ "requests_active", "gauge", "requests that a server has", get_active },
	{ "unflushed_writes", "gauge", "1: acknowledged writes await a flush",
	    get_unflushed },
	{ "lost_writes", "gauge", "1: some are lost, a flush will fail", get_lost },
	{ "uptime_seconds", "gauge", "age of the daemon", get_uptime },
	{ "retries", "counter", "commands sent again", get_retries },
	{ "timeouts", "counter", "connections given up for silence", get_timeouts },
	{ "connections_made", "counter", "connections made", get_conns_made },
	{ "connections_lost", "counter", "connections lost", get_conns_lost },
	{ "connections_refused", "counter", "connections that contradicted the device",
	    get_conns_refused },
	{ "server_restarts", "counter", "times the server may have restarted",
	    get_restarts },
	{ "failed_flushes", "counter", "flushes that failed for lost writes",
	    get_flushes_failed },
	{ "failovers", "counter", "times that another server had to take over",
	    get_failovers },
	{ "moves", "counter", "times that the device went to another server in order",
	    get_moves },
	{ "replayed_requests", "counter", "requests written again", get_replayed },
	{ "fenced_requests", "counter", "requests that waited for a fence",
	    get_fenced },
};

/* ---- numbers of an operation ------------------------------------------------- */

#define GET_OP(name, member)							\
	static uint64_t								\
	get_op_##name(const struct nbe_op_stats *op)				\
	{									\
		return op->member;						\
	}
GET_OP(reqs, reqs)
GET_OP(bytes, bytes)
GET_OP(errors, errors)

struct op_metric {
	const char	*name, *help;
	uint64_t	(*get)(const struct nbe_op_stats *);
};

static const struct op_metric op_metrics[] = {
	{ "requests", "requests that ended", get_op_reqs },
	{ "request_bytes", "bytes of these", get_op_bytes },
	{ "request_errors", "of these, failed", get_op_errors },
};

/* ---- text -------------------------------------------------------------------- */

static void
put_label(const char *name, const char *value)
{
	printf("%s=\"", name);
	for (; *value != '\0'; value++) {
		if (*value == '\n')
			fputs("\\n", stdout);
		else if (*value == '"' || *value == '\\')
			printf("\\%c", *value);
		else
			putchar(*value);
	}
	putchar('"');
}

/* "nbdisk_NAME{name="nbd0"", open for more labels. */
static void
put_head(const char *name, const char *suffix, const struct device *d)
{
	printf("nbdisk_%s%s{", name, suffix);
	put_label("name", d->name);
}

static void
put_family(const char *name, const char *type, const char *help)
{
	printf("# TYPE nbdisk_%s %s\n# HELP nbdisk_%s %s\n", name, type, name, help);
}

static void
put_metric(const struct devices *d, const struct metric *m)
{
	const char *suffix = strcmp(m->type, "counter") == 0 ? "_total" : "";

	put_family(m->name, m->type, m->help);
	for (size_t i = 0; i < d->count; i++) {
		if (!d->item[i].alive)
			continue;
		put_head(m->name, suffix, &d->item[i]);
		printf("} %" PRIu64 "\n", m->get(&d->item[i].snapshot));
	}
}

static void
put_op_metric(const struct devices *d, const struct op_metric *m)
{
	put_family(m->name, "counter", m->help);
	for (size_t i = 0; i < d->count; i++) {
		for (unsigned op = 0; d->item[i].alive && op < NBE_OPS; op++) {
			put_head(m->name, "_total", &d->item[i]);
			printf(",op=\"%s\"} %" PRIu64 "\n", nbe_op_name(op),
			    m->get(&d->item[i].snapshot.stats.op[op]));
		}
	}
}

/* ---- latency ----------------------------------------------------------------- */

/* Two powers of two share a bucket here, which the engine has four for, each. */
#define LATENCY		"request_latency_seconds"
#define FIRST_LOG2	11	/* ns; the end of the engine's fourth */
#define ENGINE_BUCKETS	8	/* in one of ours */
#define LATENCY_BUCKETS	13	/* the last one ends at 34 s */

static void
put_latency_of(const struct device *d, unsigned op)
{
	const struct nbe_op_stats *st = &d->snapshot.stats.op[op];
	uint64_t count = 0;
	unsigned i = 0;

	for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
		/* The first one of ours has half of them. */
		while (i < b * ENGINE_BUCKETS + ENGINE_BUCKETS / 2)
			count += st->latency[i++];
		put_head(LATENCY, "_bucket", d);
		printf(",op=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", nbe_op_name(op),
		    (double)(UINT64_C(1) << (FIRST_LOG2 + 2 * b)) / 1e9, count);
	}
	while (i < NBE_LATENCY_BUCKETS)
		count += st->latency[i++];
	put_head(LATENCY, "_bucket", d);
	printf(",op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", nbe_op_name(op), count);
	put_head(LATENCY, "_count", d);
	printf(",op=\"%s\"} %" PRIu64 "\n", nbe_op_name(op), count);
	put_head(LATENCY, "_sum", d);
	printf(",op=\"%s\"} %.9f\n", nbe_op_name(op), (double)st->latency_sum_ns / 1e9);
}

static void
put_latency(const struct devices *d)
{
	put_family(LATENCY, "histogram", "latency of requests that succeeded");
	for (size_t i = 0; i < d->count; i++)
		for (unsigned op = 0; d->item[i].alive && op < NBE_OPS; op++)
			put_latency_of(&d->item[i], op);
}

/* ---- what has no number ------------------------------------------------------ */

static void
put_info(const struct devices *d)
{
	put_family("info", "gauge", "1; what the device is, in its labels");
	for (size_t i = 0; i < d->count; i++) {
		const struct control_snapshot *s = &d->item[i].snapshot;

		if (!d->item[i].alive)
			continue;
		put_head("info", "", &d->item[i]);
		putchar(',');
		put_label("device", s->device);
		putchar(',');
		put_label("uri", s->uri);
		fputs("} 1\n", stdout);
	}
}

static void
put_states(const struct devices *d)
{
	put_family("state", "gauge", "1 for the state that the device is in, else 0");
	for (size_t i = 0; i < d->count; i++) {
		const char *is = device_state(&d->item[i]);

		for (const char *const *state = state_names_all; *state != NULL;
		    state++) {
			put_head("state", "", &d->item[i]);
			printf(",state=\"%s\"} %d\n", *state, strcmp(*state, is) == 0);
		}
	}
}

enum exit_status
verb_metrics(const struct options *o)
{
	struct devices d;

	if (!devices_get(&d, o))
		return EXIT_FAILED;
	put_info(&d);
	put_states(&d);
	for (size_t i = 0; i < COUNT_OF(metrics); i++)
		put_metric(&d, &metrics[i]);
	for (size_t i = 0; i < COUNT_OF(op_metrics); i++)
		put_op_metric(&d, &op_metrics[i]);
	put_latency(&d);
	puts("# EOF");
	devices_free(&d);
	return d.failed ? EXIT_FAILED : EXIT_OK;
}
