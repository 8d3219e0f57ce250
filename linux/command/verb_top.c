/*
 * verb_top.c - live rates and latencies.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Rates are the difference of two snapshots, a second apart, by the daemon's own
 * clock.  On a terminal the screen is drawn anew and q ends it; else lines go on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "record.h"
#include "snapshot_fields.h"
#include "terminal.h"

#define ROUND_MS	1000
#define CLEAR		"\033[H\033[2J"
#define NAME_MIN	10

/* What happened to one operation in a round. */
struct rate {
	double		per_second, bytes_per_second;
	uint64_t	mean_ns, p99_ns;
};

/* ---- rates ----------------------------------------------------------------- */

static const struct control_snapshot *
find(const struct devices *d, const struct control_snapshot *s)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->item[i].alive && d->item[i].snapshot.pid == s->pid &&
		    strcmp(d->item[i].name, s->name) == 0)
			return &d->item[i].snapshot;
	return NULL;
}

static void
rate_of(struct rate *r, const struct control_snapshot *from,
    const struct control_snapshot *to, enum nbe_op op)
{
	static struct nbe_stats diff;
	double seconds = (double)(to->now - from->now) / (double)NBE_SECOND;
	uint64_t reqs, good;

	*r = (struct rate){ 0 };
	reqs = to->stats.op[op].reqs - from->stats.op[op].reqs;
	good = reqs - (to->stats.op[op].errors - from->stats.op[op].errors);
	if (seconds <= 0 || good == 0)
		return;
	r->per_second = (double)reqs / seconds;
	r->bytes_per_second = (double)(to->stats.op[op].bytes -
	    from->stats.op[op].bytes) / seconds;
	r->mean_ns = (to->stats.op[op].latency_sum_ns -
	    from->stats.op[op].latency_sum_ns) / good;
	for (unsigned i = 0; i < NBE_LATENCY_BUCKETS; i++)
		diff.op[op].latency[i] = to->stats.op[op].latency[i] -
		    from->stats.op[op].latency[i];
	r->p99_ns = nbe_latency_ns(&diff, op, 990);
}

/* ---- columns --------------------------------------------------------------- */

struct column {
	const char	*label;
	int		width;		/* below 0: flush left */
	unsigned	rank;		/* the highest go first where room is short */
	enum nbe_op	op;		/* whose rate get gets */
	void		(*get)(char *buf, size_t, const struct control_snapshot *,
			    const struct rate *);
};

static void
get_state(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)r;
	snprintf(buf, size, "%s", snapshot_state(s));
}

static void
get_conns(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)r;
	snprintf(buf, size, "%" PRIu32 "/%" PRIu32, s->stats.conns_up,
	    s->stats.conns_wanted);
}

/* Its number, as in show, where there are several. */
static void
get_server(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)r;
	buf[0] = '\0';
	if (s->paths > 1)
		snprintf(buf, size, "%u", snapshot_path(s));
}

static void
get_queue(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)r;
	snprintf(buf, size, "%" PRIu32, s->stats.queued + s->stats.active);
}

static void
get_per_second(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)s;
	snprintf(buf, size, "%.0f", r->per_second);
}

static void
get_bytes(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)s;
	human_size(buf, size, (uint64_t)r->bytes_per_second);
}

static void
get_mean(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)s;
	human_ns(buf, size, r->mean_ns);
}

static void
get_p99(char *buf, size_t size, const struct control_snapshot *s,
    const struct rate *r)
{
	(void)s;
	human_ns(buf, size, r->p99_ns);
}

/* Behind the name, which takes what is left. */
static const struct column columns[] = {
	{ "State", -12, 0, NBE_READ, get_state },
	{ "Conns", 5, 0, NBE_READ, get_conns },
	{ "Server", 6, 2, NBE_READ, get_server },
	{ "Queue", 5, 1, NBE_READ, get_queue },
	{ "read/s", 7, 0, NBE_READ, get_per_second },
	{ "B/s", 6, 0, NBE_READ, get_bytes },
	{ "mean", 8, 3, NBE_READ, get_mean },
	{ "p99", 8, 0, NBE_READ, get_p99 },
	{ "write/s", 7, 0, NBE_WRITE, get_per_second },
	{ "B/s", 6, 0, NBE_WRITE, get_bytes },
	{ "mean", 8, 3, NBE_WRITE, get_mean },
	{ "p99", 8, 0, NBE_WRITE, get_p99 },
	{ "flush/s", 7, 2, NBE_FLUSH, get_per_second },
};
#define RANK_MAX	3u

/* What fits on the screen. */
struct layout {
	unsigned	rank;		/* of the columns that stay, at most */
	int		name;		/* width */
};

static int
width_of(unsigned rank)
{
	int width = 0;

	for (size_t i = 0; i < COUNT_OF(columns); i++)
		if (columns[i].rank <= rank)
			width += 1 + abs(columns[i].width);
	return width;
}

/* room: columns of the terminal; 0: there is none. */
static struct layout
lay_out(unsigned room, const struct devices *d)
{
	struct layout l = { .rank = RANK_MAX, .name = NAME_MIN };

	for (size_t i = 0; i < d->count; i++)
		if ((int)strlen(d->item[i].name) > l.name)
			l.name = (int)strlen(d->item[i].name);
	if (room == 0)
		return l;
	while (l.rank > 0 && NAME_MIN + width_of(l.rank) > (int)room)
		l.rank--;
	if (l.name + width_of(l.rank) > (int)room)
		l.name = (int)room - width_of(l.rank);
	if (l.name < NAME_MIN)
		l.name = NAME_MIN;
	return l;
}

static void
print_head(const struct layout *l)
{
	printf("%-*s", l->name, "Name");
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		if (columns[i].rank <= l->rank)
			printf(" %*s", columns[i].width, columns[i].label);
	putchar('\n');
}

static void
print_line(const struct layout *l, const struct control_snapshot *from,
    const struct control_snapshot *to)
{
	char text[32];
	struct rate r;

	printf("%-*.*s", l->name, l->name, to->name);
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		const struct column *c = &columns[i];

		if (c->rank > l->rank)
			continue;
		rate_of(&r, from, to, c->op);
		c->get(text, sizeof(text), to, &r);
		printf(" %*s", c->width, text);
	}
	putchar('\n');
}

/* ---- what is shown --------------------------------------------------------- */

static void
line_json(struct json *j, const struct control_snapshot *from,
    const struct control_snapshot *to)
{
	struct rate r;

	json_open(j, NULL, '{');
	json_text(j, "name", to->name);
	json_text(j, "state", snapshot_state(to));
	json_number(j, "server", snapshot_path(to));
	json_number(j, "outstanding", to->stats.queued + to->stats.active);
	for (unsigned op = 0; op < NBE_OPS; op++) {
		rate_of(&r, from, to, op);
		json_open(j, nbe_op_name(op), '{');
		json_real(j, "per_second", r.per_second);
		json_real(j, "bytes_per_second", r.bytes_per_second);
		json_number(j, "mean_ns", r.mean_ns);
		json_number(j, "p99_ns", r.p99_ns);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void
show_json(const struct devices *from, const struct devices *to)
{
	struct json j;

	json_start(&j, stdout, true);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < to->count; i++) {
		const struct control_snapshot *s = &to->item[i].snapshot;
		const struct control_snapshot *before = find(from, s);

		if (to->item[i].alive && before != NULL)
			line_json(&j, before, s);
	}
	json_close(&j, ']');
	json_finish(&j);
}

/* On a terminal the screen is drawn anew. */
static void
show_lines(const struct devices *from, const struct devices *to)
{
	unsigned room = terminal_columns();
	struct layout layout = lay_out(room, to);

	if (room != 0)
		fputs(CLEAR, stdout);
	print_head(&layout);
	for (size_t i = 0; i < to->count; i++) {
		const struct control_snapshot *s = &to->item[i].snapshot;
		const struct control_snapshot *before = find(from, s);

		if (to->item[i].alive && before != NULL)
			print_line(&layout, before, s);
	}
}

static enum exit_status
watch(const struct options *o)
{
	struct devices before, now;
	bool failed;

	if (!devices_get(&before, o))
		return EXIT_FAILED;
	failed = before.failed;
	for (unsigned i = 0; !failed && (o->rounds == 0 || i < o->rounds); i++) {
		if (terminal_wait(ROUND_MS))
			break;
		if (!devices_get(&now, o)) {
			failed = true;
			break;
		}
		if (o->json)
			show_json(&before, &now);
		else
			show_lines(&before, &now);
		fflush(stdout);
		devices_free(&before);
		before = now;
		failed = before.failed || ferror(stdout);
	}
	devices_free(&before);
	return failed ? EXIT_FAILED : EXIT_OK;
}

enum exit_status
verb_top(const struct options *o)
{
	enum exit_status status;

	terminal_open();
	status = watch(o);
	terminal_close();
	return status;
}
