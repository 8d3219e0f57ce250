/*
 * exhaustive_test.c - every way in which a small story can go.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Two connections, two writes to one place and a read of it, and one loss at any byte
 * that is sent or answered.  The server may sleep for longer than the fence is; what it
 * had received may be executed at any time until it has been awake for the fence time,
 * or never.  It is awake when it answers what was sent after the loss.  All orders of
 * these events are played, one by one.
 */
#include "choices.h"
#include "harness.h"
#include "test.h"

#define COMMAND_LEN	(LEN_REQUEST + 1)
#define REPLY_LEN	16u
#define LATE_MAX	4u
#define PLACE		5u

enum event {
	SUBMIT, SEND, ANSWER, LATE, UP, WAIT, LOSE, FINISH
};
struct option {
	enum event event;
	unsigned conn, cut;	/* LOSE: bytes that get through; LATE: which */
	bool	 answering;	/* LOSE: they are the server's */
};

static struct rig *g;
static struct io *io[3];		/* W1, W2, R */
static unsigned submitted;
static uint8_t disk, late[LATE_MAX];
static unsigned lates;
static bool lost, slept, waited, down[2];
static bool awake;			/* after the loss */
static unsigned before_loss[2];		/* commands that it has, and had then */
static bool w1_first;		/* W1 was done when W2 was submitted */
static uint8_t read_least;	/* what R must see, or something newer */

static unsigned long runs, cuts;
static nbe_time fence;
static bool telling;			/* the run that failed, once more */

/* ---- the server ---------------------------------------------------------------- */

static void
execute(const struct command *c)
{
	if (c->type == CMD_WRITE)
		disk = *c->payload;
}

/* cut: bytes of the reply that arrive. */
static void
answer(unsigned conn, unsigned cut)
{
	struct command c = rig_take(g, conn);
	struct bytes b = { 0 };

	if (before_loss[conn] != 0)
		before_loss[conn]--;
	else if (lost)
		awake = true;
	execute(&c);
	reply_simple(&b, &c, 0);
	if (c.type == CMD_READ)
		bytes_add(&b, &disk, 1);
	if (cut < b.len)
		b.len = cut;
	rig_reply(g, conn, &b);
	bytes_free(&b);
}

/* What was received in full may still be executed, for a while. */
static void
lose(const struct option *o)
{
	if (o->answering)
		answer(o->conn, o->cut);
	else if (o->cut != 0)
		(void)rig_send_some(g, o->conn, RIG_SEGS, o->cut);
	while (rig_count(g, o->conn) != 0) {
		struct command c = rig_take(g, o->conn);

		if (c.type == CMD_WRITE)
			late[lates++] = *c.payload;
	}
	lost = down[o->conn] = true;
	before_loss[!o->conn] = rig_count(g, !o->conn);
	rig_down(g, o->conn);
}

/* ---- the client ---------------------------------------------------------------- */

static bool
is_done(unsigned i)
{
	return i < submitted && io[i]->done;
}

static void
submit(void)
{
	unsigned i = submitted;

	if (i == 1)
		w1_first = is_done(0);
	if (i == 2)		/* writes at the same time have no order */
		read_least = is_done(1) && w1_first ? 2 : is_done(0) || is_done(1);
	io[i] = rig_submit(g, i == 2 ? NBE_READ : NBE_WRITE, PLACE, 1, 0);
	if (i != 2)
		io[i]->buf[0] = (uint8_t)(i + 1);
	submitted++;
}

/* ---- what can happen ------------------------------------------------------------- */

static unsigned
add(struct option *list, unsigned n, enum event event, unsigned conn, unsigned cut)
{
	list[n] = (struct option){ .event = event, .conn = conn, .cut = cut };
	return n + 1;
}

static unsigned
losses(struct option *list, unsigned n, unsigned conn)
{
	bool sends = (g->work.tx >> conn & 1) != 0;
	unsigned cut;

	n = add(list, n, LOSE, conn, 0);
	for (cut = 1; sends && cut < COMMAND_LEN; cut++)
		n = add(list, n, LOSE, conn, cut);
	for (cut = 1; rig_count(g, conn) != 0 && cut < REPLY_LEN; cut++) {
		n = add(list, n, LOSE, conn, cut);
		list[n - 1].answering = true;
	}
	return n;
}

static unsigned
of_connection(struct option *list, unsigned n, unsigned conn)
{
	if (down[conn])
		return rig_opens(g, conn) ? add(list, n, UP, conn, 0) : n;
	if ((g->work.tx >> conn & 1) != 0)
		n = add(list, n, SEND, conn, 0);
	if (rig_count(g, conn) != 0)
		n = add(list, n, ANSWER, conn, 0);
	return lost ? n : losses(list, n, conn);
}

static unsigned
all(struct option *list)
{
	unsigned n = 0, i;

	if (submitted < 3)
		n = add(list, n, SUBMIT, 0, 0);
	for (i = 0; i < 2; i++)
		n = of_connection(list, n, i);
	for (i = 0; i < lates; i++)
		n = add(list, n, LATE, 0, i);
	if (lost && (awake ? !waited : !slept))
		n = add(list, n, WAIT, 0, 0);
	if (is_done(0) && is_done(1) && is_done(2))
		n = add(list, n, FINISH, 0, 0);
	return n;
}

static void
tell(const struct option *o)
{
	static const char *const names[] = { "submit", "send", "answer", "late", "up",
		"wait", "lose", "finish" };

	printf("# %s %u, %u%s; the disk has %u\n", names[o->event], o->conn, o->cut,
	    o->answering ? " of the answer" : "", disk);
}

static void
happen(const struct option *o)
{
	if (telling)
		tell(o);
	switch (o->event) {
	case SUBMIT:
		submit();
		break;
	case SEND:
		rig_send(g, o->conn);
		break;
	case ANSWER:
		answer(o->conn, UINT32_MAX);
		break;
	case LATE:
		disk = late[o->cut];
		late[o->cut] = late[--lates];
		break;
	case UP:
		down[o->conn] = false;
		(void)rig_up(g, o->conn);
		break;
	case WAIT:	/* awake beyond the fence: nothing lands any more */
		if (awake)
			lates = 0;
		waited = awake;
		slept = !awake;
		rig_wait(g, 11 * NBE_SECOND);
		break;
	case LOSE:
		lose(o);
		cuts++;
		break;
	case FINISH:
		break;
	}
}

/* ---- one run ---------------------------------------------------------------- */

static void
begin(void)
{
	g = rig_new(NBE_SIMPLE);
	g->exp.block_min = 1;
	g->cfg.conns_max = g->cfg.conns = 2;
	g->cfg.unflushed = NBE_UNFLUSHED_IGNORE;
	g->cfg.backoff_max = NBE_SECOND;
	g->cfg.fence = fence;
	rig_start(g);
	(void)rig_up(g, 1);
	submitted = lates = depth = 0;
	disk = 0;
	lost = slept = waited = awake = w1_first = false;
	before_loss[0] = before_loss[1] = 0;
	down[0] = down[1] = false;
}

static bool
went_well(void)
{
	return io_ended(io[0], NBE_OK) && io_ended(io[1], NBE_OK) &&
	    io_ended(io[2], NBE_OK) && io[2]->buf[0] >= read_least &&
	    (disk == 2 || (disk == 1 && !w1_first));
}

static bool
run(void)
{
	struct option list[128];
	enum event last;
	bool ok;

	begin();
	do {
		unsigned n = all(list), i;

		if (n == 0) {		/* stuck */
			rig_end(g);
			return false;
		}
		i = choose(n);
		last = list[i].event;
		happen(&list[i]);
	} while (last != FINISH);
	ok = went_well();
	rig_end(g);
	return ok;
}

/* Until one goes wrong, or all went well. */
static bool
run_all(nbe_time fence_time)
{
	bool ok = true;

	fence = fence_time;
	runs = cuts = 0;
	first_run();
	while (ok && (runs == 0 || next_run())) {
		ok = run();
		runs++;
	}
	return ok;
}

static void
test_two_connections_three_requests_one_loss(void)
{
	bool ok = run_all(10 * NBE_SECOND);

	telling = !ok;
	if (telling)
		(void)run();
	telling = false;
	CHECK(ok);
	CHECK(cuts > 100000);
	printf("# %lu runs, %lu of them with a loss\n", runs, cuts);
}

/* It would have been noticed. */
static void
test_without_a_fence_one_goes_wrong(void)
{
	CHECK(!run_all(0));
	printf("# run %lu\n", runs);
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(two_connections_three_requests_one_loss),
		TEST(without_a_fence_one_goes_wrong),
	};

	return TEST_MAIN(tests);
}
