/*
 * main.c - runs seeds: a safety phase with faults, then a liveness phase without.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: sim [--seed N | --from N] [--seeds N] [--steps N] [--trace] [--past]
 *            [--polite] [--deaf] [--paths] [--dies] [--control WHICH]
 *
 * --polite and --deaf break a rule of fronts: a lost connection is reset; the engine is
 * told what comes on a late one.
 * --paths has several servers of one disk; with --dies the front dies now and then, and
 * another one goes on.  --control breaks something that this rests on: "no-fence",
 * "in-flight-only", "lying-command"; "no-past", "arrived", "no-doubt", "unkept".
 *
 * In the liveness phase no new faults come, and everything must finish in bounded
 * time; then the device is stopped, and the disk is compared.
 */
#include <stdarg.h>
#include <string.h>

#include "sim.h"

uint64_t sim_seed;
struct plan plan;
nbe_time now;
struct nbe_dev *dev;

static uint64_t state;

uint64_t
rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

uint64_t
below(uint64_t n)
{
	return n == 0 ? 0 : rnd() % n;
}

bool
one_in(unsigned n)
{
	return below(n) == 0;
}

void
violated(const char *promise, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", promise);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nagain: sim --seed %llu\n", (unsigned long long)sim_seed);
	abort();
}

static bool tracing, polite, deaf, several, dies, past;
static enum control control;

void
trace(const char *fmt, ...)
{
	va_list ap;

	if (!tracing)
		return;
	printf("%10llu us  ", (unsigned long long)(now / US));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static uint16_t
pick_export_flags(void)
{
	uint16_t flags = NBE_FLAG_HAS_FLAGS | NBE_FLAG_CAN_MULTI_CONN;

	if (!one_in(6))
		flags |= NBE_FLAG_SEND_FLUSH;
	if (one_in(2))
		flags |= NBE_FLAG_SEND_FUA;
	if (!one_in(4))
		flags |= NBE_FLAG_SEND_TRIM;
	if (!one_in(4))
		flags |= NBE_FLAG_SEND_WRITE_ZEROES;
	if (one_in(2))
		flags |= NBE_FLAG_SEND_FAST_ZERO;
	if (one_in(2))
		flags |= NBE_FLAG_SEND_CACHE;
	return flags;
}

static void
pick_export(struct nbe_export *e)
{
	*e = (struct nbe_export){
		.size = BLOCKS * BLOCK, .block_min = BLOCK, .block_pref = BLOCK,
		.payload_max = BLOCK * (1 + (uint32_t)below(24)),
		.alloc_context = (uint32_t)rnd(),
		.flags = pick_export_flags(),
		.framing = (enum nbe_framing)below(3),
	};
	e->has_alloc = e->framing != NBE_SIMPLE && one_in(2);
}

static void
pick_config(struct nbe_dev_config *c)
{
	uint16_t conns = (uint16_t)(1 + below(CONNS));

	*c = (struct nbe_dev_config){
		.conns_max = conns, .conns = (uint16_t)(1 + below(conns)),
		.depth = (uint16_t)(1 + below(12)),
		.part_max = one_in(2) ? 0 : BLOCK * (1 + (uint32_t)below(8)),
		.timeout = plan.silence ? 30 * MS : NBE_NEVER,
		.dead_timeout = one_in(3) ? 60 * MS : NBE_NEVER,
		.fence = (1 + below(20)) * MS,
		.backoff_min = 100 * US, .backoff_max = 5 * MS,
		.unflushed = (enum nbe_unflushed)below(3),
		.keep_size = BLOCK * (2 + below(200)),
		.keep_records = (uint32_t)(2 + below(60)),
		.seed = rnd(),
	};
}

/* Drawn last, so that runs with one server are what they were. */
static void
pick_paths(void)
{
	struct nbe_dev_config *c = &plan.cfg;

	plan.paths = 2 + (unsigned)below(SERVERS - 1);
	c->paths = (uint8_t)plan.paths;
	c->path_timeout = (1 + below(8)) * MS;
	c->fence_by = (enum nbe_fence_by)below(3);
	c->failback = one_in(4) ? 20 * MS : 0;
	c->compare = one_in(3);
	plan.away_odds = 600;
	plan.move_odds = one_in(2) ? 0 : 900;
	if (c->compare && one_in(2))
		plan.stranger = 1 + (unsigned)below(plan.paths - 1);
	plan.control = control;
	if (control == LYING_COMMAND)
		c->fence_by = NBE_FENCE_COMMAND;
	else if (control != AS_IT_IS)
		c->fence_by = NBE_FENCE_TIME;
	if (control == NO_FENCE)
		c->fence = 0;
}

static void
pick_plan(void)
{
	memset(&plan, 0, sizeof(plan));
	plan.lying = one_in(4);
	plan.honest = !plan.lying;
	plan.silence = plan.lying || one_in(3);
	plan.shutdowns = one_in(5);
	plan.late = !one_in(4);
	plan.cut_odds = one_in(5) ? 0 : 300;
	plan.restart_odds = one_in(2) ? 0 : 1500;
	plan.abort_odds = one_in(3) ? 60 : 0;
	plan.scale_odds = one_in(3) ? 500 : 0;
	plan.error_odds = one_in(3) ? 40 : 0;
	plan.sleep_odds = plan.silence && one_in(2) ? 2500 : 0;
	plan.renew_odds = one_in(3) ? 700 : 0;
	plan.polite = polite;
	plan.deaf = deaf;
	pick_export(&plan.exp);
	pick_config(&plan.cfg);
	plan.fence = plan.cfg.fence;
	plan.paths = 1;
	plan.stranger = SERVERS;
	if (several)
		pick_paths();
	if (dies) {
		plan.die_odds = 900;
		plan.abort_odds = 0;	/* nobody does */
		plan.control = control;
	}
}

static void
settle(void)
{
	unsigned long limit = 400000;

	plan.lying = plan.shutdowns = false;
	while (oracle_live() != 0) {
		HOLDS("P7", limit-- != 0, "%u requests never finish", oracle_live());
		front_step(false);
	}
}

/* True: the engine says that all was flushed. */
static bool
stop(void)
{
	unsigned long limit = 400000;
	bool drain = !one_in(4);

	nbe_stop(dev, drain, now);
	while (!front_stopped) {
		HOLDS("P7", limit-- != 0, "the device never stops");
		front_step(false);
	}
	return drain && !dev->dead && !unflushed_dirty(dev) && !dev->un.lost;
}

static void
run(unsigned long steps)
{
	bool flushed;
	void *mem;

	state = sim_seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
	for (int i = 0; i < 8; i++)
		rnd();
	now = 1000 * MS;
	pick_plan();
	heir_prepare();
	mem = malloc(nbe_dev_size(&plan.cfg));
	dev = nbe_dev_init(mem, &plan.cfg, &plan.exp, now);
	server_init();
	oracle_init();
	front_init();
	heir_init();
	paths_init();
	while (steps-- != 0)
		front_step(true);
	HOLDS("P4", dev->st.restarts == 0 || plan.cut_odds != 0 ||
	    plan.restart_odds != 0 || plan.silence || plan.shutdowns ||
	    plan.error_odds != 0 || plan.cfg.dead_timeout != NBE_NEVER || several ||
	    dies ||
	    !plan.honest, "a restart, and nobody restarted");
	settle();
	plan.error_odds = 0;
	flushed = stop();
	if (plan.honest)
		oracle_durable();
	if (dev->un.replaying)
		oracle_not_replayed();
	server_run_late(true);
	if (plan.paths > 1)
		paths_end();
	if (plan.honest)
		oracle_end(flushed);
	server_free();
	oracle_free();
	front_free();
	heir_free();
	free(mem);
}

static unsigned long
number(const char *s)
{
	char *end;
	unsigned long n = strtoul(s, &end, 0);

	if (*s == '\0' || *end != '\0') {
		fprintf(stderr, "sim: not a number: %s\n", s);
		exit(2);
	}
	return n;
}

static enum control
control_named(const char *name)
{
	static const char *const names[] = { [NO_FENCE] = "no-fence",
		[IN_FLIGHT_ONLY] = "in-flight-only",
		[LYING_COMMAND] = "lying-command", [NO_PAST] = "no-past",
		[NO_DOUBT] = "no-doubt", [UNKEPT] = "unkept",
		[ARRIVED] = "arrived" };

	for (unsigned i = NO_FENCE; i <= ARRIVED; i++)
		if (strcmp(names[i], name) == 0)
			return (enum control)i;
	fprintf(stderr, "sim: no such control: %s\n", name);
	exit(2);
}

/* Seeds that broke a promise once, by an engine or a checker that was wrong.  They
 * tell the same story only as long as the simulator draws the same numbers; what they
 * taught is in the unit tests. */
static void
run_past(unsigned long steps)
{
	static const uint64_t seeds[] = {
		65, 566, 2987, 7658, 20760, 32301, 38166, 52570,
	};

	for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		sim_seed = seeds[i];
		run(steps);
	}
}

static bool
is_switch(const char *arg)
{
	static const struct {
		const char *name;
		bool *is_on;
	} known[] = {
		{ "--trace", &tracing }, { "--polite", &polite }, { "--deaf", &deaf },
		{ "--paths", &several }, { "--past", &past }, { "--dies", &dies },
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(arg, known[i].name) == 0)
			return *known[i].is_on = true;
	return false;
}

int
main(int argc, char **argv)
{
	unsigned long from = 1, count = 200, steps = 6000;

	for (int i = 1; i < argc; i += 2) {
		unsigned long n;

		if (is_switch(argv[i])) {
			i--;
			continue;
		}
		if (strcmp(argv[i], "--control") == 0) {
			control = control_named(i + 1 < argc ? argv[i + 1] : "");
			continue;
		}
		n = i + 1 < argc ? number(argv[i + 1]) : 0;
		if (strcmp(argv[i], "--seed") == 0)
			from = n, count = 1;
		else if (strcmp(argv[i], "--from") == 0)
			from = n;
		else if (strcmp(argv[i], "--seeds") == 0)
			count = n;
		else if (strcmp(argv[i], "--steps") == 0)
			steps = n;
		else
			return 2;
	}
	if (past)
		run_past(steps);
	for (sim_seed = from; sim_seed < from + count; sim_seed++)
		run(steps);
	printf("%lu seeds: %lu requests, %lu of them failed\n", count, done_count,
	    error_count);
	return 0;
}
