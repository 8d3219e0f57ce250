/*
 * exhaustive_paths_test.c - every way in which a small story with two servers can go.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One connection, two writes to one place and a read of it, and one loss, with each of
 * the commands that the first server had: done, or to be done later.  That server has a
 * cache, which gets to the store at any time; the second one has none.  The device goes
 * to the second, and the first writes on until it is fenced.  All orders of these
 * events are played, one by one.
 */
#include "choices.h"
#include "harness.h"
#include "test.h"

#define PLACE		5u
#define PATH_TIME	(5 * NBE_SECOND)
#define FENCE		(10 * NBE_SECOND)

enum event {
	SUBMIT, SEND, ANSWER, LOSE, LATE, LAND, WAIT, FENCED, FINISH
};
struct option {
	enum event event;
	unsigned which;		/* LOSE: bit per command that is done; LATE: which */
};

static struct rig *g;
static struct io *io[3];		/* W1, W2, R */
static unsigned submitted;
static uint8_t store, cached, late[4];
static bool dirty;			/* the first server's cache */
static unsigned lates;
static bool second, answered, slept, waited;
static bool w1_first;			/* W1 was done when W2 was submitted */
static uint8_t read_least;
static bool on_second[2];		/* where W1 and W2 were done, at last */

static enum nbe_fence_by fence_by;
static enum nbe_unflushed policy;
static nbe_time fence;
static unsigned long runs, overs;
static bool telling;

/* ---- the servers ------------------------------------------------------------- */

static void
end_first(void)
{
	lates = 0;
	dirty = false;
}

static void
execute(const struct command *c)
{
	if (c->type == CMD_FLUSH && !second && dirty) {
		store = cached;
		dirty = false;
	}
	if (c->type != CMD_WRITE)
		return;
	if (!second) {
		cached = *c->payload;
		dirty = true;
		return;
	}
	if (fence_by == NBE_FENCE_STORE)
		end_first();
	store = *c->payload;
}

static uint8_t
seen(void)
{
	return !second && dirty ? cached : store;
}

static void
answer(void)
{
	struct command c = rig_take(g, 0);
	struct bytes b = { 0 };
	uint8_t v;

	execute(&c);
	answered = second;
	v = seen();
	reply_simple(&b, &c, 0);
	if (c.type == CMD_READ)
		bytes_add(&b, &v, 1);
	rig_reply(g, 0, &b);
	bytes_free(&b);
}

static void
lose(unsigned done)
{
	for (; rig_count(g, 0) != 0; done >>= 1) {
		struct command c = rig_take(g, 0);

		if ((done & 1) != 0)
			execute(&c);
		else if (c.type == CMD_WRITE)
			late[lates++] = *c.payload;
	}
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	second = true;
	CHECK(rig_opens(g, 0) && nbe_conn_path(g->dev, 0) == 1);
	(void)rig_up(g, 0);
	overs++;
}

/* Beyond the fence time, if it runs: by time, what the first server had is out. */
static void
wait(void)
{
	waited = answered;
	slept = true;
	if (answered && fence_by == NBE_FENCE_TIME)
		end_first();
	rig_wait(g, FENCE + NBE_SECOND);
}

/* ---- the client -------------------------------------------------------------- */

static bool
is_done(unsigned i)
{
	return i < submitted && io[i]->done;
}

static void
submit(void)
{
	unsigned i = submitted;
	bool counts[2];

	for (unsigned k = 0; k < 2; k++)
		counts[k] = is_done(k) &&
		    (policy == NBE_UNFLUSHED_REPLAY || on_second[k]);
	if (i == 1)
		w1_first = is_done(0);
	if (i == 2)		/* writes at the same time have no order */
		read_least = counts[1] && w1_first ? 2 : counts[0] || counts[1];
	io[i] = rig_submit(g, i == 2 ? NBE_READ : NBE_WRITE, PLACE, 1, 0);
	if (i != 2)
		io[i]->buf[0] = (uint8_t)(i + 1);
	submitted++;
}

/* ---- what can happen --------------------------------------------------------- */

static unsigned
add(struct option *list, unsigned n, enum event event, unsigned which)
{
	list[n] = (struct option){ event, which };
	return n + 1;
}

static unsigned
of_connection(struct option *list, unsigned n)
{
	if ((g->work.tx & 1) != 0)
		n = add(list, n, SEND, 0);
	if (rig_count(g, 0) != 0)
		n = add(list, n, ANSWER, 0);
	for (unsigned done = 0; !second && done < 1u << rig_count(g, 0); done++)
		n = add(list, n, LOSE, done);
	if (second && fence_by != NBE_FENCE_COMMAND && (answered ? !waited : !slept))
		n = add(list, n, WAIT, 0);
	if (g->work.fence != 0)
		n = add(list, n, FENCED, 0);
	return n;
}

static unsigned
all(struct option *list)
{
	unsigned n = 0;

	if (submitted < 3)
		n = add(list, n, SUBMIT, 0);
	n = of_connection(list, n);
	for (unsigned i = 0; i < lates; i++)
		n = add(list, n, LATE, i);
	if (dirty && second)
		n = add(list, n, LAND, 0);
	if (n == 0 && is_done(0) && is_done(1) && is_done(2))
		n = add(list, n, FINISH, 0);
	return n;
}

static void
happen(const struct option *o)
{
	static const char *const names[] = { "submit", "send", "answer", "lose", "late",
		"land", "wait", "fenced", "finish" };

	if (telling)
		printf("# %s %u; the store has %u, the cache %u%s\n", names[o->event],
		    o->which, store, cached, dirty ? "" : ", clean");
	if (o->event == SUBMIT)
		submit();
	else if (o->event == SEND)
		rig_send(g, 0);
	else if (o->event == ANSWER)
		answer();
	else if (o->event == LOSE)
		lose(o->which);
	else if (o->event == WAIT)
		wait();
	else if (o->event == LATE) {
		cached = late[o->which];
		late[o->which] = late[--lates];
		dirty = true;
	} else if (o->event == LAND) {
		store = cached;
		dirty = false;
	} else if (o->event == FENCED) {
		end_first();
		nbe_fenced(g->dev, 0, true, g->now);
		rig_work(g);
	}
}

/* ---- one run ----------------------------------------------------------------- */

static void
begin(void)
{
	g = rig_new(NBE_SIMPLE);
	g->exp.block_min = 1;
	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.fence_by = fence_by;
	g->cfg.fence = fence;
	g->cfg.unflushed = policy;
	g->cfg.keep_size = 16;
	g->cfg.keep_records = 16;
	rig_start(g);
	submitted = lates = depth = 0;
	store = cached = read_least = 0;
	dirty = second = answered = slept = waited = w1_first = false;
	on_second[0] = on_second[1] = false;
}

/* Under FAIL what the first server had acknowledged may be lost; that is told. */
static bool
went_well(void)
{
	bool must_be_there = policy == NBE_UNFLUSHED_REPLAY || on_second[1];

	for (unsigned i = 0; i < 3; i++)
		if (!io_ended(io[i], NBE_OK))
			return false;
	return io[2]->buf[0] >= read_least &&
	    (!must_be_there || seen() == 2 || (seen() == 1 && !w1_first));
}

static bool
run(void)
{
	struct option list[32];
	enum event last;
	bool ok;

	begin();
	do {
		unsigned n = all(list), i;
		bool before[2] = { is_done(0), is_done(1) };

		if (n == 0) {		/* stuck */
			rig_end(g);
			return false;
		}
		i = choose(n);
		last = list[i].event;
		happen(&list[i]);
		for (unsigned k = 0; k < 2; k++)
			on_second[k] |= second && !before[k] && is_done(k);
	} while (last != FINISH);
	ok = went_well();
	rig_end(g);
	return ok;
}

/* Until one goes wrong, or all went well. */
static bool
run_all(enum nbe_fence_by by, enum nbe_unflushed unflushed, nbe_time fence_time)
{
	bool ok = true;

	fence_by = by;
	policy = unflushed;
	fence = fence_time;
	runs = overs = 0;
	first_run();
	while (ok && (runs == 0 || next_run())) {
		ok = run();
		runs++;
	}
	return ok;
}

static void
all_go_well(enum nbe_fence_by by)
{
	static const enum nbe_unflushed policies[] = { NBE_UNFLUSHED_REPLAY,
		NBE_UNFLUSHED_FAIL };

	for (unsigned i = 0; i < 2; i++) {
		bool ok = run_all(by, policies[i], FENCE);

		telling = !ok;
		if (telling)
			(void)run();
		telling = false;
		CHECK(ok);
		CHECK(overs > 1000);
		printf("# %lu runs, %lu of them on the second server\n", runs, overs);
	}
}

static void
test_by_time(void)
{
	all_go_well(NBE_FENCE_TIME);
}

static void
test_by_command(void)
{
	all_go_well(NBE_FENCE_COMMAND);
}

static void
test_by_the_store(void)
{
	all_go_well(NBE_FENCE_STORE);
}

/* It would have been noticed. */
static void
test_without_a_fence_one_goes_wrong(void)
{
	CHECK(!run_all(NBE_FENCE_TIME, NBE_UNFLUSHED_REPLAY, 0));
	printf("# run %lu\n", runs);
	CHECK(!run_all(NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL, 0));
	printf("# run %lu\n", runs);
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(by_time),
		TEST(by_command),
		TEST(by_the_store),
		TEST(without_a_fence_one_goes_wrong),
	};

	return TEST_MAIN(tests);
}
