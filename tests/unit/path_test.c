/*
 * path_test.c - several servers of one disk: which one, and how it is left.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "harness.h"
#include "test.h"

#define PATH_TIME	(5 * NBE_SECOND)
#define FENCE		(10 * NBE_SECOND)

static struct rig *
start(unsigned paths, enum nbe_fence_by fence_by, enum nbe_unflushed unflushed)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.paths = (uint8_t)paths;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.fence_by = fence_by;
	g->cfg.fence = FENCE;
	g->cfg.unflushed = unflushed;
	g->cfg.keep_size = 16 * 512;
	g->cfg.keep_records = 16;
	rig_start(g);
	return g;
}

static struct nbe_path
path(const struct rig *g, unsigned i)
{
	struct nbe_path p;

	nbe_path(g->dev, i, &p);
	return p;
}

static struct nbe_stats
stats(const struct rig *g)
{
	struct nbe_stats st;

	nbe_stats(g->dev, &st);
	return st;
}

static bool
dials(const struct rig *g, unsigned conn, unsigned to)
{
	return rig_opens(g, conn) && nbe_conn_path(g->dev, conn) == to;
}

/* Path 0 is lost, for longer than its time, and path 1 is up. */
static void
fail_over(struct rig *g)
{
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
}

/* Path 1 is lost likewise, and path 0 is up again. */
static void
fall_back(struct rig *g)
{
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
}

static struct io *
put(struct rig *g, unsigned block)
{
	return rig_submit(g, NBE_WRITE, 512 * block, 512, 0);
}

static struct io *
get(struct rig *g, unsigned block)
{
	return rig_submit(g, NBE_READ, 512 * block, 512, 0);
}

/* Acknowledged by the present server, and not flushed. */
static void
written(struct rig *g, unsigned block)
{
	struct io *o = put(g, block);

	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK));
}

/* What is done now, after all that can be sent is answered. */
static bool
goes(struct rig *g, const struct io *o)
{
	rig_serve(g, 0);
	return io_ended(o, NBE_OK);
}

/* ---- which one ----------------------------------------------------------- */

static void
test_the_next_path_after_the_path_time(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	rig_down(g, 0);
	rig_wait(g, PATH_TIME - 1);
	CHECK(dials(g, 0, 0) && path(g, 0).state == NBE_PATH_ACTIVE);
	rig_down(g, 0);
	CHECK(nbe_wake(g->dev, g->now) == g->now + 1);
	rig_wait(g, 1);
	CHECK(dials(g, 0, 1) && path(g, 1).tried);
	CHECK(path(g, 0).state == NBE_PATH_FAILED && path(g, 0).since == g->now);
	CHECK(path(g, 0).why == NBE_WHY_CLOSED);
	CHECK(path(g, 1).state == NBE_PATH_STANDBY);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(path(g, 1).state == NBE_PATH_ACTIVE && !path(g, 1).tried);
	CHECK(stats(g).failovers == 1 && stats(g).moves == 0);
	rig_end(g);
}

static void
test_it_comes_back_in_time(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o;

	rig_down(g, 0);
	rig_wait(g, PATH_TIME - 1);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
	o = get(g, 0);
	CHECK(goes(g, o));
	rig_wait(g, PATH_TIME);
	CHECK(g->work.open == 0 && stats(g).failovers == 0);
	rig_down(g, 0);			/* its time begins anew */
	rig_wait(g, PATH_TIME - 1);
	CHECK(nbe_conn_path(g->dev, 0) == 0);
	rig_end(g);
}

/* A server that has said nothing for a time-out has used up so much of its time. */
static void
test_a_silent_server_is_left_soon(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->cfg.paths = 2;
	g->cfg.path_timeout = g->cfg.timeout = PATH_TIME;
	rig_start(g);
	get(g, 0);
	rig_send(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(rig_closing(g, 0));
	rig_close(g, 0);
	rig_wait(g, 0);
	CHECK(dials(g, 0, 1));
	rig_end(g);
}

/* One after the other, and then a pause, which grows. */
static void
test_a_list_of_dead_servers_is_quiet(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	nbe_time begun;
	unsigned n = 0;

	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	begun = g->now;
	while (g->now < begun + 600 * NBE_SECOND) {
		for (; g->work.open != 0; n++)
			rig_down(g, 0);
		rig_wait(g, nbe_wake(g->dev, g->now) - g->now);
	}
	CHECK(n > 3 * 40 && n < 3 * 80);	/* 8 to 12 s, at last */
	CHECK(path(g, 0).state == NBE_PATH_FAILED &&
	    path(g, 2).state == NBE_PATH_FAILED);
	rig_end(g);
}

/* Servers that shake hands and break are no better. */
static void
test_a_circle_of_servers_that_break_is_quiet(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	nbe_time begun = g->now;
	unsigned n = 0;

	get(g, 0);
	rig_down(g, 0);
	while (g->now < begun + 600 * NBE_SECOND) {
		for (; g->work.open != 0; n++) {
			rig_up(g, 0);
			rig_send(g, 0);
			rig_down(g, 0);
		}
		rig_wait(g, nbe_wake(g->dev, g->now) - g->now);
	}
	CHECK(n < 3 * 100);
	rig_end(g);
}

/* A dial that hangs has the path time; what comes of it later is not taken. */
static void
test_a_dial_that_hangs(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	rig_down(g, 0);
	rig_wait(g, PATH_TIME - 1);
	CHECK(dials(g, 0, 0));
	rig_wait(g, 1);
	CHECK(g->work.open == 0 && rig_closing(g, 0));
	CHECK(nbe_conn_path(g->dev, 0) == 0);
	rig_wait(g, 60 * NBE_SECOND);	/* the next one's time has not begun */
	CHECK(rig_up(g, 0) == NBE_WHY_OTHER_PATH);
	CHECK(dials(g, 0, 1) && path(g, 1).state == NBE_PATH_STANDBY);
	rig_wait(g, PATH_TIME);
	CHECK(rig_closing(g, 0));
	CHECK(path(g, 1).state == NBE_PATH_FAILED &&
	    path(g, 1).why == NBE_WHY_TIMEOUT);
	rig_down(g, 0);
	CHECK(dials(g, 0, 2) && rig_up(g, 0) == NBE_WHY_NONE);
	rig_end(g);
}

static void
test_what_contradicts_the_device_is_passed_over(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	g->exp.size -= 512;
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_SHRANK);
	g->exp.size += 512;
	CHECK(path(g, 1).state == NBE_PATH_FAILED && path(g, 1).why == NBE_WHY_SHRANK);
	CHECK(dials(g, 0, 2) && rig_up(g, 0) == NBE_WHY_NONE);
	rig_end(g);
}

/* One connection looks; when it has found a server, the others come. */
static void
test_other_connections_follow(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.conns = g->cfg.conns_max = 3;
	rig_start(g);
	rig_up(g, 1);
	CHECK(dials(g, 2, 0));
	rig_down(g, 0);
	rig_wait(g, 2 * PATH_TIME);	/* one is there */
	CHECK(dials(g, 0, 0));
	rig_down(g, 1);
	rig_wait(g, PATH_TIME);
	CHECK(g->work.open == 0 && g->work.close == 5);
	rig_down(g, 2);
	CHECK(g->work.open == 0 && g->work.close == 1);
	rig_down(g, 0);
	CHECK(g->work.open == 1 && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(g->work.open == 6 && nbe_conn_path(g->dev, 2) == 1);
	rig_end(g);
}

static void
test_the_first_path_need_not_be_number_0(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);

	g->cfg.paths = 2;
	g->cfg.path = 1;
	g->cfg.path_timeout = PATH_TIME;
	rig_start(g);
	CHECK(path(g, 1).state == NBE_PATH_ACTIVE && nbe_conn_path(g->dev, 0) == 1);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 0));
	rig_end(g);
}

static void
test_a_stop_while_no_path_is_found(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 0);

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	nbe_stop(g->dev, true, g->now);
	rig_work(g);
	CHECK(dials(g, 0, 1) && !g->work.stopped);
	nbe_stop(g->dev, false, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_ESHUTDOWN) && g->work.stopped);
	rig_end(g);
}

/* ---- by time ------------------------------------------------------------- */

/* Nothing was unflushed: what waits is what overlaps a write in flight. */
static void
test_in_flight(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer, *other;

	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	other = put(g, 2);
	rig_wait(g, 60 * NBE_SECOND);		/* nobody has answered yet */
	CHECK(goes(g, lost) && io_ended(other, NBE_OK) && !newer->done);
	CHECK(path(g, 0).fencing);
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer));
	rig_wait(g, 1);
	CHECK(goes(g, newer) && !path(g, 0).fencing);
	rig_end(g);
}

/* Without records all changes wait, also what is sent again; reads do not. */
static void
test_unflushed_without_records(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *lost, *newer, *flush;

	written(g, 5);
	lost = put(g, 1);
	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 9);
	CHECK(goes(g, get(g, 5)) && !lost->done && !newer->done);
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(flush, NBE_EIO));
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer) && !lost->done);
	rig_wait(g, 1);
	CHECK(goes(g, newer) && io_ended(lost, NBE_OK));
	rig_end(g);
}

static void
test_flushed_is_safe(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	written(g, 5);
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	fail_over(g);
	CHECK(goes(g, put(g, 5)) && !path(g, 0).fencing);
	rig_end(g);
}

/* With records it is known what is to be written again; others pass. */
static void
test_unflushed_with_records(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_REPLAY);
	struct io *newer, *read, *flush;
	struct command c;

	written(g, 5);
	fail_over(g);
	newer = put(g, 5);
	read = get(g, 5);
	flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	CHECK(goes(g, get(g, 6)) && goes(g, put(g, 7)));
	rig_wait(g, FENCE - 1);
	CHECK(goes(g, put(g, 8)));
	CHECK(!newer->done && !read->done && !flush->done);
	rig_wait(g, 1);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_WRITE && c.off == 5 * 512);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);		/* nothing moves before it is done */
	rig_answer(g, 0, &c, 0);
	CHECK(goes(g, newer) && io_ended(read, NBE_OK) && io_ended(flush, NBE_OK));
	CHECK(stats(g).replayed == 1);		/* not those of the new path */
	rig_end(g);
}

/* What is sent again waits for the replay below it. */
static void
test_lost_parts_over_records(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_REPLAY);
	struct io *over, *read, *other;

	written(g, 5);
	over = put(g, 5);
	read = get(g, 5);
	other = put(g, 6);
	rig_send(g, 0);
	fail_over(g);
	CHECK(goes(g, other) && !over->done && !read->done);
	rig_wait(g, FENCE);
	CHECK(goes(g, over) && io_ended(read, NBE_OK));
	rig_end(g);
}

/* A flush that stands for FUA promises no less than another one. */
static void
test_fua_by_a_flush_waits_for_the_replay(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FUA;
	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 16 * 512;
	g->cfg.keep_records = 16;
	rig_start(g);
	written(g, 5);
	fail_over(g);
	o = rig_submit(g, NBE_WRITE, 512 * 6, 512, NBE_FUA);
	CHECK(!goes(g, o) && stats(g).kept_bytes == 512);
	rig_wait(g, FENCE);
	CHECK(goes(g, o) && stats(g).replayed == 1);
	rig_end(g);
}

/* A write of which a part was answered: the old path may have that in its cache. */
static void
test_answered_in_part(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = rig_submit(g, NBE_WRITE, 0, 2 * 65536, 0), *newer;
	struct command c = rig_command(g, 0);

	rig_answer(g, 0, &c, 0);
	(void)rig_take(g, 0);
	fail_over(g);
	newer = put(g, 0);
	CHECK(goes(g, o) && !newer->done);
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* The same, where the rest of it was not sent yet. */
static void
test_answered_in_part_and_not_sent(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o, *newer;
	struct command c;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.depth = 1;
	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 2 * 65536, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);
	fail_over(g);
	newer = put(g, 0);
	CHECK(goes(g, o) && !newer->done);
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* A change that failed may have been done in part, or be done late. */
static void
test_failed_changes(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_REPLAY);
	struct io *o = put(g, 0);
	struct command c = rig_command(g, 0);

	rig_answer(g, 0, &c, WIRE_EIO);
	CHECK(io_ended(o, NBE_EIO));
	fail_over(g);
	o = put(g, 0);
	CHECK(!goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o));
	rig_end(g);
}

static void
test_aborted_changes(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 0);
	struct command c = rig_command(g, 0);

	nbe_abort(g->dev, &o->r, g->now);
	rig_work(g);
	CHECK(io_ended(o, NBE_EABORTED));
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));	/* sent before: */
	rig_answer(g, 0, &c, 0);				/* does not cover it */
	fail_over(g);
	o = put(g, 7);
	CHECK(!goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o));
	rig_end(g);
}

/* One that was sent before the change failed does not cover it. */
static void
test_a_flush_that_was_sent_before(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct command change, flush;
	struct io *o;

	put(g, 0);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	change = rig_command(g, 0);
	flush = rig_take(g, 0);
	rig_answer(g, 0, &change, WIRE_EIO);
	rig_answer(g, 0, &flush, 0);
	fail_over(g);
	o = put(g, 0);
	CHECK(!goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o));
	rig_end(g);
}

static void
test_a_flush_covers_what_failed(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct command c;

	put(g, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_EIO);
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	fail_over(g);
	CHECK(goes(g, put(g, 0)));
	rig_end(g);
}

/* A lost write that the old path did late, after the last flush, is in its cache. */
static void
test_late_copies_are_cached(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(goes(g, o) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	rig_wait(g, FENCE);
	fail_over(g);
	newer = put(g, 1);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* Its time was running already: on another path it begins anew. */
static void
test_late_copies_have_all_the_time(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(goes(g, o) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	fail_over(g);
	newer = put(g, 1);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer));
	rig_wait(g, 1);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* It runs out while no server is found. */
static void
test_late_copies_while_no_path_is_found(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(goes(g, o) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	newer = put(g, 1);			/* waits for the fence */
	rig_wait(g, NBE_SECOND);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 1));
	rig_wait(g, FENCE - NBE_SECOND - PATH_TIME);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* Back on the path that has it in its cache, nothing of that is feared. */
static void
test_back_where_it_is_cached(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);

	written(g, 5);
	fail_over(g);
	CHECK(!goes(g, put(g, 6)));
	CHECK(goes(g, rig_submit(g, NBE_READ, 0, 512, 0)));
	nbe_fenced(g->dev, 0, false, g->now);
	rig_serve(g, 0);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);	/* tells; path 1 has nothing */
	rig_serve(g, 0);
	fall_back(g);
	CHECK(goes(g, put(g, 7)));
	rig_end(g);
}

/* The flush on another path did not cover it: when the path is left again, it
 * counts. */
static void
test_cached_since_an_earlier_visit(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *newer;

	written(g, 5);
	fail_over(g);
	rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	fall_back(g);
	CHECK(goes(g, get(g, 0)));
	fail_over(g);
	newer = put(g, 5);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* Lost parts and the replay keep their slots, and so does the question that tells when
 * they may go. */
static void
test_what_passes_leaves_room(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *over[2], *other[2];
	struct command c;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.conns = g->cfg.conns_max = 2;
	g->cfg.depth = 1;
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 16 * 512;
	g->cfg.keep_records = 16;
	rig_start(g);
	rig_up(g, 1);
	written(g, 5);
	over[0] = put(g, 5);
	over[1] = put(g, 5);
	rig_send(g, 0);
	rig_send(g, 1);
	rig_down(g, 1);
	fail_over(g);
	rig_up(g, 1);
	put(g, 7);			/* beside what is to be replayed */
	rig_send(g, 0);
	if (rig_count(g, 0) != 0) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, WIRE_EIO);
	}
	other[0] = put(g, 6);
	other[1] = put(g, 8);
	rig_send(g, 0);
	rig_send(g, 1);
	rig_down(g, 1);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
	for (unsigned i = 0; i < 4; i++) {
		rig_serve(g, 0);
		rig_wait(g, FENCE);
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK(io_ended(over[i], NBE_OK) && io_ended(other[i], NBE_OK));
	rig_end(g);
}

/* The path that was left is taken again: its own answer counts, and what it has cached
 * is in order with what comes. */
static void
test_back_before_the_fence(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *lost, *newer;

	written(g, 5);
	lost = put(g, 1);
	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	rig_serve(g, 0);
	CHECK(!lost->done);
	fall_back(g);
	CHECK(!goes(g, lost));		/* still dirty: path 1 may have something */
	rig_wait(g, FENCE);
	CHECK(goes(g, lost) && goes(g, newer));
	rig_end(g);
}

/* Also if the other one has answered meanwhile: the server that is back is not dead,
 * and held what was lost for as long as it slept. */
static void
test_back_after_another_answer(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer;

	rig_send(g, 0);
	fail_over(g);
	CHECK(goes(g, lost) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	newer = put(g, 1);
	rig_work(g);
	fall_back(g);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer));
	rig_wait(g, 1);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* ---- by command ---------------------------------------------------------- */

static void
test_by_command(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(g->work.fence == 0);		/* it is left when another one is up */
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(g->work.fence == 1);
	newer = put(g, 1);
	CHECK(goes(g, lost));
	rig_wait(g, 3600 * NBE_SECOND);		/* no answer of path 1 is a proof */
	CHECK(!goes(g, newer) && g->work.fence == 1);
	nbe_fenced(g->dev, 0, false, g->now);
	rig_work(g);
	CHECK(g->work.fence == 0 && !goes(g, newer) && path(g, 0).fencing);
	CHECK(nbe_wake(g->dev, g->now) == g->now + g->cfg.backoff_max);
	rig_wait(g, g->cfg.backoff_max);
	CHECK(g->work.fence == 1);
	nbe_fenced(g->dev, 0, true, g->now);
	rig_work(g);
	CHECK(g->work.fence == 0 && goes(g, newer) && !path(g, 0).fencing);
	rig_end(g);
}

/* Also what was not proven yet when the path was left: another one proves nothing. */
static void
test_no_answer_is_a_proof_of_a_late_copy(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(goes(g, o) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	fail_over(g);
	newer = put(g, 1);
	CHECK(goes(g, put(g, 2)));
	rig_wait(g, 3 * FENCE);
	CHECK(!goes(g, newer));
	nbe_fenced(g->dev, 0, true, g->now);
	rig_work(g);
	CHECK(goes(g, newer));
	rig_end(g);
}

static void
test_no_answer_of_another_path_is_a_proof(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer;

	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	CHECK(goes(g, lost) && goes(g, get(g, 0)));
	for (unsigned i = 0; i < 3; i++) {
		rig_wait(g, FENCE);
		CHECK(!goes(g, newer));
	}
	rig_end(g);
}

/* The proof is for what the path had when it was asked for. */
static void
test_a_proof_is_no_proof_of_what_came_later(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	CHECK(goes(g, o) && g->work.fence == 1);
	nbe_fenced(g->dev, 1, true, g->now);	/* nobody asked */
	rig_work(g);
	CHECK(!goes(g, newer) && goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	o = put(g, 2);
	rig_send(g, 0);
	rig_down(g, 0);				/* now path 1 is lost, too */
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 1));		/* path 0 is just being ended */
	rig_down(g, 0);
	nbe_fenced(g->dev, 0, true, g->now);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(dials(g, 0, 1));
	rig_down(g, 0);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, newer) && g->work.fence == 2);
	newer = put(g, 2);
	CHECK(!goes(g, newer));
	nbe_fenced(g->dev, 1, true, g->now);
	rig_work(g);
	CHECK(goes(g, newer) && io_ended(o, NBE_OK));
	rig_end(g);
}

/* A path that comes back by itself need not be ended: as with one server. */
static void
test_back_without_a_command(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *o = put(g, 1), *newer;

	rig_send(g, 0);
	fail_over(g);
	CHECK(g->work.fence == 1);
	newer = put(g, 1);
	CHECK(goes(g, o));
	nbe_fenced(g->dev, 0, false, g->now);
	fall_back(g);
	CHECK((g->work.fence & 1) == 0);
	nbe_fenced(g->dev, 1, true, g->now);	/* path 1 had the write, too */
	rig_work(g);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* While the user's program ends a server, the device does not go there. */
static void
test_no_way_to_a_server_that_is_being_ended(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);

	written(g, 5);
	fail_over(g);
	CHECK(g->work.fence == 1);
	nbe_move(g->dev, 0, g->now);
	rig_work(g);
	CHECK(g->work.probe == 0);
	rig_down(g, 0);
	CHECK(nbe_conn_path(g->dev, 0) == 1);
	nbe_move(g->dev, 0, g->now);
	rig_work(g);
	CHECK(nbe_conn_path(g->dev, 0) == 1);
	rig_end(g);
}

/* More losses than there is room for, also of what is not waited for. */
static void
test_many_losses(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *newer, *lost = NULL;

	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 16; k++)
			put(g, 100 * i + k);
		rig_send(g, 0);
		rig_down(g, 0);
		rig_wait(g, 3 * NBE_SECOND / 2);
		CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
		rig_serve(g, 0);
		CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	}
	written(g, 600);
	for (unsigned k = 0; k < 16; k++)
		lost = put(g, 500 + k);
	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 215);
	CHECK(!goes(g, newer) && !lost->done);	/* 600 may be in a cache */
	nbe_fenced(g->dev, 0, true, g->now);
	rig_work(g);
	CHECK(goes(g, newer));
	rig_end(g);
}

static void
test_the_replay_waits_for_the_command(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_REPLAY);
	struct io *newer;

	written(g, 5);
	fail_over(g);
	newer = put(g, 5);
	rig_wait(g, 3600 * NBE_SECOND);
	CHECK(goes(g, put(g, 6)) && !newer->done && stats(g).replayed == 0);
	nbe_fenced(g->dev, 0, true, g->now);
	rig_work(g);
	CHECK(goes(g, newer) && stats(g).replayed == 1);
	rig_end(g);
}

/* ---- in the place of another device ------------------------------------------ */

static struct rig *
start_anew(unsigned paths, enum nbe_fence_by fence_by, uint32_t old_paths)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.paths = (uint8_t)paths;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.fence_by = fence_by;
	g->cfg.old_paths = old_paths;
	g->cfg.inherit = old_paths != 0;
	rig_start(g);
	return g;
}

/* What the one before had under way may be anywhere: changes wait, reads do not. */
static void
test_after_another_device(void)
{
	struct rig *g = start_anew(0, NBE_FENCE_TIME, 1);
	struct io *o = put(g, 1);

	CHECK(nbe_old_writes(g->dev, 0));
	rig_wait(g, 3 * FENCE);			/* nobody has answered yet */
	CHECK(goes(g, get(g, 7)) && !o->done);
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, o));
	rig_wait(g, 1);
	CHECK(goes(g, o) && nbe_old_paths(g->dev) == 1);
	rig_end(g);
}

/* What it had sent has not even left: no answer says anything about that. */
static void
test_what_is_still_underway(void)
{
	struct rig *g = start_anew(0, NBE_FENCE_TIME, 1);
	struct io *o = put(g, 1);

	nbe_underway(g->dev, 0, true);
	CHECK(goes(g, get(g, 7)));
	rig_wait(g, 10 * FENCE);
	nbe_stirred(g->dev, 0, g->now);
	CHECK(!goes(g, o) && nbe_old_writes(g->dev, 0));
	nbe_underway(g->dev, 0, false);
	rig_wait(g, 2 * FENCE);			/* nobody has answered since */
	CHECK(!o->done && goes(g, get(g, 7)) && !goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o) && !nbe_old_writes(g->dev, 0));
	rig_end(g);
}

/* Nor does the answer of another path; but what is ended is ended. */
static void
test_underway_to_another_path(void)
{
	struct rig *g = start_anew(2, NBE_FENCE_TIME, 1);
	struct io *o = put(g, 1);

	nbe_underway(g->dev, 0, true);
	fail_over(g);
	CHECK(goes(g, get(g, 7)));
	rig_wait(g, 10 * FENCE);
	CHECK(!goes(g, o));
	nbe_underway(g->dev, 0, false);
	CHECK(goes(g, get(g, 7)) && !goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o));
	rig_end(g);

	g = start_anew(2, NBE_FENCE_COMMAND, 2);
	o = put(g, 1);
	nbe_underway(g->dev, 1, true);
	nbe_fenced(g->dev, 1, true, g->now);
	nbe_underway(g->dev, 1, false);
	rig_work(g);
	CHECK(goes(g, o));
	rig_end(g);
}

/* Without a request it asks by itself; and what was not flushed then is in the end. */
static void
test_after_another_device_idle(void)
{
	struct rig *g = start_anew(0, NBE_FENCE_TIME, 1);

	CHECK(rig_command(g, 0).type == CMD_READ && stats(g).dirty);
	rig_end(g);
	g = start_anew(0, NBE_FENCE_TIME, 0);
	CHECK(goes(g, put(g, 1)) && !nbe_old_writes(g->dev, 0));
	rig_end(g);
}

/* The present path's answer is no proof of the other one's, and its time is none where
 * that is to be ended by command. */
static void
test_after_another_device_by_command(void)
{
	struct rig *g = start_anew(3, NBE_FENCE_COMMAND, 2);
	struct io *o = put(g, 1);

	CHECK(nbe_old_paths(g->dev) == 3 && g->work.fence == 2);
	CHECK(!goes(g, o));
	rig_wait(g, 10 * FENCE);
	CHECK(!goes(g, o));
	nbe_fenced(g->dev, 1, true, g->now);
	rig_work(g);
	CHECK(goes(g, o) && nbe_old_paths(g->dev) == 1);
	rig_end(g);
}

static void
test_after_another_device_by_time(void)
{
	struct rig *g = start_anew(2, NBE_FENCE_TIME, 3);
	struct io *o = put(g, 1);

	CHECK(!goes(g, o));
	rig_wait(g, FENCE - 1);
	fail_over(g);				/* path 1 has its own old commands */
	CHECK(!goes(g, o));
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, o));
	rig_wait(g, 1);
	CHECK(goes(g, o));
	rig_end(g);
}

/* There are no records of what the one before had acknowledged. */
static void
test_a_restart_after_another_device(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->cfg.old_paths = 1;
	g->cfg.inherit = true;
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 16 * 512;
	g->cfg.keep_records = 16;
	rig_start(g);
	CHECK(goes(g, get(g, 0)));
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	o = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_EIO));
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	rig_end(g);
}

/* It is left with a flush, for the other server does not see what is in its cache. */
static void
test_a_move_after_another_device(void)
{
	struct rig *g = start_anew(2, NBE_FENCE_TIME, 1);
	struct command c;

	CHECK(goes(g, get(g, 0)));
	rig_wait(g, FENCE);
	nbe_move(g->dev, 1, g->now);
	rig_work(g);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_end(g);
}

/* ---- by the store -------------------------------------------------------- */

/* Nothing waits; the first change may take as long as the store needs. */
static void
test_by_the_store(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *lost, *newer;
	struct command c;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.fence_by = NBE_FENCE_STORE;
	g->cfg.timeout = 2 * NBE_SECOND;
	g->cfg.dead_timeout = 4 * NBE_SECOND + PATH_TIME;
	rig_start(g);
	written(g, 5);
	lost = put(g, 1);
	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_WRITE && rig_count(g, 0) == 1);
	rig_wait(g, 2 * NBE_SECOND + FENCE - 1);
	CHECK(g->work.close == 0 && !lost->done);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(lost, NBE_OK));
	rig_wait(g, 2 * NBE_SECOND);		/* from now on as always */
	CHECK(rig_closing(g, 0) && !newer->done);
	rig_end(g);
}

/* No change was done on the other path, so the store has shut out nobody. */
static void
test_back_before_the_store_was_changed(void)
{
	struct rig *g = start(2, NBE_FENCE_STORE, NBE_UNFLUSHED_FAIL);
	struct io *lost, *newer;

	written(g, 5);
	lost = put(g, 1);
	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 2);
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, put(g, 9)) && !newer->done);
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer));
	rig_wait(g, 1);
	CHECK(goes(g, newer) && io_ended(lost, NBE_OK));
	rig_end(g);
}

/* Nor for who comes after this device; nothing else is known of that path. */
static void
test_what_sleeps_is_left(void)
{
	struct rig *g = start(2, NBE_FENCE_STORE, NBE_UNFLUSHED_FAIL);

	written(g, 5);
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	put(g, 1);
	rig_send(g, 0);
	fail_over(g);
	CHECK(nbe_old_paths(g->dev) == 3);
	rig_end(g);
}

/* Nor has time. */
static void
test_back_from_where_nothing_was_changed(void)
{
	struct rig *g = start(2, NBE_FENCE_STORE, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer;

	rig_send(g, 0);
	rig_down(g, 0);
	CHECK(!lost->done);
	nbe_abort(g->dev, &lost->r, g->now);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, get(g, 0)));
	rig_wait(g, 2 * FENCE);			/* no change was done here */
	CHECK(goes(g, get(g, 0)));
	fall_back(g);
	newer = put(g, 1);
	CHECK(!goes(g, newer));
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* A server that has never written may be waiting for its turn: that is left to time. */
static void
test_a_server_that_never_wrote(void)
{
	struct rig *g = start(2, NBE_FENCE_STORE, NBE_UNFLUSHED_FAIL);
	struct io *lost = put(g, 1), *newer;

	rig_send(g, 0);
	fail_over(g);
	newer = put(g, 1);
	CHECK(goes(g, lost) && !newer->done);
	rig_wait(g, FENCE);
	CHECK(goes(g, newer));
	rig_end(g);
}

static void
test_the_store_and_a_replay(void)
{
	struct rig *g = start(2, NBE_FENCE_STORE, NBE_UNFLUSHED_REPLAY);

	written(g, 5);
	fail_over(g);
	CHECK(rig_command(g, 0).off == 5 * 512);
	rig_end(g);
}

/* ---- in order ------------------------------------------------------------ */

static void
disc(struct rig *g, enum nbe_why why)
{
	struct command c = rig_command(g, 0);

	CHECK(c.type == CMD_DISC && nbe_conn_in_order(g->dev, 0));
	CHECK(rig_closing(g, 0) && nbe_conn_why(g->dev, 0) == why);
	rig_close(g, 0);
}

static void
test_move(void)
{
	struct rig *g = start(3, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *busy, *later;
	struct command c;

	written(g, 5);
	busy = put(g, 1);
	c = rig_command(g, 0);
	nbe_move(g->dev, 2, g->now);
	rig_work(g);
	CHECK(g->work.probe == 4 && path(g, 2).moving);
	CHECK(goes(g, get(g, 0)));		/* meanwhile all goes on */
	nbe_probed(g->dev, 2, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(g->work.probe == 0);
	later = put(g, 2);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	rig_answer(g, 0, &c, 0);
	CHECK(io_ended(busy, NBE_OK));
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, 0);
	disc(g, NBE_WHY_MOVED);
	CHECK(path(g, 0).state == NBE_PATH_STANDBY && path(g, 0).why == NBE_WHY_MOVED);
	CHECK(dials(g, 0, 2) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, later) && g->work.fence == 0 && !path(g, 2).moving);
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	CHECK(stats(g).moves == 1 && stats(g).failovers == 0 && stats(g).restarts == 0);
	rig_end(g);
}

/* A part that the old server did before, of a change that is not done, is flushed. */
static void
test_a_move_with_half_a_change(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.depth = 2;
	rig_start(g);
	o = rig_submit(g, NBE_WRITE, 0, 3 * 65536, 0);
	rig_send(g, 0);			/* all but the last part */
	CHECK(rig_count(g, 0) == 2);
	nbe_move(g->dev, 1, g->now);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	while (rig_count(g, 0) != 0) {
		c = rig_take(g, 0);
		rig_answer(g, 0, &c, 0);
	}
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH && !o->done);
	rig_answer(g, 0, &c, 0);
	disc(g, NBE_WHY_MOVED);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, o));
	rig_end(g);
}

/* A device that stops has flushed already; and it opens nothing any more. */
static void
test_a_stop_during_a_move(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct command c;

	put(g, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_EIO);
	nbe_stop(g->dev, true, g->now);
	nbe_move(g->dev, 1, g->now);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	disc(g, NBE_WHY_STOPPED);
	CHECK(g->work.stopped && g->work.open == 0);
	rig_end(g);
}

/* Where nobody answers, nothing is left. */
static void
test_a_move_to_where_nobody_is(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	nbe_move(g->dev, 1, g->now);
	rig_work(g);
	nbe_probed(g->dev, 1, NBE_WHY_CLOSED, g->now);
	rig_work(g);
	CHECK(g->work.probe == 0 && !path(g, 1).moving);
	CHECK(path(g, 1).state == NBE_PATH_FAILED && path(g, 1).why == NBE_WHY_CLOSED);
	CHECK(goes(g, put(g, 0)) && stats(g).conns_lost == 0);
	rig_end(g);
}

static void
test_a_move_without_a_flush_does_not_take_place(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_IGNORE);
	struct command c;

	written(g, 5);
	nbe_move(g->dev, 1, g->now);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, WIRE_EIO);
	CHECK(path(g, 1).why == NBE_WHY_UNFLUSHED && !path(g, 1).moving);
	CHECK(goes(g, put(g, 0)) && path(g, 0).state == NBE_PATH_ACTIVE);
	rig_end(g);
}

/* What was lost over one of two connections, and may still land, comes first. */
static void
test_a_move_waits_for_old_writes(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o;

	g->cfg.paths = 2;
	g->cfg.conns = g->cfg.conns_max = 2;
	g->cfg.path_timeout = PATH_TIME;
	rig_start(g);
	rig_up(g, 1);
	CHECK(goes(g, get(g, 0)));
	o = put(g, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	nbe_move(g->dev, 1, g->now);
	rig_work(g);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	rig_serve(g, 1);
	CHECK(io_ended(o, NBE_OK) && !rig_closing(g, 1));
	CHECK(nbe_wake(g->dev, g->now) <= g->now + FENCE);
	o = get(g, 0);
	rig_serve(g, 1);
	CHECK(io_ended(o, NBE_OK));
	rig_wait(g, FENCE);
	rig_serve(g, 1);			/* a flush, and DISC */
	CHECK(rig_closing(g, 1) && nbe_conn_why(g->dev, 1) == NBE_WHY_MOVED);
	rig_end(g);
}

static void
test_a_move_without_a_connection(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	rig_down(g, 0);
	nbe_move(g->dev, 2, g->now);
	rig_work(g);
	CHECK(dials(g, 0, 2) && g->work.probe == 0);
	rig_end(g);
}

/* The path is lost while the new one is dialed: then that one is tried first. */
static void
test_a_loss_during_a_move(void)
{
	struct rig *g = start(3, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);

	nbe_move(g->dev, 2, g->now);
	rig_work(g);
	rig_down(g, 0);
	CHECK(dials(g, 0, 2) && g->work.probe == 0);
	rig_down(g, 0);
	CHECK(dials(g, 0, 0));
	rig_end(g);
}

/* A server that says that it shuts down, and goes on to answer. */
static void
test_shutdown_in_order(void)
{
	struct rig *g = start(2, NBE_FENCE_COMMAND, NBE_UNFLUSHED_FAIL);
	struct io *o, *newer;
	struct command c;

	written(g, 5);
	o = put(g, 1);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	CHECK(!o->done);
	newer = put(g, 1);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, 0);
	disc(g, NBE_WHY_SERVER_SHUTDOWN);
	CHECK(path(g, 0).why == NBE_WHY_SERVER_SHUTDOWN);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);	/* at once */
	CHECK(goes(g, o) && io_ended(newer, NBE_OK) && g->work.fence == 0);
	CHECK(goes(g, rig_submit(g, NBE_FLUSH, 0, 0, 0)));
	CHECK(stats(g).failovers == 1 && stats(g).restarts == 0);
	rig_end(g);
}

/* A flush that was lost waits to be sent again, and takes nobody's slot. */
static void
test_shutdown_and_a_lost_flush(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;
	struct io *o;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.compare = true;
	g->cfg.depth = 1;
	rig_start(g);
	written(g, 5);
	o = get(g, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	CHECK(rig_command(g, 0).type == CMD_FLUSH);
	rig_down(g, 0);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE)));
	nbe_compared(g->dev, g->work.compare, true);
	rig_work(g);
	CHECK(goes(g, o));
	rig_end(g);
}

/* In the middle of a replay no flush is sent, and none is waited for. */
static void
test_shutdown_during_a_replay(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_REPLAY);
	struct command c;
	struct io *o;

	for (unsigned i = 0; i < 7; i++)
		written(g, i);
	put(g, 7);			/* the keep buffer is half full: */
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);	/* the device flushes */
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_WRITE);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	while (rig_count(g, 0) != 0) {
		c = rig_take(g, 0);
		if (c.type != CMD_DISC)
			rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	}
	if (c.type != CMD_DISC)
		c = rig_command(g, 0);
	CHECK(c.type == CMD_DISC);
	rig_close(g, 0);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	o = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	CHECK(!goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o) && stats(g).kept_bytes == 0);
	rig_end(g);
}

/* What was lost before may still be done late, in order or not. */
static void
test_shutdown_after_a_loss(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *newer;
	struct command c;

	put(g, 1);
	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	rig_serve(g, 0);
	rig_wait(g, FENCE / 2);
	get(g, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, 0);
	disc(g, NBE_WHY_SERVER_SHUTDOWN);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	newer = put(g, 1);
	CHECK(goes(g, put(g, 2)) && !newer->done);
	rig_wait(g, FENCE - 1);
	CHECK(!goes(g, newer));
	rig_wait(g, 1);
	CHECK(goes(g, newer));
	rig_end(g);
}

/* It answers nothing else any more: then it is as with any loss. */
static void
test_shutdown_without_a_flush(void)
{
	struct rig *g = start(2, NBE_FENCE_TIME, NBE_UNFLUSHED_FAIL);
	struct io *o;
	struct command c;

	written(g, 5);
	o = get(g, 1);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	c = rig_command(g, 0);
	CHECK(c.type == CMD_FLUSH);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	disc(g, NBE_WHY_SERVER_SHUTDOWN);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, o) && path(g, 0).fencing);
	o = put(g, 7);
	CHECK(!goes(g, o));
	rig_wait(g, FENCE);
	CHECK(goes(g, o));
	o = rig_submit(g, NBE_FLUSH, 0, 0, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_EIO));
	rig_end(g);
}

/* All slots are in use by what it refuses: there is one for the flush. */
static void
test_shutdown_under_load(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o[4];
	struct command c[4];

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.depth = 4;
	rig_start(g);
	written(g, 9);
	for (unsigned i = 0; i < 4; i++)
		o[i] = put(g, i);
	rig_send(g, 0);
	for (unsigned i = 0; i < 4; i++)
		c[i] = rig_take(g, 0);
	for (unsigned i = 0; i < 4; i++)
		rig_answer(g, 0, &c[i], WIRE_ESHUTDOWN);
	c[0] = rig_command(g, 0);
	CHECK(c[0].type == CMD_FLUSH);
	rig_answer(g, 0, &c[0], 0);
	disc(g, NBE_WHY_SERVER_SHUTDOWN);
	CHECK(rig_up(g, 0) == NBE_WHY_NONE);
	for (unsigned i = 0; i < 4; i++)
		CHECK(goes(g, o[i]));
	rig_end(g);
}

/* ---- failback ------------------------------------------------------------ */

static struct rig *
start_failback(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.failback = 100 * NBE_SECOND;
	rig_start(g);
	return g;
}

static void
back(struct rig *g)
{
	rig_wait(g, nbe_wake(g->dev, g->now) - g->now);
	CHECK(g->work.probe == 1);
	nbe_probed(g->dev, 0, NBE_WHY_NONE, g->now);
	rig_work(g);
	rig_serve(g, 0);
	rig_close(g, 0);
	CHECK(dials(g, 0, 0) && rig_up(g, 0) == NBE_WHY_NONE);
}

/* After a while, if it answers; and each time later. */
static void
test_failback(void)
{
	struct rig *g = start_failback();
	nbe_time begun;

	fail_over(g);
	begun = g->now;
	rig_wait(g, 100 * NBE_SECOND);
	CHECK(g->work.probe == 1);
	nbe_probed(g->dev, 0, NBE_WHY_CLOSED, g->now);
	rig_work(g);
	CHECK(g->work.probe == 0);
	back(g);
	CHECK(g->now == begun + 200 * NBE_SECOND && stats(g).moves == 1);
	CHECK(goes(g, get(g, 0)));
	fail_over(g);
	begun = g->now;
	back(g);
	CHECK(g->now == begun + 200 * NBE_SECOND && stats(g).moves == 2);
	rig_end(g);
}

/* Who goes there by hand wants to be there. */
static void
test_no_failback_after_a_move_by_hand(void)
{
	struct rig *g = start_failback();

	nbe_move(g->dev, 1, g->now);
	nbe_probed(g->dev, 1, NBE_WHY_NONE, g->now);
	rig_work(g);
	rig_serve(g, 0);
	rig_close(g, 0);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(goes(g, get(g, 0)));
	nbe_move(g->dev, 0, g->now);		/* and, as it turns out, stays */
	nbe_probed(g->dev, 0, NBE_WHY_CLOSED, g->now);
	CHECK(nbe_wake(g->dev, g->now) == NBE_NEVER);
	rig_end(g);
}

/* ---- the same disk ------------------------------------------------------- */

static struct rig *
start_compare(unsigned paths)
{
	struct rig *g = rig_new(NBE_STRUCTURED);

	g->cfg.paths = (uint8_t)paths;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.compare = true;
	g->cfg.depth = 2;
	rig_start(g);
	CHECK(g->work.compare == 0);
	return g;
}

/* Nothing is sent before, not even what was lost; what compares overtakes. */
static void
test_nothing_before_it_is_compared(void)
{
	struct rig *g = start_compare(1);
	struct io *lost[2], *waits, *look;

	lost[0] = rig_submit(g, NBE_WRITE, 0, 512, NBE_BARRIER);
	rig_send(g, 0);
	lost[1] = put(g, 1);
	waits = get(g, 2);
	rig_down(g, 0);
	CHECK(g->work.compare == 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(g->work.compare != 0);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 0);
	look = rig_submit(g, NBE_READ, 4096, 512, NBE_COMPARE);
	CHECK(goes(g, look) && !lost[0]->done && !lost[1]->done && !waits->done);
	nbe_compared(g->dev, g->work.compare + 1, true);
	rig_work(g);
	CHECK(!goes(g, lost[0]));
	nbe_compared(g->dev, g->work.compare, true);
	rig_work(g);
	CHECK(g->work.compare == 0 && goes(g, lost[0]));
	CHECK(goes(g, lost[1]) && goes(g, waits));
	rig_end(g);
}

/* Also where no path was up before; and whatever comes back to the queue meanwhile. */
static void
test_the_first_one_is_another_path(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct io *o, *look;

	g->cfg.paths = 2;
	g->cfg.path_timeout = PATH_TIME;
	g->cfg.compare = true;
	rig_start_down(g);
	rig_wait(g, 2 * NBE_SECOND);
	o = put(g, 0);
	CHECK(rig_opens(g, 0));
	rig_down(g, 0);
	rig_wait(g, PATH_TIME);
	CHECK(dials(g, 0, 1) && rig_up(g, 0) == NBE_WHY_NONE);
	CHECK(g->work.compare != 0 && !goes(g, o));
	look = rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
	CHECK(goes(g, look) && !o->done);
	rig_end(g);
}

/* What is still to be done before the end is done on the right disk only. */
static void
test_a_stop_while_it_is_compared(void)
{
	struct rig *g = start_compare(1);
	struct io *o, *look;

	o = put(g, 0);
	rig_send(g, 0);
	rig_down(g, 0);
	nbe_stop(g->dev, true, g->now);
	rig_wait(g, 2 * NBE_SECOND);
	CHECK(rig_opens(g, 0) && rig_up(g, 0) == NBE_WHY_NONE);
	look = rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
	CHECK(goes(g, look) && !o->done);
	nbe_compared(g->dev, g->work.compare, true);
	rig_work(g);
	CHECK(goes(g, o));
	rig_serve(g, 0);
	rig_close(g, 0);
	CHECK(g->work.stopped);
	nbe_stop(g->dev, false, g->now);
	look = rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
	CHECK(io_ended(look, NBE_ESHUTDOWN));
	rig_end(g);
}

static void
test_a_lost_comparison_begins_anew(void)
{
	struct rig *g = start_compare(1);
	uint32_t compare;
	struct io *o;

	put(g, 0);
	put(g, 1);			/* all slots but those for this */
	rig_send(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	compare = g->work.compare;
	o = rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
	rig_send(g, 0);
	CHECK(rig_count(g, 0) == 1);
	rig_down(g, 0);
	CHECK(io_ended(o, NBE_EIO));
	rig_wait(g, 4 * NBE_SECOND);
	rig_up(g, 0);
	CHECK(g->work.compare != 0 && g->work.compare != compare);
	nbe_compared(g->dev, compare, true);
	rig_work(g);
	CHECK(g->work.compare != 0);
	rig_end(g);
}

static void
test_another_disk(void)
{
	struct rig *g = start_compare(3);

	fail_over(g);
	CHECK(goes(g, rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE)));
	nbe_compared(g->dev, g->work.compare, false);
	rig_work(g);
	CHECK(rig_closing(g, 0) && nbe_conn_why(g->dev, 0) == NBE_WHY_OTHER_DISK);
	rig_close(g, 0);
	CHECK(path(g, 1).state == NBE_PATH_FAILED &&
	    path(g, 1).why == NBE_WHY_OTHER_DISK);
	CHECK(dials(g, 0, 2));
	rig_end(g);
}

/* Strangers that answer are no better than dead servers. */
static void
test_a_circle_of_strangers_is_quiet(void)
{
	struct rig *g = start_compare(2);
	nbe_time begun = g->now;
	unsigned n = 0;

	rig_down(g, 0);
	while (g->now < begun + 600 * NBE_SECOND) {
		for (; g->work.open != 0; n++) {
			rig_up(g, 0);
			rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
			rig_serve(g, 0);
			nbe_compared(g->dev, g->work.compare, false);
			rig_work(g);
			rig_close(g, 0);
		}
		rig_wait(g, nbe_wake(g->dev, g->now) - g->now);
	}
	CHECK(n < 3 * 100);
	rig_end(g);
}

/* A server that shuts down while it is compared is asked for no flush. */
static void
test_shutdown_while_it_is_compared(void)
{
	struct rig *g = start_compare(2);
	struct command c;
	struct io *o;

	written(g, 5);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	o = rig_submit(g, NBE_READ, 0, 512, NBE_COMPARE);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, WIRE_ESHUTDOWN);
	CHECK(io_ended(o, NBE_EIO));
	disc(g, NBE_WHY_SERVER_SHUTDOWN);
	CHECK(dials(g, 0, 1));
	rig_end(g);
}

static const struct test tests[] = {
	TEST(the_next_path_after_the_path_time),
	TEST(it_comes_back_in_time),
	TEST(a_silent_server_is_left_soon),
	TEST(a_list_of_dead_servers_is_quiet),
	TEST(a_circle_of_servers_that_break_is_quiet),
	TEST(a_dial_that_hangs),
	TEST(what_contradicts_the_device_is_passed_over),
	TEST(other_connections_follow),
	TEST(the_first_path_need_not_be_number_0),
	TEST(a_stop_while_no_path_is_found),
	TEST(in_flight),
	TEST(unflushed_without_records),
	TEST(flushed_is_safe),
	TEST(unflushed_with_records),
	TEST(lost_parts_over_records),
	TEST(fua_by_a_flush_waits_for_the_replay),
	TEST(answered_in_part),
	TEST(answered_in_part_and_not_sent),
	TEST(failed_changes),
	TEST(aborted_changes),
	TEST(a_flush_that_was_sent_before),
	TEST(a_flush_covers_what_failed),
	TEST(late_copies_are_cached),
	TEST(late_copies_have_all_the_time),
	TEST(late_copies_while_no_path_is_found),
	TEST(back_where_it_is_cached),
	TEST(cached_since_an_earlier_visit),
	TEST(what_passes_leaves_room),
	TEST(back_before_the_fence),
	TEST(back_after_another_answer),
	TEST(by_command),
	TEST(no_answer_is_a_proof_of_a_late_copy),
	TEST(no_answer_of_another_path_is_a_proof),
	TEST(a_proof_is_no_proof_of_what_came_later),
	TEST(back_without_a_command),
	TEST(no_way_to_a_server_that_is_being_ended),
	TEST(many_losses),
	TEST(the_replay_waits_for_the_command),
	TEST(after_another_device),
	TEST(what_is_still_underway),
	TEST(underway_to_another_path),
	TEST(after_another_device_idle),
	TEST(after_another_device_by_command),
	TEST(after_another_device_by_time),
	TEST(a_restart_after_another_device),
	TEST(a_move_after_another_device),
	TEST(by_the_store),
	TEST(back_before_the_store_was_changed),
	TEST(what_sleeps_is_left),
	TEST(back_from_where_nothing_was_changed),
	TEST(a_server_that_never_wrote),
	TEST(the_store_and_a_replay),
	TEST(move),
	TEST(a_move_with_half_a_change),
	TEST(a_stop_during_a_move),
	TEST(a_move_to_where_nobody_is),
	TEST(a_move_without_a_flush_does_not_take_place),
	TEST(a_move_waits_for_old_writes),
	TEST(a_move_without_a_connection),
	TEST(a_loss_during_a_move),
	TEST(shutdown_in_order),
	TEST(shutdown_and_a_lost_flush),
	TEST(shutdown_during_a_replay),
	TEST(shutdown_after_a_loss),
	TEST(shutdown_without_a_flush),
	TEST(shutdown_under_load),
	TEST(failback),
	TEST(no_failback_after_a_move_by_hand),
	TEST(nothing_before_it_is_compared),
	TEST(the_first_one_is_another_path),
	TEST(a_stop_while_it_is_compared),
	TEST(a_lost_comparison_begins_anew),
	TEST(another_disk),
	TEST(a_circle_of_strangers_is_quiet),
	TEST(shutdown_while_it_is_compared),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
