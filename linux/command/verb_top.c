/*
 * verb_top.c - live rates and latencies.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Rates are the difference of two snapshots, a second apart, by the daemon's own
 * clock.  On a terminal the screen is drawn anew and q ends it; else lines go on.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "devices.h"
#include "record.h"
#include "snapshot_fields.h"

#define ROUND_MS	1000
#define CLEAR		"\033[H\033[2J"

struct screen {
	bool		keys;		/* stdin is a terminal */
	bool		draws;		/* stdout is one */
	struct termios	before;
};

/* What happened to one operation in a round. */
struct rate {
	double		per_second, bytes_per_second;
	uint64_t	mean_ns, p99_ns;
};

static volatile sig_atomic_t interrupted;

static void
interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* ---- the terminal ------------------------------------------------------------ */

static void
screen_open(struct screen *s, bool as_json)
{
	const struct sigaction action = { .sa_handler = interrupt };
	struct termios raw;

	s->draws = !as_json && isatty(STDOUT_FILENO);
	s->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->before) == 0;
	/* So that the terminal is put back. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!s->keys)
		return;
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void
screen_close(const struct screen *s)
{
	if (s->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

/* True: the user has enough. */
static bool
screen_wait(const struct screen *s)
{
	struct pollfd key = { .fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN };
	char c = 0;

	if (poll(&key, 1, ROUND_MS) > 0 && read(STDIN_FILENO, &c, 1) <= 0)
		return true;
	return interrupted != 0 || c == 'q';
}

/* ---- rates ------------------------------------------------------------------- */

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

/* ---- what is shown ----------------------------------------------------------- */

static const enum nbe_op shown[] = { NBE_READ, NBE_WRITE };

static void
print_head(void)
{
	printf("%-10s %-12s %5s %5s", "Name", "State", "Conns", "Queue");
	for (size_t i = 0; i < COUNT_OF(shown); i++)
		printf(" | %5.5s/s %6s/s %9s %9s", nbe_op_name(shown[i]), "B", "mean",
		    "p99");
	printf(" | %7s\n", "flush/s");
}

static void
print_line(const struct control_snapshot *from, const struct control_snapshot *to)
{
	char mean[16], p99[16], bytes[16];
	struct rate r;

	printf("%-10s %-12s %2" PRIu32 "/%-2" PRIu32 " %5" PRIu32, to->name,
	    snapshot_state(to), to->stats.conns_up, to->stats.conns_wanted,
	    to->stats.queued + to->stats.active);
	for (size_t i = 0; i < COUNT_OF(shown); i++) {
		rate_of(&r, from, to, shown[i]);
		printf(" | %7.0f %8s %9s %9s", r.per_second,
		    human_size(bytes, sizeof(bytes), (uint64_t)r.bytes_per_second),
		    human_ns(mean, sizeof(mean), r.mean_ns),
		    human_ns(p99, sizeof(p99), r.p99_ns));
	}
	rate_of(&r, from, to, NBE_FLUSH);
	printf(" | %7.0f\n", r.per_second);
}

static void
line_json(struct json *j, const struct control_snapshot *from,
    const struct control_snapshot *to)
{
	struct rate r;

	json_open(j, NULL, '{');
	json_text(j, "name", to->name);
	json_text(j, "state", snapshot_state(to));
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
show(const struct screen *screen, const struct devices *from,
    const struct devices *to, bool as_json)
{
	struct json j;

	if (screen->draws)
		fputs(CLEAR, stdout);
	json_start(&j, stdout, true);
	if (as_json)
		json_open(&j, NULL, '[');
	else
		print_head();
	for (size_t i = 0; i < to->count; i++) {
		const struct control_snapshot *s = &to->item[i].snapshot, *before;

		before = to->item[i].alive ? find(from, s) : NULL;
		if (before == NULL)
			continue;
		if (as_json)
			line_json(&j, before, s);
		else
			print_line(before, s);
	}
	if (as_json) {
		json_close(&j, ']');
		json_finish(&j);
	}
	fflush(stdout);
}

static enum exit_status
watch(const struct screen *screen, const struct options *o)
{
	struct devices before, now;
	bool failed;

	if (!devices_get(&before, o))
		return EXIT_FAILED;
	failed = before.failed;
	for (unsigned i = 0; !failed && (o->rounds == 0 || i < o->rounds); i++) {
		if (screen_wait(screen))
			break;
		if (!devices_get(&now, o)) {
			failed = true;
			break;
		}
		show(screen, &before, &now, o->json);
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
	struct screen screen = { .keys = false };
	enum exit_status status;

	screen_open(&screen, o->json);
	status = watch(&screen, o);
	screen_close(&screen);
	return status;
}
