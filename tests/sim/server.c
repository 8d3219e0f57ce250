/*
 * server.c - servers: replies in any order and shape, and what becomes of commands.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Honest: it does what proto.md says, in the least comfortable way.  Lying: now
 * and then a reply is something else.
 */
#include <string.h>

#include "sim.h"

struct server_conn server_conn[CONNS];
uint64_t server_size;
unsigned long server_restarts;

#define DISK_SIZE	(BLOCKS_MAX * BLOCK)

#define LATE_MAX	512

static struct command late[LATE_MAX];
static unsigned late_count;
static uint64_t parsed;		/* commands so far */
static struct {
	nbe_time asleep_until, away_until;
	nbe_time end_at;	/* it writes no more, for another one has answered */
	nbe_time owner_at;	/* the store will be its own; 0: it does not ask */
	uint64_t lost_number;	/* parsed, when it lost a connection */
	bool owned;		/* the store, since the device came to it */
} server[SERVERS];

/* As the device sees it, or will when it has left the stranger. */
const uint8_t *
server_current(unsigned block)
{
	if (dev->mp.home == plan.stranger)
		return server_durable(block);
	return store_seen_by(dev->mp.home) + block * BLOCK;
}

const uint8_t *
server_durable(unsigned block)
{
	return store_durable() + block * BLOCK;
}

static bool
offers(uint16_t flag)
{
	return (plan.exp.flags & flag) != 0;
}

void
server_init(void)
{
	server_size = plan.exp.size;
	server_restarts = 0;
	parsed = 0;
	for (unsigned i = 0; i < CONNS; i++)
		server_conn[i].server = 0;
	memset(server, 0, sizeof(server));
	for (unsigned i = 0; i < SERVERS; i++)
		server[i].end_at = NBE_NEVER;
	store_init();
}

static void
drop(struct command *c)
{
	free(c->data);
	c->data = NULL;
}

static void
forget(struct server_conn *s)
{
	while (s->count != 0)
		drop(&s->q[--s->count]);
	pipe_clear(&s->wire);
	pipe_clear(&s->up);
	pipe_clear(&s->down);
	s->alive = s->stalled = false;
}

void
server_free(void)
{
	for (unsigned i = 0; i < CONNS; i++)
		forget(&server_conn[i]);
	while (late_count != 0)
		drop(&late[--late_count]);
}

/* ---- doing it --------------------------------------------------------------- */

static void
flush_range(unsigned s, uint64_t off, uint64_t len)
{
	for (uint64_t b = off / BLOCK; b < (off + len) / BLOCK; b++)
		store_write_back(s, (unsigned)b);
}

static void
trim(uint8_t *current, uint64_t off, uint64_t len)
{
	for (uint64_t at = off; at < off + len; at += BLOCK)
		if (!one_in(3))		/* afterwards it may hold anything */
			memset(current + at, one_in(2) ? 0 : 0xDD, BLOCK);
}

static bool
changes(const struct command *c)
{
	return c->cmd == CMD_WRITE || c->cmd == CMD_WRITE_ZEROES || c->cmd == CMD_TRIM;
}

static void
execute(unsigned s, const struct command *c)
{
	uint8_t *current = store_seen_by(s);

	HOLDS("P6", s != plan.stranger || !changes(c), "another disk is changed");
	if (changes(c))
		store_changed(s, c->off, c->len);
	trace("  server %u does command %u, flags %#x, blocks %llu+%llu", s, c->cmd,
	    c->flags, (unsigned long long)c->off / BLOCK,
	    (unsigned long long)c->len / BLOCK);
	switch (c->cmd) {
	case CMD_WRITE:
		memcpy(current + c->off, c->data, c->len);
		break;
	case CMD_WRITE_ZEROES:
		memset(current + c->off, 0, c->len);
		break;
	case CMD_TRIM:
		trim(current, c->off, c->len);
		break;
	case CMD_FLUSH:
		flush_range(s, 0, DISK_SIZE);
		break;
	default:
		break;
	}
	if ((c->flags & CMD_FLAG_FUA) != 0 || !offers(NBE_FLAG_SEND_FLUSH))
		flush_range(s, c->off, c->len);
}

/* ---- saying so ---------------------------------------------------------------- */

static void
say_simple(struct server_conn *s, const struct command *c, uint32_t error)
{
	uint8_t b[16];

	put64(put32(put32(b, MAGIC_SIMPLE_REPLY), error), c->cookie);
	pipe_put(&s->down, b, sizeof(b));
	if (c->cmd == CMD_READ && error == 0)
		pipe_put(&s->down, store_seen_by(s->server) + c->off, c->len);
}

static void
say_chunk(struct server_conn *s, const struct command *c, bool done, uint16_t type,
    const void *fixed, size_t fixed_len, const void *data, size_t len)
{
	uint8_t b[32], *p = b;
	bool ext = plan.exp.framing == NBE_EXTENDED;

	p = put32(p, ext ? MAGIC_EXT_REPLY : MAGIC_STRUCTURED_REPLY);
	p = put16(p, done ? REPLY_FLAG_DONE : 0);
	p = put16(p, type);
	p = put64(p, c->cookie);
	if (ext)
		p = put64(put64(p, c->off), fixed_len + len);
	else
		p = put32(p, (uint32_t)(fixed_len + len));
	pipe_put(&s->down, b, (size_t)(p - b));
	if (fixed_len != 0)
		pipe_put(&s->down, fixed, fixed_len);
	if (len != 0)
		pipe_put(&s->down, data, len);
}

static void
say_error(struct server_conn *s, const struct command *c, uint32_t error)
{
	static const char text[] = "no luck";
	uint8_t b[32];
	uint16_t n = one_in(2) ? 0 : sizeof(text);
	bool where = c->len != 0 && one_in(2);

	put16(put32(b, error), n);
	memcpy(b + 6, text, n);
	if (where)
		put64(b + 6 + n, c->off + below(c->len));
	say_chunk(s, c, true, where ? REPLY_TYPE_ERROR_OFFSET :
	    one_in(4) ? 40000 : REPLY_TYPE_ERROR, b, 6u + n + (where ? 8 : 0), NULL, 0);
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	while (n-- != 0)
		if (*p++ != 0)
			return false;
	return true;
}

/* A read in pieces of random length, in any order, holes where there are zeroes. */
static void
say_read(struct server_conn *s, const struct command *c)
{
	struct { uint64_t off, len; } piece[64];
	const uint8_t *current = store_seen_by(s->server);
	unsigned n = 0, wanted = 1 + (unsigned)below(one_in(8) ? 40 : 6);
	uint64_t at = c->off, end = c->off + c->len;

	for (; at < end && n + 1 < wanted; at += piece[n++].len) {
		piece[n].off = at;
		piece[n].len = 1 + below(end - at < 900 ? end - at : 900);
	}
	if (at < end) {
		piece[n].off = at;
		piece[n++].len = end - at;
	}
	while (n != 0) {
		unsigned k = one_in(2) ? 0 : (unsigned)below(n);
		bool last = n == 1 && !one_in(4);
		uint8_t f[12];

		put32(put64(f, piece[k].off), (uint32_t)piece[k].len);
		if (all_zero(current + piece[k].off, piece[k].len) && one_in(2))
			say_chunk(s, c, last, REPLY_TYPE_OFFSET_HOLE, f, 12, NULL, 0);
		else
			say_chunk(s, c, last, REPLY_TYPE_OFFSET_DATA, f, 8,
			    current + piece[k].off, piece[k].len);
		piece[k] = piece[--n];
		if (n == 0 && !last)
			say_chunk(s, c, true, REPLY_TYPE_NONE, NULL, 0, NULL, 0);
	}
}

static void
say_extents(struct server_conn *s, const struct command *c)
{
	uint8_t b[8 + 16 * 4], *p = b;
	bool ext = plan.exp.framing == NBE_EXTENDED;
	uint32_t n = 1 + (uint32_t)below(4), i;
	uint64_t left = c->len;

	p = put32(p, plan.exp.alloc_context);
	if (ext)
		p += 4;
	for (i = 0; i < n && left != 0; i++) {
		uint64_t len = i + 1 == n && one_in(2) ? left + BLOCK : 1 + below(left);
		uint32_t flags = (uint32_t)below(4);

		p = ext ? put64(put64(p, len), flags) :
		    put32(put32(p, (uint32_t)len), flags);
		left -= len < left ? len : left;
	}
	if (ext)
		put32(b + 4, i);
	say_chunk(s, c, true, ext ? REPLY_TYPE_BLOCK_STATUS_EXT :
	    REPLY_TYPE_BLOCK_STATUS, b, (size_t)(p - b), NULL, 0);
}

static void
say_ok(struct server_conn *s, const struct command *c)
{
	bool structured = plan.exp.framing != NBE_SIMPLE;

	if (structured && c->cmd == CMD_READ)
		say_read(s, c);
	else if (c->cmd == CMD_BLOCK_STATUS)
		say_extents(s, c);
	else if (plan.exp.framing == NBE_EXTENDED || (structured && one_in(2)))
		say_chunk(s, c, true, REPLY_TYPE_NONE, NULL, 0, NULL, 0);
	else
		say_simple(s, c, 0);
}

static void
refuse(struct server_conn *s, const struct command *c, uint32_t error)
{
	bool structured = plan.exp.framing != NBE_SIMPLE;

	if (plan.exp.framing == NBE_EXTENDED ||
	    (structured && (c->cmd == CMD_READ || one_in(2))))
		say_error(s, c, error);
	else
		say_simple(s, c, error);
}

/* ---- lies ----------------------------------------------------------------------- */

static void
lie(struct server_conn *s, const struct command *c)
{
	struct command wrong = *c;
	uint8_t junk[64];
	size_t before = s->down.len;

	switch (below(6)) {
	case 0:				/* another cookie */
		wrong.cookie ^= UINT64_C(1) << below(64);
		say_ok(s, &wrong);
		break;
	case 1:				/* twice */
		say_ok(s, c);
		say_ok(s, c);
		break;
	case 2:				/* another command's reply */
		wrong.cmd = (uint16_t)below(8);
		if (wrong.off + wrong.len <= DISK_SIZE)
			say_ok(s, &wrong);
		break;
	case 3:				/* another place */
		wrong.off += BLOCK * (1 + below(3));
		if (wrong.off + wrong.len <= DISK_SIZE)
			say_ok(s, &wrong);
		break;
	case 4:				/* one bit */
		say_ok(s, c);
		if (s->down.len > before)
			s->down.b[s->down.head + before +
			    below(s->down.len - before)] ^= (uint8_t)(1u << below(8));
		break;
	default:
		for (unsigned i = 0; i < sizeof(junk); i++)
			junk[i] = (uint8_t)rnd();
		pipe_put(&s->down, junk, 1 + below(sizeof(junk)));
	}
}

/* ---- the queue ----------------------------------------------------------- */

static void
check(const struct server_conn *s, const struct command *c)
{
	uint64_t max = plan.exp.payload_max;

	HOLDS("protocol", c->cmd == CMD_DISC || c->off + c->len <= s->size,
	    "command %u beyond the end", c->cmd);
	HOLDS("protocol", (c->cmd != CMD_READ && c->cmd != CMD_WRITE) || c->len <= max,
	    "payload %llu of at most %llu", (unsigned long long)c->len,
	    (unsigned long long)max);
	HOLDS("protocol", ((c->off | c->len) & (plan.exp.block_min - 1)) == 0,
	    "unaligned");
	HOLDS("protocol", (c->cmd == CMD_FLUSH || c->cmd == CMD_DISC) == (c->len == 0),
	    "length %llu", (unsigned long long)c->len);
	HOLDS("protocol", (c->flags & CMD_FLAG_FUA) == 0 || offers(NBE_FLAG_SEND_FUA),
	    "FUA was not offered");
	HOLDS("protocol", (c->flags & CMD_FLAG_FAST_ZERO) == 0 ||
	    offers(NBE_FLAG_SEND_FAST_ZERO), "FAST_ZERO was not offered");
	if (c->cmd == CMD_WRITE && plan.honest)
		oracle_check_write(c->data, c->off, c->len);
}

/* Parse one command off the wire; false: it has not all arrived. */
static bool
parse(struct server_conn *s)
{
	bool ext = plan.exp.framing == NBE_EXTENDED;
	size_t head = ext ? LEN_EXT_REQUEST : LEN_REQUEST;
	struct command *c = &s->q[s->count];
	const uint8_t *p = pipe_peek(&s->up);

	if (s->up.len < head || s->count == 256)
		return false;
	HOLDS("protocol", get32(p) == (ext ? MAGIC_EXT_REQUEST : MAGIC_REQUEST),
	    "request magic %#x", get32(p));
	*c = (struct command){ .flags = get16(p + 4), .cmd = get16(p + 6),
	    .cookie = get64(p + 8), .off = get64(p + 16), .number = ++parsed,
	    .len = ext ? get64(p + 24) : get32(p + 24) };
	HOLDS("protocol", ((c->flags & CMD_FLAG_PAYLOAD_LEN) != 0) ==
	    (ext && c->cmd == CMD_WRITE), "PAYLOAD_LEN");
	if (c->cmd == CMD_WRITE) {
		HOLDS("protocol", c->len <= plan.exp.payload_max, "payload");
		if (s->up.len < head + c->len)
			return false;
		c->data = malloc(c->len);
	}
	pipe_take(&s->up, NULL, head);
	if (c->data != NULL)
		pipe_take(&s->up, c->data, c->len);
	check(s, c);
	s->count++;
	return true;
}

static bool
too_long(const struct command *c)
{
	return c->cmd != CMD_READ && c->cmd != CMD_WRITE && c->len > 48 * BLOCK &&
	    one_in(2);
}

static void
answer(struct server_conn *s, struct command *c)
{
	if (plan.lying && one_in(30))
		lie(s, c);
	else if (plan.shutdowns && one_in(200))
		refuse(s, c, WIRE_ESHUTDOWN);
	else if (too_long(c))
		refuse(s, c, one_in(2) ? WIRE_EOVERFLOW : WIRE_EINVAL);
	else if ((c->flags & CMD_FLAG_FAST_ZERO) != 0 && one_in(2))
		refuse(s, c, WIRE_ENOTSUP);
	else if (plan.error_odds != 0 && !dev->un.replaying &&
	    one_in(plan.error_odds)) {
		if (one_in(2) && c->cmd != CMD_FLUSH)
			execute(s->server, c);	/* done, and yet: error */
		refuse(s, c, one_in(3) ? 4711 : WIRE_EIO);
	} else {
		execute(s->server, c);
		say_ok(s, c);
	}
}

/* What the client's system has in its buffer gets on, some or all of it. */
bool
server_moves(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];
	size_t n = one_in(3) ? below(s->wire.len + 1) : s->wire.len;

	if (!s->alive || s->stalled || n == 0)
		return false;
	pipe_put(&s->up, pipe_peek(&s->wire), n);
	pipe_take(&s->wire, NULL, n);
	return true;
}

/*
 * All of it, with what it has; its system still accepts connections and bytes.  A
 * server that has answered since a loss and falls asleep again within the fence time
 * carries out first what it holds until then: no client could know.
 */
void
server_sleep(unsigned s, nbe_time time)
{
	trace("server %u sleeps for %llu us", s, (unsigned long long)time / US);
	for (unsigned i = 0; i < late_count; i++)
		if (late[i].server == s && late[i].run_at != NBE_NEVER &&
		    (late[i].kept || late[i].run_at <= now + time))
			late[i].run_at = now;
	server_run_late(false);
	if (server[s].end_at != NBE_NEVER && plan.paths > 1)
		server_end(s);
	server[s].asleep_until = now + time;
}

/*
 * Server t has answered.  By time, the others are awake or dead: what one still has
 * when the device has left it is done with within the fence time.
 */
static void
wake_others(unsigned t, const struct command *c)
{
	for (unsigned s = 0; s < plan.paths; s++) {
		if (s == t || server[s].end_at != NBE_NEVER ||
		    server[s].lost_number >= c->number)
			continue;
		if (plan.cfg.fence_by == NBE_FENCE_STORE &&
		    (store_owned_by(s) || server[s].owned))
			continue;	/* the store sees to it */
		if (now < server[s].asleep_until)
			server_end(s);
		else
			server[s].end_at = now + below(plan.fence + 1);
	}
}

/* One by one, each within the fence time: the client hears of each. */
static nbe_time
next_of(unsigned s)
{
	nbe_time last = now;

	for (unsigned i = 0; i < late_count; i++)
		if (late[i].server == s && late[i].kept && late[i].run_at > last &&
		    late[i].run_at != NBE_NEVER)
			last = late[i].run_at;
	return last + below(plan.fence + 1);
}

/* A server that is awake now holds what it had for the fence time at most, or is at
 * it. */
static void
wake_late(unsigned s, const struct command *c)
{
	for (unsigned i = 0; i < late_count; i++)
		if (late[i].run_at == NBE_NEVER && late[i].number < c->number &&
		    late[i].server == s)
			late[i].run_at = late[i].kept ? next_of(s) :
			    now + below(plan.fence + 1);
	if (plan.cfg.fence_by != NBE_FENCE_COMMAND)
		wake_others(s, c);
}

/* To change the store, a server must own it first. */
static bool
waits_for_store(unsigned s, const struct command *c)
{
	if (!changes(c) || store_owned_by(s))
		return false;
	if (server[s].owner_at == 0)
		server[s].owner_at = now + below(plan.fence);
	if (server[s].owner_at > now)
		return true;
	server[s].owner_at = 0;
	server_end(store_owner());
	store_take(s);
	server[s].owned = true;
	return false;
}

/* A lost command: one that waits for the store gets its turn, unless its server was
 * shut out meanwhile. */
static void
execute_late(unsigned s, const struct command *c)
{
	unsigned owner = store_owner();

	if (!changes(c) || store_owned_by(s)) {
		execute(s, c);
	} else if (!server[s].owned) {
		flush_range(owner, 0, DISK_SIZE);
		store_take(s);
		execute(s, c);
		flush_range(s, 0, DISK_SIZE);
		store_take(owner);
	}
}

void
server_step(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];

	if (!s->alive || s->stalled || now < server[s->server].asleep_until)
		return;
	while (parse(s))
		if (s->q[s->count - 1].cmd == CMD_DISC) {
			HOLDS("protocol", s->count == 1 && s->up.len == 0,
			    "DISC is not the last, or came too early");
			s->count--;
			s->alive = false;	/* and closes, which is fine */
			return;
		}
	while (s->count != 0 && !one_in(3)) {
		unsigned k = (unsigned)below(s->count);
		struct command c = s->q[k];

		if (waits_for_store(s->server, &c))
			break;
		s->q[k] = s->q[--s->count];
		answer(s, &c);
		wake_late(s->server, &c);
		drop(&c);
	}
}

/* What the server has in its queue and in its socket: it may carry it out later. */
static void
hold_late(struct server_conn *s)
{
	while (parse(s))
		;
	for (unsigned i = 0; i < s->count; i++) {
		struct command *c = &s->q[i];

		if (!plan.late || one_in(2) || late_count == LATE_MAX)
			continue;
		c->number = parsed;	/* what is parsed from now on is newer */
		c->run_at = NBE_NEVER;
		c->server = s->server;
		late[late_count++] = *c;
		c->data = NULL;
	}
	while (s->count != 0)
		drop(&s->q[--s->count]);
	server[s->server].lost_number = parsed;
}

void
server_cut(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];

	trace("connection %u is cut", conn);
	hold_late(s);
	if (one_in(2)) {
		forget(s);
		return;
	}
	/* what it had said may still arrive, even after a newer connection is up */
	pipe_clear(&s->up);
	s->alive = s->stalled = false;
}

/* The client closes it.  A reset ends what its own system still had to send; without
 * one that arrives whenever it likes. */
void
server_forget(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];

	if (plan.polite && s->alive && s->wire.len != 0) {
		pipe_put(&s->up, pipe_peek(&s->wire), s->wire.len);
		hold_late(s);
		for (unsigned i = 0; i < late_count; i++)
			late[i].number = UINT64_MAX;
	}
	server_cut(conn);
	forget(s);
}

/* The client gives it up as late, and listens to it. */
void
server_left(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];
	unsigned before = late_count;

	if (!s->alive || s->wire.len != 0) {
		server_forget(conn);
		return;
	}
	trace("connection %u is listened to", conn);
	hold_late(s);
	for (unsigned i = before; i < late_count; i++)
		late[i].kept = true;
	forget(s);
}

void
server_died(void)
{
	for (unsigned i = 0; i < late_count; i++) {
		if (!late[i].kept)
			continue;
		late[i].kept = false;
		late[i].run_at = NBE_NEVER;
		late[i].number = parsed;
	}
}

bool
server_flushes(unsigned s)
{
	if (!store_owned_by(s) || !server_reached(s))
		return false;
	flush_range(s, 0, DISK_SIZE);
	return true;
}

/* Whole commands that the server does not have yet, for the dead client's system had
 * not sent them, say, go on their way: somebody has the socket still. */
bool
server_underway(unsigned conn)
{
	struct server_conn *s = &server_conn[conn];
	unsigned there = s->count;

	if (s->up.len + s->wire.len == 0)
		return false;
	trace("what was sent over connection %u is underway", conn);
	pipe_put(&s->up, pipe_peek(&s->wire), s->wire.len);
	pipe_clear(&s->wire);
	while (parse(s))
		;
	while (s->count > there) {
		struct command *c = &s->q[--s->count];

		if (late_count == LATE_MAX) {
			drop(c);
			continue;
		}
		c->number = UINT64_MAX;
		c->run_at = NBE_NEVER;
		c->server = s->server;
		c->underway = true;
		late[late_count++] = *c;
		c->data = NULL;
	}
	return true;
}

void
server_arrives(unsigned s)
{
	trace("what was underway is at server %u", s);
	for (unsigned i = 0; i < late_count; i++)
		if (late[i].underway && late[i].server == s) {
			late[i].underway = false;
			late[i].number = parsed;
		}
}

void
server_gets_nothing(unsigned s)
{
	for (unsigned i = 0; i < late_count;) {
		if (!late[i].underway || late[i].server != s) {
			i++;
			continue;
		}
		drop(&late[i]);
		late[i] = late[--late_count];
	}
}

/* What a cut connection had brought, and the server did not let go of. */
void
server_run_late(bool all)
{
	for (unsigned i = 0; i < late_count;) {
		bool held = late[i].run_at == NBE_NEVER;

		if (!all && (late[i].underway ||
		    now < server[late[i].server].asleep_until ||
		    (held ? !one_in(400) : late[i].run_at > now))) {
			i++;
			continue;
		}
		execute_late(late[i].server, &late[i]);
		if (late[i].kept && !plan.deaf)
			nbe_stirred(dev, late[i].server, now);
		drop(&late[i]);
		late[i] = late[--late_count];
	}
}

static void
cut_all(unsigned s)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (server_conn[i].alive && server_conn[i].server == s)
			server_cut(i);
}

/* Connections are gone, and so is what was not flushed, in part. */
void
server_restart(unsigned s)
{
	const uint8_t *current = store_seen_by(s), *durable = store_durable();

	trace("server %u restarts", s);
	server_restarts++;
	cut_all(s);
	server_gets_nothing(s);
	for (unsigned b = 0; b < BLOCKS_MAX && s != plan.stranger; b++) {
		uint64_t off = b * BLOCK;

		if (memcmp(current + off, durable + off, BLOCK) == 0)
			continue;
		if (one_in(3)) {
			store_write_back(s, b);
		} else {
			store_drop(s, b);
			if (s == dev->mp.home)
				oracle_restarted(b);
		}
	}
	if (plan.honest)
		oracle_durable();
}

/* ---- several servers ----------------------------------------------------- */

bool
server_reached(unsigned s)
{
	return now >= server[s].away_until && now >= server[s].asleep_until;
}

/* It is well, but nobody can tell from here. */
void
server_goes_away(unsigned s, nbe_time time)
{
	trace("server %u is cut off for %llu us", s, (unsigned long long)time / US);
	cut_all(s);
	server[s].away_until = now + time;
}

void
server_returns(unsigned s)
{
	server[s].end_at = NBE_NEVER;
	server[s].owned = store_owned_by(s);
}

/* Of what it has, a part may be done now, and no more later. */
void
server_end(unsigned s)
{
	trace("server %u has ended what it had", s);
	for (unsigned i = 0; i < late_count;) {
		if (late[i].server != s || late[i].underway) {
			i++;
			continue;
		}
		if (one_in(2))
			execute_late(s, &late[i]);
		drop(&late[i]);
		late[i] = late[--late_count];
	}
	store_end(s);
	server[s].end_at = NBE_NEVER;
}

/* Caches get to the store, block by block, when they like. */
void
server_world(void)
{
	for (unsigned s = 0; s < plan.paths; s++) {
		if (server[s].end_at <= now)
			server_end(s);
		if (now >= server[s].asleep_until && one_in(20))
			store_write_back(s, (unsigned)below(BLOCKS_MAX));
	}
}
