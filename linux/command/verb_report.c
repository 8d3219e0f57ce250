/*
 * verb_report.c - list, status, show and stats.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>

#include "devices.h"
#include "record.h"
#include "snapshot_fields.h"

static const unsigned permilles[] = { 500, 900, 990, 999 };
static const char *const permille_keys[] = { "p50_ns", "p90_ns", "p99_ns", "p999_ns" };

static void
print_table(const char *indent, const struct field_table *t,
    const struct control_snapshot *s)
{
	record_print(stdout, indent, t->field, t->count, s);
}

static void
table_json(struct json *j, const struct field_table *t,
    const struct control_snapshot *s)
{
	record_json(j, t->field, t->count, s);
}

static void
object_json(struct json *j, const char *key, const struct field_table *t,
    const struct control_snapshot *s)
{
	json_open(j, key, '{');
	table_json(j, t, s);
	json_close(j, '}');
}

/* One of many devices. */
struct report {
	void	(*print)(const struct device *);
	void	(*json)(struct json *, const struct device *);
};

static void
dead_json(struct json *j, const struct device *d)
{
	json_text(j, "name", d->name);
	json_text(j, "state", STATE_DEAD);
}

static void
print_all(const struct devices *d, const struct report *r, bool as_json)
{
	struct json j;

	if (!as_json) {
		for (size_t i = 0; i < d->count; i++)
			r->print(&d->item[i]);
		return;
	}
	json_start(&j, stdout, false);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < d->count; i++) {
		json_open(&j, NULL, '{');
		if (d->item[i].alive)
			r->json(&j, &d->item[i]);
		else
			dead_json(&j, &d->item[i]);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_finish(&j);
}

static bool
any_down(const struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (state_is_down(device_state(&d->item[i])))
			return true;
	return false;
}

static enum exit_status
report_all(const struct options *o, const struct report *r)
{
	enum exit_status status;
	struct devices devices;

	if (!devices_get(&devices, o))
		return EXIT_FAILED;
	print_all(&devices, r, o->json);
	status = devices.failed ? EXIT_FAILED :
	    o->check && any_down(&devices) ? EXIT_DOWN : EXIT_OK;
	devices_free(&devices);
	return status;
}

/* ---- servers ----------------------------------------------------------------- */

static const char *const path_states[] = {
	[DISK_PATH_STANDBY] = "standby", [DISK_PATH_ACTIVE] = "active",
	[DISK_PATH_FAILED] = "failed",
};

static void
print_paths(const struct control_snapshot *s)
{
	for (unsigned i = 0; i < s->paths && s->paths > 1; i++) {
		const struct disk_path_info *p = &s->path[i];

		printf("Server %u: %s%s%s%s, %s\n", i, path_states[p->state],
		    p->tried ? ", being tried" : "", p->moving ? ", moving to" : "",
		    p->fencing ? ", being fenced" : "", p->uri);
		if (p->problem[0] != '\0')
			printf("   Problem, %" PRIu64 " s ago: %s\n",
			    p->since_ms / 1000, p->problem);
	}
}

static void
paths_json(struct json *j, const struct control_snapshot *s)
{
	json_open(j, "servers", '[');
	for (unsigned i = 0; i < s->paths; i++) {
		const struct disk_path_info *p = &s->path[i];

		json_open(j, NULL, '{');
		json_number(j, "number", i);
		json_text(j, "uri", p->uri);
		json_text(j, "state", path_states[p->state]);
		json_number(j, "since_ms", p->since_ms);
		json_bool(j, "tried", p->tried);
		json_bool(j, "moving", p->moving);
		json_bool(j, "fencing", p->fencing);
		json_text(j, "problem", p->problem[0] != '\0' ? p->problem : NULL);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* ---- list -------------------------------------------------------------------- */

static void
list_print(const struct device *d)
{
	printf("Geom name: %s\n", d->name);
	if (!d->alive) {
		fputs("State: " STATE_DEAD "\n\n", stdout);
		return;
	}
	/* The name has been printed. */
	record_print(stdout, "", geom_fields.field + 1, geom_fields.count - 1,
	    &d->snapshot);
	printf("Providers:\n1. Name: %s\n", d->name);
	print_table("   ", &provider_fields, &d->snapshot);
	puts("Counters:");
	print_table("   ", &counter_fields, &d->snapshot);
	print_table("   ", &repair_fields, &d->snapshot);
	putchar('\n');
}

static void
list_json(struct json *j, const struct device *d)
{
	table_json(j, &geom_fields, &d->snapshot);
	json_open(j, "providers", '[');
	object_json(j, NULL, &provider_fields, &d->snapshot);
	json_close(j, ']');
	json_open(j, "counters", '{');
	table_json(j, &counter_fields, &d->snapshot);
	table_json(j, &repair_fields, &d->snapshot);
	json_close(j, '}');
	paths_json(j, &d->snapshot);
}

enum exit_status
verb_list(const struct options *o)
{
	static const struct report r = { list_print, list_json };

	return report_all(o, &r);
}

/* ---- status ------------------------------------------------------------------ */

#define STATUS_FORMAT	"%-16s %-24s %-12s %11s %6s  %s\n"

static void
status_print(const struct device *d)
{
	const struct control_snapshot *s = &d->snapshot;
	char conns[24], size[16];

	if (!d->alive) {
		printf(STATUS_FORMAT, d->name, "-", STATE_DEAD, "-", "-", "-");
		return;
	}
	snprintf(conns, sizeof(conns), "%" PRIu32 "/%" PRIu32, s->stats.conns_up,
	    s->stats.conns_wanted);
	printf(STATUS_FORMAT, d->name, s->device, snapshot_state(s), conns,
	    human_size(size, sizeof(size), s->export.size), s->uri);
}

static void
status_json(struct json *j, const struct device *d)
{
	const struct control_snapshot *s = &d->snapshot;

	json_text(j, "name", s->name);
	json_text(j, "device", s->device);
	json_text(j, "state", snapshot_state(s));
	json_number(j, "active_connections", s->stats.conns_up);
	json_number(j, "connections", s->stats.conns_wanted);
	json_number(j, "size", s->export.size);
	json_text(j, "uri", s->uri);
}

enum exit_status
verb_status(const struct options *o)
{
	static const struct report r = { status_print, status_json };

	if (!o->json)
		printf(STATUS_FORMAT, "Name", "Device", "State", "Connections", "Size",
		    "URI");
	return report_all(o, &r);
}

/* ---- one device --------------------------------------------------------------- */

static enum exit_status
report_one(const struct options *o, const struct report *r)
{
	struct devices devices;
	bool ok;

	if (!devices_get(&devices, o))
		return EXIT_FAILED;
	ok = devices.count == 1 && devices.item[0].alive;
	if (ok && o->json) {
		struct json j;

		json_start(&j, stdout, false);
		json_open(&j, NULL, '{');
		r->json(&j, &devices.item[0]);
		json_close(&j, '}');
		json_finish(&j);
	} else if (ok) {
		r->print(&devices.item[0]);
	} else if (!devices.failed) {
		fprintf(stderr, "nbdisk: %s: its daemon is dead; run \"nbdisk "
		    "disconnect %s\"\n", o->operand[0], o->operand[0]);
	}
	devices_free(&devices);
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- show -------------------------------------------------------------------- */

static const char *const conn_states[] = {
	[DISK_CONN_UNUSED] = "unused", [DISK_CONN_WAITING] = "waiting",
	[DISK_CONN_OPENING] = "opening", [DISK_CONN_UP] = "up",
};

static const char *
tls_of(const struct disk_conn_info *c)
{
	return c->ktls ? "kernel" : c->tls ? "yes" : "no";
}

/* Those that are wanted or that still close. */
static bool
is_listed(const struct disk_conn_info *c)
{
	return c->state != DISK_CONN_UNUSED && c->state <= DISK_CONN_UP;
}

static void
show_print(const struct device *d)
{
	print_table("", &setting_fields, &d->snapshot);
	print_paths(&d->snapshot);
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++) {
		const struct disk_conn_info *c = &d->snapshot.conn[i];

		if (!is_listed(c))
			continue;
		printf("Connection %u: %s, TLS: %s\n", i, conn_states[c->state],
		    tls_of(c));
		if (c->problem[0] != '\0')
			printf("   %s: %s\n", c->state == DISK_CONN_UP ?
			    "Last problem" : "Problem", c->problem);
	}
}

static void
show_json(struct json *j, const struct device *d)
{
	table_json(j, &setting_fields, &d->snapshot);
	paths_json(j, &d->snapshot);
	json_open(j, "connection", '[');
	for (unsigned i = 0; i < NBE_MAX_CONNS; i++) {
		const struct disk_conn_info *c = &d->snapshot.conn[i];

		if (!is_listed(c))
			continue;
		json_open(j, NULL, '{');
		json_number(j, "number", i);
		json_text(j, "state", conn_states[c->state]);
		json_text(j, "tls", tls_of(c));
		json_text(j, "problem", c->problem[0] != '\0' ? c->problem : NULL);
		json_close(j, '}');
	}
	json_close(j, ']');
}

enum exit_status
verb_show(const struct options *o)
{
	static const struct report r = { show_print, show_json };

	return report_one(o, &r);
}

/* ---- stats ------------------------------------------------------------------- */

static uint64_t
mean_ns(const struct nbe_stats *st, enum nbe_op op)
{
	uint64_t good = st->op[op].reqs - st->op[op].errors;

	return good > 0 ? st->op[op].latency_sum_ns / good : 0;
}

static void
stats_print(const struct device *d)
{
	const struct nbe_stats *st = &d->snapshot.stats;
	char human[16];

	puts("Disk stats");
	print_table("  ", &counter_fields, &d->snapshot);
	puts("\nConnection stats");
	print_table("  ", &repair_fields, &d->snapshot);
	printf("\n%-8s %10s %8s %8s %9s %9s %9s %9s %9s\n", "Op", "Requests", "Bytes",
	    "Errors", "mean", "p50", "p90", "p99", "p99.9");
	for (unsigned op = 0; op < NBE_OPS; op++) {
		printf("%-8s %10" PRIu64 " %8s %8" PRIu64, nbe_op_name(op),
		    st->op[op].reqs, human_size(human, sizeof(human),
		    st->op[op].bytes), st->op[op].errors);
		printf(" %9s", human_ns(human, sizeof(human), mean_ns(st, op)));
		for (size_t i = 0; i < COUNT_OF(permilles); i++)
			printf(" %9s", human_ns(human, sizeof(human),
			    nbe_latency_ns(st, op, permilles[i])));
		putchar('\n');
	}
}

static void
stats_json(struct json *j, const struct device *d)
{
	const struct nbe_stats *st = &d->snapshot.stats;

	json_text(j, "name", d->name);
	object_json(j, "disk", &counter_fields, &d->snapshot);
	object_json(j, "connection", &repair_fields, &d->snapshot);
	json_open(j, "operations", '{');
	for (unsigned op = 0; op < NBE_OPS; op++) {
		json_open(j, nbe_op_name(op), '{');
		json_number(j, "requests", st->op[op].reqs);
		json_number(j, "bytes", st->op[op].bytes);
		json_number(j, "errors", st->op[op].errors);
		json_number(j, "mean_ns", mean_ns(st, op));
		for (size_t i = 0; i < COUNT_OF(permilles); i++)
			json_number(j, permille_keys[i],
			    nbe_latency_ns(st, op, permilles[i]));
		json_close(j, '}');
	}
	json_close(j, '}');
}

enum exit_status
verb_stats(const struct options *o)
{
	static const struct report r = { stats_print, stats_json };

	return report_one(o, &r);
}
