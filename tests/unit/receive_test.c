/*
 * receive_test.c - replies of servers that are honest, broken or hostile.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A vector is a server's answer to the same few commands.  Each is received in
 * pieces of every size, direct and read-ahead, with few and many segments; cut at
 * every byte; and with every byte damaged.  "point" in a name is the number in the
 * protocol checklist of docs/protocol.md.
 */
#include "harness.h"
#include "test.h"

/* The commands that every vector answers, in this order. */
enum { READ, WRITE, STATUS, FLUSH, COMMANDS };
#define READ_OFF	1000u
#define READ_LEN	64u
#define STATUS_LEN	100u

struct script {
	struct rig *g;
	struct command c[COMMANDS];
	struct bytes b;
};

struct outcome {
	bool	 closing;
	enum nbe_why why;
	bool	 done[COMMANDS];
	uint8_t	 error[COMMANDS];
	uint8_t	 data[READ_LEN];
	uint32_t extents;
	struct nbe_extent extent[4];
};

struct vector {
	const char *name;
	enum nbe_framing framing;
	void	(*build)(struct script *);
	enum nbe_why why;	/* NONE: the connection lives, and ... */
	enum nbe_err read_error;
	const char *done;	/* ... these are done: any of "rwsf" */
};

static void
script_start(struct script *s, enum nbe_framing framing)
{
	memset(s, 0, sizeof *s);
	s->g = rig_new(framing);
	s->g->exp.block_min = 1;
	rig_start(s->g);
	rig_submit(s->g, NBE_READ, READ_OFF, READ_LEN, 0);
	rig_submit(s->g, NBE_WRITE, 0, 32, 0);
	if (framing != NBE_SIMPLE)
		rig_submit(s->g, NBE_EXTENTS, 0, STATUS_LEN, 0);
	else
		rig_submit(s->g, NBE_TRIM, 0, STATUS_LEN, 0);
	rig_submit(s->g, NBE_FLUSH, 0, 0, 0);
	rig_send(s->g, 0);
	for (unsigned i = 0; i < COMMANDS; i++)
		s->c[i] = rig_take(s->g, 0);
}

static void
script_end(struct script *s)
{
	bytes_free(&s->b);
	rig_end(s->g);
}

static void
look(struct script *s, struct outcome *o)
{
	memset(o, 0, sizeof *o);
	o->closing = rig_closing(s->g, 0);
	o->why = o->closing ? nbe_conn_why(s->g->dev, 0) : NBE_WHY_NONE;
	for (unsigned i = 0; i < COMMANDS; i++) {
		o->done[i] = s->g->io[i]->done;
		o->error[i] = o->done[i] ? s->g->io[i]->r.error : 0;
	}
	if (o->done[READ] && o->error[READ] == NBE_OK)
		memcpy(o->data, s->g->io[READ]->buf, READ_LEN);
	if (o->done[STATUS] && s->g->io[STATUS]->r.op == NBE_EXTENTS) {
		o->extents = s->g->io[STATUS]->r.extents_count;
		for (unsigned i = 0; i < o->extents; i++) {
			o->extent[i].length = s->g->io[STATUS]->extent[i].length;
			o->extent[i].flags = s->g->io[STATUS]->extent[i].flags;
		}
	}
}

/* ---- pieces of replies ---------------------------------------------------------- */

static void
ok(struct script *s, unsigned i)
{
	reply_ok(&s->b, s->g, &s->c[i]);
}

static void
head(struct script *s, unsigned i, uint16_t flags, uint16_t type, uint64_t len)
{
	reply_chunk(&s->b, s->g, &s->c[i], flags, type, len);
}

static void
data(struct script *s, uint16_t flags, uint64_t off, uint64_t len)
{
	reply_data(&s->b, s->g, &s->c[READ], flags, READ_OFF + off, len);
}

static void
hole(struct script *s, uint16_t flags, uint64_t off, uint32_t len)
{
	reply_hole(&s->b, s->g, &s->c[READ], flags, READ_OFF + off, len);
}

static void
end(struct script *s, unsigned i)
{
	reply_none(&s->b, s->g, &s->c[i]);
}

static void
error_offset(struct script *s, uint16_t flags, uint64_t off, const char *message)
{
	size_t len = strlen(message);

	head(s, READ, flags, REPLY_TYPE_ERROR_OFFSET, 14 + len);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, (uint16_t)len);
	bytes_add(&s->b, message, len);
	add64(&s->b, off);
}

/* A status chunk's head and context; descriptors follow. */
static void
status(struct script *s, uint32_t context, uint32_t extents)
{
	bool ext = s->g->exp.framing == NBE_EXTENDED;

	head(s, STATUS, REPLY_FLAG_DONE, ext ? REPLY_TYPE_BLOCK_STATUS_EXT :
	    REPLY_TYPE_BLOCK_STATUS, ext ? 8 + 16 * extents : 4 + 8 * extents);
	add32(&s->b, context);
	if (ext)
		add32(&s->b, extents);
}

static void
extent(struct script *s, uint64_t len, uint32_t flags)
{
	if (s->g->exp.framing == NBE_EXTENDED) {
		add64(&s->b, len);
		add32(&s->b, 0);
	} else {
		add32(&s->b, (uint32_t)len);
	}
	add32(&s->b, flags);
}

/* ---- honest servers ------------------------------------------------------ */

static void
in_order(struct script *s)
{
	for (unsigned i = 0; i < COMMANDS; i++)
		ok(s, i);
}

static void
backwards(struct script *s)
{
	for (unsigned i = COMMANDS; i-- != 0;)
		ok(s, i);
}

static void
simple_error(struct script *s)
{
	reply_simple(&s->b, &s->c[READ], WIRE_EIO);
	ok(s, WRITE);
}

static void
pieces_any_order(struct script *s)
{
	data(s, 0, 40, 24);
	data(s, 0, 0, 10);
	hole(s, 0, 20, 20);
	data(s, REPLY_FLAG_DONE, 10, 10);
}

/* Runs that close gaps between others, some of them not the last. */
static void
pieces_close_gaps(struct script *s)
{
	data(s, 0, 0, 8);
	data(s, 0, 16, 8);
	data(s, 0, 32, 8);
	data(s, 0, 48, 8);
	hole(s, 0, 8, 8);
	data(s, 0, 24, 8);
	data(s, 0, 56, 8);
	data(s, REPLY_FLAG_DONE, 40, 8);
}

static void
pieces_then_done(struct script *s)
{
	hole(s, 0, 0, 20);
	data(s, 0, 20, 44);
	end(s, READ);
}

static void
interleaved(struct script *s)
{
	data(s, 0, 0, 32);
	ok(s, WRITE);
	status(s, CONTEXT_ID, 1);
	extent(s, STATUS_LEN, 0);
	data(s, 0, 32, 16);
	ok(s, FLUSH);
	data(s, REPLY_FLAG_DONE, 48, 16);
}

static void
all_hole(struct script *s)
{
	hole(s, REPLY_FLAG_DONE, 0, READ_LEN);
}

static void
simple_for_others(struct script *s)
{
	reply_simple(&s->b, &s->c[WRITE], 0);
	reply_simple(&s->b, &s->c[FLUSH], 0);
	ok(s, READ);
}

static void
error_with_text(struct script *s)
{
	data(s, 0, 0, 10);
	reply_error(&s->b, s->g, &s->c[READ], 0, WIRE_EIO, "bad sector");
	reply_error(&s->b, s->g, &s->c[READ], 0, WIRE_ENOMEM, "");
	end(s, READ);
	ok(s, WRITE);
}

static void
error_at_offset(struct script *s)
{
	error_offset(s, 0, READ_OFF + 63, "here");
	data(s, 0, 0, 10);
	error_offset(s, REPLY_FLAG_DONE, READ_OFF, "");
	ok(s, WRITE);
}

static void
unknown_error_type(struct script *s)
{
	head(s, READ, REPLY_FLAG_DONE, 40000, 30);
	add32(&s->b, 4711);
	add16(&s->b, 5);
	bytes_add(&s->b, "hello and some more 24 b", 24);
	ok(s, WRITE);
}

static void
extents_clamped(struct script *s)
{
	status(s, CONTEXT_ID, 3);
	extent(s, 60, 0);
	extent(s, 30, NBE_EXTENT_HOLE | NBE_EXTENT_ZERO);
	extent(s, 4096, NBE_EXTENT_ZERO);	/* beyond what was asked */
}

static void
extents_fewer(struct script *s)
{
	status(s, CONTEXT_ID, 1);
	extent(s, 60, NBE_EXTENT_HOLE);
}

static void
extents_many(struct script *s)
{
	status(s, CONTEXT_ID, 6);		/* the request has room for 4 */
	for (unsigned i = 0; i < 6; i++)
		extent(s, 10, i & 1);
}

static void
unknown_flags(struct script *s)
{
	data(s, REPLY_FLAG_DONE | 0x8000, 0, READ_LEN);
	ok(s, WRITE);
}

/* ---- servers that break the protocol ------------------------------------- */

static void
magic(struct script *s)
{
	ok(s, WRITE);
	add32(&s->b, 0x67446699);
	add32(&s->b, 0);
	add64(&s->b, s->c[READ].cookie);
	add64(&s->b, 0);
	add64(&s->b, 0);
}

static void
cookie_unknown(struct script *s)
{
	s->c[WRITE].cookie ^= 1;		/* another slot */
	s->c[WRITE].cookie += COMMANDS * 2;
	ok(s, WRITE);
}

static void
cookie_old_generation(struct script *s)
{
	s->c[WRITE].cookie -= UINT64_C(1) << 32;
	ok(s, WRITE);
}

static void
cookie_huge(struct script *s)
{
	s->c[WRITE].cookie |= 0xffffffff;
	ok(s, WRITE);
}

static void
answered_twice(struct script *s)
{
	ok(s, WRITE);
	ok(s, WRITE);
}

static void
chunk_after_done(struct script *s)
{
	ok(s, READ);
	data(s, REPLY_FLAG_DONE, 0, READ_LEN);
}

static void
data_for_a_write(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, REPLY_TYPE_OFFSET_DATA, 12);
	add64(&s->b, 0);
	add32(&s->b, 0);
}

static void
simple_for_a_read(struct script *s)
{
	reply_simple(&s->b, &s->c[READ], 0);
	add_data(&s->b, READ_OFF, READ_LEN);
}

static void
simple_for_a_status(struct script *s)
{
	reply_simple(&s->b, &s->c[STATUS], 0);
	add64(&s->b, 0);
	add64(&s->b, 0);
}

static void
simple_in_extended(struct script *s)
{
	reply_simple(&s->b, &s->c[WRITE], 0);
	add64(&s->b, 0);
	add64(&s->b, 0);
}

static void
structured_in_simple(struct script *s)
{
	add32(&s->b, MAGIC_STRUCTURED_REPLY);
	add32(&s->b, 1u << 16);
	add64(&s->b, s->c[WRITE].cookie);
	add32(&s->b, 0);
}

static void
none_with_length(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, REPLY_TYPE_NONE, 4);
	add32(&s->b, 0);
}

static void
none_without_done(struct script *s)
{
	head(s, WRITE, 0, REPLY_TYPE_NONE, 0);
}

static void
data_without_bytes(struct script *s)
{
	head(s, READ, 0, REPLY_TYPE_OFFSET_DATA, 8);
	add64(&s->b, READ_OFF);
}

static void
data_before(struct script *s)
{
	reply_data(&s->b, s->g, &s->c[READ], 0, READ_OFF - 1, 2);
}

static void
data_beyond(struct script *s)
{
	data(s, 0, READ_LEN - 1, 2);
}

static void
data_far_beyond(struct script *s)
{
	reply_data(&s->b, s->g, &s->c[READ], 0, UINT64_MAX - 1, 8);
}

static void
data_too_long(struct script *s)
{
	data(s, 0, 0, READ_LEN + 1);
}

static void
data_endless(struct script *s)
{
	head(s, READ, 0, REPLY_TYPE_OFFSET_DATA, UINT32_MAX);
	add64(&s->b, READ_OFF);
}

static void
data_endless_64(struct script *s)
{
	head(s, READ, 0, REPLY_TYPE_OFFSET_DATA, UINT64_MAX);
	add64(&s->b, READ_OFF);
}

static void
hole_short(struct script *s)
{
	head(s, READ, 0, REPLY_TYPE_OFFSET_HOLE, 11);
	add64(&s->b, READ_OFF);
	add32(&s->b, 0);
}

static void
hole_long(struct script *s)
{
	head(s, READ, 0, REPLY_TYPE_OFFSET_HOLE, 13);
	add64(&s->b, READ_OFF);
	add32(&s->b, 1);
	add32(&s->b, 0);
}

static void
hole_empty(struct script *s)
{
	hole(s, 0, 0, 0);
}

static void
hole_beyond(struct script *s)
{
	hole(s, 0, 32, 33);
}

static void
hole_huge(struct script *s)
{
	hole(s, 0, 1, UINT32_MAX);
}

static void
twice_the_same(struct script *s)
{
	data(s, 0, 0, 10);
	data(s, 0, 0, 10);
}

static void
overlap_left(struct script *s)
{
	data(s, 0, 20, 10);
	data(s, 0, 15, 6);
}

static void
overlap_right(struct script *s)
{
	data(s, 0, 20, 10);
	hole(s, 0, 29, 5);
}

static void
overlap_inside(struct script *s)
{
	hole(s, 0, 10, 40);
	data(s, 0, 20, 5);
}

static void
overlap_around(struct script *s)
{
	data(s, 0, 20, 5);
	data(s, 0, 10, 40);
}

static void
overlap_bridge(struct script *s)
{
	data(s, 0, 0, 10);
	data(s, 0, 20, 10);
	data(s, 0, 10, 11);
}

static void
gap(struct script *s)
{
	data(s, 0, 0, 32);
	data(s, REPLY_FLAG_DONE, 33, 31);
}

static void
gap_at_end(struct script *s)
{
	data(s, 0, 0, 63);
	end(s, READ);
}

static void
done_without_data(struct script *s)
{
	end(s, READ);
}

static void
error_zero(struct script *s)
{
	reply_error(&s->b, s->g, &s->c[WRITE], REPLY_FLAG_DONE, 0, "");
}

static void
error_short(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, REPLY_TYPE_ERROR, 5);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 0);
}

static void
error_text_too_long(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, REPLY_TYPE_ERROR, 8);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 3);
	add32(&s->b, 0);
}

static void
error_endless(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, REPLY_TYPE_ERROR, MEGABYTE);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 3);
}

static void
unknown_error_text_too_long(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, 40000, 6);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 1);
}

static void
error_offset_short(struct script *s)
{
	head(s, READ, REPLY_FLAG_DONE, REPLY_TYPE_ERROR_OFFSET, 13);
	add64(&s->b, (uint64_t)WIRE_EIO << 32);
	add64(&s->b, 0);
}

static void
error_offset_text_too_long(struct script *s)
{
	head(s, READ, REPLY_FLAG_DONE, REPLY_TYPE_ERROR_OFFSET, 16);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 3);		/* 2 are left beside the offset */
	add64(&s->b, 0);
	add16(&s->b, 0);
}

static void
error_offset_before(struct script *s)
{
	error_offset(s, REPLY_FLAG_DONE, READ_OFF - 1, "");
}

static void
error_offset_beyond(struct script *s)
{
	error_offset(s, REPLY_FLAG_DONE, READ_OFF + READ_LEN, "x");
}

static void
unknown_type(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, 3, 0);
}

/* Bit 15 alone makes an error. */
static void
almost_error_type(struct script *s)
{
	head(s, WRITE, REPLY_FLAG_DONE, 0x4001, 6);
	add32(&s->b, WIRE_EIO);
	add16(&s->b, 0);
}

static void
status_for_a_read(struct script *s)
{
	s->c[STATUS] = s->c[READ];
	status(s, CONTEXT_ID, 1);
	extent(s, STATUS_LEN, 0);
}

static void
status_empty(struct script *s)
{
	status(s, CONTEXT_ID, 0);
	add64(&s->b, 0);
}

static void
status_half_a_descriptor(struct script *s)
{
	head(s, STATUS, REPLY_FLAG_DONE, REPLY_TYPE_BLOCK_STATUS, 16);
	add32(&s->b, CONTEXT_ID);
	add32(&s->b, 10);
	add64(&s->b, 0);
}

static void
status_context(struct script *s)
{
	status(s, CONTEXT_ID + 1, 1);
	extent(s, STATUS_LEN, 0);
}

static void
status_extent_empty(struct script *s)
{
	status(s, CONTEXT_ID, 2);
	extent(s, 0, 0);
	extent(s, STATUS_LEN, 0);
}

static void
status_extent_beyond(struct script *s)
{
	status(s, CONTEXT_ID, 2);
	extent(s, STATUS_LEN, 0);
	extent(s, 1, 0);
}

static void
status_twice(struct script *s)
{
	bool ext = s->g->exp.framing == NBE_EXTENDED;

	status(s, CONTEXT_ID, 1);
	extent(s, 60, 0);
	s->b.at[5] = 0;			/* not DONE */
	status(s, CONTEXT_ID, 1);
	extent(s, 60, 0);
	CHECK(get16(s->b.at + 4) == 0 && (ext || s->b.len == 64));
}

static void
status_none(struct script *s)
{
	end(s, STATUS);
}

static void
status_count(struct script *s)
{
	head(s, STATUS, REPLY_FLAG_DONE, REPLY_TYPE_BLOCK_STATUS_EXT, 24);
	add32(&s->b, CONTEXT_ID);
	add32(&s->b, 2);			/* but there is room for one */
	extent(s, STATUS_LEN, 0);
}

static void
status_32_in_extended(struct script *s)
{
	head(s, STATUS, REPLY_FLAG_DONE, REPLY_TYPE_BLOCK_STATUS, 12);
	add32(&s->b, CONTEXT_ID);
	add64(&s->b, (uint64_t)STATUS_LEN << 32);
}

static void
status_64_in_structured(struct script *s)
{
	head(s, STATUS, REPLY_FLAG_DONE, REPLY_TYPE_BLOCK_STATUS_EXT, 24);
	add32(&s->b, CONTEXT_ID);
	add32(&s->b, 1);
	add64(&s->b, STATUS_LEN);
	add64(&s->b, 0);
}

static void
reply_offset_differs(struct script *s)
{
	s->c[WRITE].off++;
	ok(s, WRITE);
}

#define SIM	NBE_SIMPLE
#define STR	NBE_STRUCTURED
#define EXT	NBE_EXTENDED
#define GOOD	NBE_WHY_NONE
#define CHUNK	NBE_WHY_BAD_CHUNK
#define RANGE	NBE_WHY_BAD_RANGE
#define COOKIE	NBE_WHY_BAD_COOKIE

static const struct vector vectors[] = {
	{ "point_71_simple", SIM, in_order, GOOD, NBE_OK, "rwsf" },
	{ "point_53_simple_any_order", SIM, backwards, GOOD, NBE_OK, "rwsf" },
	{ "point_71_error_without_payload", SIM, simple_error, GOOD, NBE_EIO, "rw" },
	{ "point_78_structured", STR, in_order, GOOD, NBE_OK, "rwsf" },
	{ "point_53_structured_any_order", STR, backwards, GOOD, NBE_OK, "rwsf" },
	{ "point_77_extended", EXT, in_order, GOOD, NBE_OK, "rwsf" },
	{ "point_53_extended_any_order", EXT, backwards, GOOD, NBE_OK, "rwsf" },
	{ "point_82_chunks_any_order", STR, pieces_any_order, GOOD, NBE_OK, "r" },
	{ "point_82_chunks_any_order_ext", EXT, pieces_any_order, GOOD, NBE_OK, "r" },
	{ "point_82_chunks_close_gaps", STR, pieces_close_gaps, GOOD, NBE_OK, "r" },
	{ "point_79_none_ends_a_read", STR, pieces_then_done, GOOD, NBE_OK, "r" },
	{ "point_78_interleaved", STR, interleaved, GOOD, NBE_OK, "rwsf" },
	{ "point_78_interleaved_ext", EXT, interleaved, GOOD, NBE_OK, "rwsf" },
	{ "point_81_all_hole", STR, all_hole, GOOD, NBE_OK, "r" },
	{ "point_72_simple_for_others", STR, simple_for_others, GOOD, NBE_OK, "rwf" },
	{ "point_84_86_first_error_counts", STR, error_with_text, GOOD, NBE_EIO, "rw" },
	{ "point_84_86_errors_ext", EXT, error_with_text, GOOD, NBE_EIO, "rw" },
	{ "point_85_error_at_offset", STR, error_at_offset, GOOD, NBE_EIO, "rw" },
	{ "point_85_error_at_offset_ext", EXT, error_at_offset, GOOD, NBE_EIO, "rw" },
	{ "point_87_unknown_error", STR, unknown_error_type, GOOD, NBE_EINVAL, "rw" },
	{ "point_68_extents_clamped", STR, extents_clamped, GOOD, NBE_OK, "s" },
	{ "point_68_extents_clamped_ext", EXT, extents_clamped, GOOD, NBE_OK, "s" },
	{ "point_68_extents_fewer", STR, extents_fewer, GOOD, NBE_OK, "s" },
	{ "point_68_extents_many", EXT, extents_many, GOOD, NBE_OK, "s" },
	{ "point_78_unknown_chunk_flags", STR, unknown_flags, GOOD, NBE_OK, "rw" },

	{ "point_73_magic_simple", SIM, magic, NBE_WHY_BAD_MAGIC, NBE_OK, "w" },
	{ "point_73_magic_structured", STR, magic, NBE_WHY_BAD_MAGIC, NBE_OK, "w" },
	{ "point_73_magic_extended", EXT, magic, NBE_WHY_BAD_MAGIC, NBE_OK, "w" },
	{ "point_73_cookie_unknown", STR, cookie_unknown, COOKIE, NBE_OK, "" },
	{ "point_73_cookie_unknown_simple", SIM, cookie_unknown, COOKIE, NBE_OK, "" },
	{ "point_73_cookie_old", EXT, cookie_old_generation, COOKIE, NBE_OK, "" },
	{ "point_73_cookie_huge", STR, cookie_huge, COOKIE, NBE_OK, "" },
	{ "point_98_answered_twice", STR, answered_twice, COOKIE, NBE_OK, "w" },
	{ "point_98_answered_twice_simple", SIM, answered_twice, COOKIE, NBE_OK, "w" },
	{ "point_78_98_chunk_after_done", STR, chunk_after_done, COOKIE, NBE_OK, "r" },
	{ "point_98_data_for_a_write", STR, data_for_a_write, CHUNK, NBE_OK, "" },
	{ "point_72_simple_for_a_read", STR, simple_for_a_read,
	    NBE_WHY_WRONG_FRAMING, NBE_OK, "" },
	{ "point_72_simple_for_a_status", STR, simple_for_a_status,
	    NBE_WHY_WRONG_FRAMING, NBE_OK, "" },
	{ "point_91_simple_in_extended", EXT, simple_in_extended, NBE_WHY_BAD_MAGIC,
	    NBE_OK, "" },
	{ "point_88_structured_in_simple", SIM, structured_in_simple,
	    NBE_WHY_BAD_MAGIC, NBE_OK, "" },
	{ "point_79_none_with_length", STR, none_with_length, CHUNK, NBE_OK, "" },
	{ "point_79_none_without_done", STR, none_without_done, CHUNK, NBE_OK, "" },
	{ "point_80_data_without_bytes", STR, data_without_bytes, CHUNK, NBE_OK, "" },
	{ "point_80_data_before", STR, data_before, RANGE, NBE_OK, "" },
	{ "point_80_data_beyond", STR, data_beyond, RANGE, NBE_OK, "" },
	{ "point_80_data_far_beyond", EXT, data_far_beyond, RANGE, NBE_OK, "" },
	{ "point_80_data_too_long", STR, data_too_long, CHUNK, NBE_OK, "" },
	{ "point_89_data_endless", STR, data_endless, CHUNK, NBE_OK, "" },
	{ "point_89_data_endless_64", EXT, data_endless_64, CHUNK, NBE_OK, "" },
	{ "point_81_hole_short", STR, hole_short, CHUNK, NBE_OK, "" },
	{ "point_81_hole_long", STR, hole_long, CHUNK, NBE_OK, "" },
	{ "point_81_99_hole_empty", STR, hole_empty, RANGE, NBE_OK, "" },
	{ "point_81_99_hole_beyond", STR, hole_beyond, RANGE, NBE_OK, "" },
	{ "point_81_hole_huge", EXT, hole_huge, RANGE, NBE_OK, "" },
	{ "point_82_twice_the_same", STR, twice_the_same, RANGE, NBE_OK, "" },
	{ "point_82_overlap_left", STR, overlap_left, RANGE, NBE_OK, "" },
	{ "point_82_overlap_right", STR, overlap_right, RANGE, NBE_OK, "" },
	{ "point_82_overlap_inside", EXT, overlap_inside, RANGE, NBE_OK, "" },
	{ "point_82_overlap_around", STR, overlap_around, RANGE, NBE_OK, "" },
	{ "point_82_overlap_bridge", STR, overlap_bridge, RANGE, NBE_OK, "" },
	{ "point_82_99_gap", STR, gap, NBE_WHY_INCOMPLETE, NBE_OK, "" },
	{ "point_82_99_gap_at_end", EXT, gap_at_end, NBE_WHY_INCOMPLETE, NBE_OK, "" },
	{ "point_99_done_early", STR, done_without_data, NBE_WHY_INCOMPLETE, NBE_OK,
	    "" },
	{ "point_84_100_error_zero", STR, error_zero, CHUNK, NBE_OK, "" },
	{ "point_84_error_short", STR, error_short, CHUNK, NBE_OK, "" },
	{ "point_84_100_text_too_long", STR, error_text_too_long, CHUNK, NBE_OK, "" },
	{ "point_89_error_endless", EXT, error_endless, CHUNK, NBE_OK, "" },
	{ "point_87_unknown_text_too_long", STR, unknown_error_text_too_long, CHUNK,
	    NBE_OK, "" },
	{ "point_85_error_offset_short", STR, error_offset_short, CHUNK, NBE_OK, "" },
	{ "point_85_text_too_long", STR, error_offset_text_too_long, CHUNK, NBE_OK,
	    "" },
	{ "point_85_error_offset_before", STR, error_offset_before, RANGE, NBE_OK, "" },
	{ "point_85_error_offset_beyond", EXT, error_offset_beyond, RANGE, NBE_OK, "" },
	{ "point_88_unknown_type", STR, unknown_type, CHUNK, NBE_OK, "" },
	{ "point_88_almost_error", STR, almost_error_type, CHUNK, NBE_OK, "" },
	{ "point_88_status_for_a_read", STR, status_for_a_read, CHUNK, NBE_OK, "" },
	{ "point_90_status_empty", STR, status_empty, CHUNK, NBE_OK, "" },
	{ "point_90_status_empty_ext", EXT, status_empty, CHUNK, NBE_OK, "" },
	{ "point_90_half_a_descriptor", STR, status_half_a_descriptor, CHUNK, NBE_OK,
	    "" },
	{ "point_90_count_differs", EXT, status_count, CHUNK, NBE_OK, "" },
	{ "point_68_wrong_context", STR, status_context, CHUNK, NBE_OK, "" },
	{ "point_68_wrong_context_ext", EXT, status_context, CHUNK, NBE_OK, "" },
	{ "point_68_extent_empty", STR, status_extent_empty, CHUNK, NBE_OK, "" },
	{ "point_68_extent_beyond", STR, status_extent_beyond, RANGE, NBE_OK, "" },
	{ "point_68_status_twice", STR, status_twice, CHUNK, NBE_OK, "" },
	{ "point_68_done_without_status", STR, status_none, NBE_WHY_INCOMPLETE, NBE_OK,
	    "" },
	{ "point_90_32_bit_status_in_extended", EXT, status_32_in_extended, CHUNK,
	    NBE_OK, "" },
	{ "point_90_64_bit_status_in_structured", STR, status_64_in_structured, CHUNK,
	    NBE_OK, "" },
	{ "point_77_reply_offset_differs", EXT, reply_offset_differs, RANGE, NBE_OK,
	    "" },
};
#define VECTORS (sizeof vectors / sizeof vectors[0])

/* ---- the player ---------------------------------------------------------- */

struct damage {
	size_t	at;
	uint8_t	mask;
};

/* What becomes of the vector, its first len bytes received this way. */
static size_t
play(const struct vector *v, struct way way, size_t len, struct damage d,
    struct outcome *o)
{
	struct script s;
	size_t whole;

	script_start(&s, v->framing);
	v->build(&s);
	whole = s.b.len;
	if (d.at < whole)
		s.b.at[d.at] ^= d.mask;
	rig_receive(s.g, 0, s.b.at, len < whole ? len : whole, way);
	look(&s, o);
	script_end(&s);
	return whole;
}

static const struct damage unhurt = { SIZE_MAX, 0 };
static const struct way at_once = { SIZE_MAX, RIG_SEGS };

static bool
is_done(const struct vector *v, char which)
{
	return strchr(v->done, which) != NULL;
}

static void
check_vector(const struct vector *v)
{
	struct outcome o;

	play(v, at_once, SIZE_MAX, unhurt, &o);
	CHECK(o.why == v->why && o.closing == (v->why != NBE_WHY_NONE));
	CHECK(o.done[READ] == is_done(v, 'r') && o.error[READ] == v->read_error);
	CHECK(o.done[WRITE] == is_done(v, 'w') && o.error[WRITE] == NBE_OK);
	CHECK(o.done[STATUS] == is_done(v, 's') && o.error[STATUS] == NBE_OK);
	CHECK(o.done[FLUSH] == is_done(v, 'f') && o.error[FLUSH] == NBE_OK);
}

static void
test_vectors(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		unsigned before = test_failed_checks;

		check_vector(&vectors[i]);
		if (test_failed_checks != before)
			printf("# vector %s\n", vectors[i].name);
	}
}

static void
test_every_piece_size_and_way(void)
{
	static const unsigned segs[] = { 0, 1, 2, RIG_SEGS };

	for (unsigned i = 0; i < VECTORS; i++) {
		struct outcome whole, o;
		size_t len = play(&vectors[i], at_once, SIZE_MAX, unhurt, &whole);

		for (size_t piece = 1; piece <= len; piece++)
			for (unsigned k = 0; k < 4; k++) {
				play(&vectors[i], (struct way){ piece, segs[k] },
				    SIZE_MAX, unhurt, &o);
				CHECK(memcmp(&o, &whole, sizeof o) == 0);
			}
	}
}

/* What is done before the cut is done; the rest waits; nothing else happens. */
static void
test_every_truncation(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		struct outcome whole, o;
		size_t len = play(&vectors[i], at_once, SIZE_MAX, unhurt, &whole);

		for (size_t cut = 0; cut < len; cut++)
			for (unsigned segs = 0; segs < 2; segs++) {
				play(&vectors[i], (struct way){ SIZE_MAX, segs }, cut,
				    unhurt, &o);
				CHECK(!o.closing || o.why == whole.why);
				for (unsigned k = 0; k < COMMANDS; k++)
					CHECK(!o.done[k] || (whole.done[k] &&
					    o.error[k] == whole.error[k]));
			}
	}
}

/* No more than an error or a wait may come of it; harness.c and the sanitizers
 * see to the memory. */
static void
test_every_corruption(void)
{
	static const uint8_t masks[] = { 0x01, 0x02, 0x80, 0xff };
	static const struct way ways[] = { { SIZE_MAX, 0 }, { SIZE_MAX, RIG_SEGS },
		{ 7, 1 } };

	for (unsigned i = 0; i < VECTORS; i++) {
		struct outcome o;
		size_t len = play(&vectors[i], at_once, SIZE_MAX, unhurt, &o);

		for (size_t at = 0; at < len; at++)
			for (unsigned m = 0; m < sizeof masks; m++) {
				play(&vectors[i], ways[(at + m) % 3], SIZE_MAX,
				    (struct damage){ at, masks[m] }, &o);
				CHECK(!o.closing || o.why != NBE_WHY_NONE);
			}
	}
}

/* ---- what came out ------------------------------------------------------- */

static void
test_point_81_82_contents(void)
{
	const struct vector v = { "", STR, pieces_any_order, GOOD, NBE_OK, "r" };
	struct outcome o;

	play(&v, at_once, SIZE_MAX, unhurt, &o);
	for (unsigned i = 0; i < READ_LEN; i++)
		CHECK(o.data[i] == (i >= 20 && i < 40 ? 0 : rig_data(READ_OFF + i)));
}

static void
check_extents(enum nbe_framing framing)
{
	const struct vector v = { "", framing, extents_clamped, GOOD, NBE_OK, "s" };
	struct outcome o;

	play(&v, at_once, SIZE_MAX, unhurt, &o);
	CHECK(o.extents == 3);
	CHECK(o.extent[0].length == 60 && o.extent[0].flags == 0);
	CHECK(o.extent[1].length == 30 &&
	    o.extent[1].flags == (NBE_EXTENT_HOLE | NBE_EXTENT_ZERO));
	CHECK(o.extent[2].length == 10 && o.extent[2].flags == NBE_EXTENT_ZERO);
}

static void
test_point_68_69_extents(void)
{
	const struct vector v = { "", EXT, extents_many, GOOD, NBE_OK, "s" };
	struct outcome o;

	check_extents(NBE_STRUCTURED);
	check_extents(NBE_EXTENDED);
	play(&v, at_once, SIZE_MAX, unhurt, &o);
	CHECK(o.extents == 4);
}

static const struct {
	uint32_t wire;
	enum nbe_err error;
} errors[] = {
	{ 1, NBE_EPERM }, { 5, NBE_EIO }, { 12, NBE_ENOMEM }, { 22, NBE_EINVAL },
	{ 28, NBE_ENOSPC }, { 75, NBE_EOVERFLOW }, { 95, NBE_ENOTSUP },
	{ 2, NBE_EINVAL }, { 4711, NBE_EINVAL }, { UINT32_MAX, NBE_EINVAL },
};

static void
test_point_74_76_error_values(void)
{
	for (unsigned f = 0; f < 3; f++)
		for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
			struct script s;

			script_start(&s, (enum nbe_framing)f);
			for (unsigned k = 0; k < COMMANDS; k++)
				rig_answer(s.g, 0, &s.c[k], errors[i].wire);
			CHECK(!rig_closing(s.g, 0));
			for (unsigned k = 0; k < COMMANDS; k++)
				CHECK(io_ended(s.g->io[k], errors[i].error));
			script_end(&s);
		}
}

/* More runs than the engine remembers: it reads again, in halves, with success. */
static void
test_point_82_scattered_reads(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct bytes b = { 0 };
	struct command c;
	struct io *o;

	rig_start(g);
	o = rig_submit(g, NBE_READ, 0, 32768, 0);
	c = rig_command(g, 0);
	for (uint64_t off = 0; off < 32768; off += 1024)
		reply_data(&b, g, &c, 0, off, 512);
	for (uint64_t off = 512; off < 32768; off += 1024)
		reply_data(&b, g, &c, 0, off, 512);
	reply_none(&b, g, &c);
	rig_reply(g, 0, &b);
	CHECK(!o->done && !rig_closing(g, 0));
	c = rig_command(g, 0);
	CHECK(c.len == 16384);
	rig_answer(g, 0, &c, 0);
	rig_serve(g, 0);
	CHECK(io_ended(o, NBE_OK) && rig_has_data(o));
	bytes_free(&b);
	rig_end(g);
}

static void
test_point_98_cookie_of_another_connection(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	g->cfg.conns_max = g->cfg.conns = 2;
	rig_start(g);
	rig_up(g, 1);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	c = rig_command(g, 0);
	rig_answer(g, 1, &c, 0);
	CHECK(rig_closing(g, 1) && nbe_conn_why(g->dev, 1) == NBE_WHY_BAD_COOKIE);
	CHECK(!rig_closing(g, 0) && !g->io[0]->done);
	rig_end(g);
}

static void
test_point_98_cookie_not_yet_sent(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command c;

	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_WRITE, 512, 512, 0);
	rig_send_some(g, 0, 2, LEN_REQUEST);	/* the second is only planned */
	c = (struct command){ .type = CMD_WRITE,
	    .cookie = get64(g->sent[0].at + 8) + 1 };
	rig_answer(g, 0, &c, 0);
	CHECK(rig_closing(g, 0) && nbe_conn_why(g->dev, 0) == NBE_WHY_BAD_COOKIE);
	CHECK(!g->io[1]->done);
	rig_end(g);
}

/* The command after a reconnect has another cookie than its first try. */
static void
test_point_98_cookie_of_the_connection_before(void)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	struct command first, again;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	first = rig_command(g, 0);
	rig_down(g, 0);
	rig_wait(g, 2 * NBE_SECOND);
	rig_up(g, 0);
	again = rig_command(g, 0);
	CHECK(first.cookie != again.cookie && again.off == 0);
	rig_answer(g, 0, &first, 0);
	CHECK(rig_closing(g, 0) && !g->io[0]->done);
	rig_end(g);
}

/* Half a header and half a payload do not survive a reconnect. */
static void
test_point_101_102_closed_amid_a_reply(void)
{
	for (size_t cut = 1; cut < 20 + 8 + 512; cut += 9) {
		struct rig *g = rig_new(NBE_STRUCTURED);
		struct bytes b = { 0 };
		struct command c;
		struct io *o;

		rig_start(g);
		o = rig_submit(g, NBE_READ, 512, 512, 0);
		c = rig_command(g, 0);
		reply_ok(&b, g, &c);
		rig_receive(g, 0, b.at, cut, at_once);
		nbe_rx_begin(g->dev, 0, (struct nbe_seg[2]){ { 0 } }, 2,
		    &(uint64_t){ 0 });
		nbe_rx_end(g->dev, 0, 0, NBE_WHY_CLOSED, g->now);
		rig_work(g);
		rig_close(g, 0);
		CHECK(!o->done);
		rig_wait(g, 2 * NBE_SECOND);
		rig_up(g, 0);
		rig_serve(g, 0);
		CHECK(io_ended(o, NBE_OK) && rig_has_data(o));
		bytes_free(&b);
		rig_end(g);
	}
}

/* A status that came before the connection broke is not counted twice. */
static void
test_point_68_status_of_a_lost_connection(void)
{
	struct script s;

	script_start(&s, NBE_STRUCTURED);
	status(&s, CONTEXT_ID, 1);
	extent(&s, 60, 0);
	s.b.at[5] = 0;				/* not DONE */
	rig_reply(s.g, 0, &s.b);
	rig_down(s.g, 0);
	rig_wait(s.g, 2 * NBE_SECOND);
	rig_up(s.g, 0);
	rig_serve(s.g, 0);
	CHECK(io_ended(s.g->io[STATUS], NBE_OK));
	CHECK(s.g->io[STATUS]->r.extents_count == 1);
	CHECK(s.g->io[STATUS]->extent[0].length == STATUS_LEN);
	script_end(&s);
}

/* Payload and the header behind it in one read. */
static void
test_direct_reads_the_next_header_too(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);
	struct nbe_seg seg[2];
	struct bytes b = { 0 };
	struct command c;
	uint64_t need;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 1024, 0);
	c = rig_command(g, 0);
	reply_ok(&b, g, &c);
	rig_receive(g, 0, b.at, 16 + 100, (struct way){ SIZE_MAX, 0 });
	CHECK(nbe_rx_left(g->dev, 0) == 924);
	CHECK(nbe_rx_begin(g->dev, 0, seg, 2, &need) == 2 && need == 924);
	CHECK(seg[0].kind == NBE_SEG_DATA && seg[0].off == 100 && seg[0].len == 924);
	CHECK(seg[1].kind == NBE_SEG_CORE && seg[1].len == LEN_SIMPLE_REPLY);
	CHECK(nbe_rx_begin(g->dev, 0, seg, 2, &need) == 0);	/* one only */
	nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	CHECK(nbe_rx_payload(g->dev, 0) == 1024);
	rig_receive(g, 0, b.at + 116, 924, (struct way){ SIZE_MAX, 0 });
	CHECK(io_ended(g->io[0], NBE_OK) && rig_has_data(g->io[0]));
	CHECK(nbe_rx_left(g->dev, 0) == 0 && nbe_rx_payload(g->dev, 0) == 0);
	bytes_free(&b);
	rig_end(g);
}

/* A request is not done while the reply that ends it is still being copied. */
static void
test_done_after_rx_end_only(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);
	struct nbe_seg seg[4];
	struct bytes b = { 0 };
	struct command c;
	size_t used;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	reply_ok(&b, g, &c);
	CHECK(nbe_rx_ahead(g->dev, 0, b.at, b.len, seg, 4, &used) == 1);
	CHECK(used == b.len && seg[0].base == b.at + 16);
	rig_work(g);
	CHECK(!g->io[0]->done);
	nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now);
	rig_work(g);
	CHECK(g->io[0]->done);
	bytes_free(&b);
	rig_end(g);
}

/* How many of the bytes of one reply end something, when they come one by one: the last
 * one, and no other. */
static size_t
bytes_that_end(struct rig *g, const struct bytes *b)
{
	static const struct nbe_seg none;
	struct nbe_seg seg[4] = { none };
	size_t ended = 0, used;

	for (size_t i = 0; i < b->len; i++) {
		nbe_rx_ahead(g->dev, 0, b->at + i, 1, seg, 4, &used);
		if (nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now))
			ended += i + 1 == b->len ? 1 : b->len;
		rig_work(g);
	}
	return ended;
}

static void
test_rx_end_says_what_ended(void)
{
	for (int f = NBE_SIMPLE; f <= NBE_EXTENDED; f++) {
		struct rig *g = rig_new((enum nbe_framing)f);
		const enum nbe_op ops[] = { NBE_READ, NBE_WRITE, NBE_FLUSH };
		struct bytes b = { 0 };
		struct command c;

		rig_start(g);
		for (unsigned i = 0; i < 3; i++) {
			rig_submit(g, ops[i], 0, ops[i] == NBE_FLUSH ? 0 : 512, 0);
			c = rig_command(g, 0);
			b.len = 0;
			reply_ok(&b, g, &c);
			CHECK(bytes_that_end(g, &b) == 1 && g->io[i]->done);
		}
		add64(&b, 0);			/* no magic */
		add64(&b, 0);
		add64(&b, 0);
		add64(&b, 0);
		nbe_rx_ahead(g->dev, 0, b.at + b.len - 32, 32,
		    (struct nbe_seg[4]){ { 0 } }, 4, &(size_t){ 0 });
		CHECK(nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now));
		bytes_free(&b);
		rig_end(g);
	}
}

/* The pace of answers is known when the clock has moved: connections may take more, or
 * less, from then on. */
static void
test_rx_end_says_that_the_pace_is_known(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);
	struct nbe_seg seg[4];
	struct bytes b = { 0 };
	struct command c;
	size_t used;

	rig_start(g);
	rig_submit(g, NBE_WRITE, 0, 512, 0);
	rig_submit(g, NBE_WRITE, 512, 512, 0);
	c = rig_command(g, 0);
	rig_answer(g, 0, &c, 0);
	c = rig_take(g, 0);
	reply_ok(&b, g, &c);
	g->now += NBE_SECOND;
	nbe_rx_ahead(g->dev, 0, b.at, 1, seg, 4, &used);
	CHECK(nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now));
	nbe_rx_ahead(g->dev, 0, b.at + 1, 1, seg, 4, &used);
	CHECK(!nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now));
	bytes_free(&b);
	rig_end(g);
}

/* An abort waits for the receive that may be copying into its buffer. */
static void
test_rx_end_says_that_an_abort_ended(void)
{
	struct rig *g = rig_new(NBE_SIMPLE);
	struct nbe_seg seg[4];
	struct bytes b = { 0 };
	struct command c;
	size_t used;

	rig_start(g);
	rig_submit(g, NBE_READ, 0, 512, 0);
	c = rig_command(g, 0);
	reply_ok(&b, g, &c);
	nbe_rx_ahead(g->dev, 0, b.at, 100, seg, 4, &used);
	nbe_abort(g->dev, &g->io[0]->r, g->now);
	rig_work(g);
	CHECK(!g->io[0]->done);
	CHECK(nbe_rx_end(g->dev, 0, 0, NBE_WHY_NONE, g->now));
	rig_work(g);
	CHECK(io_ended(g->io[0], NBE_EABORTED));
	bytes_free(&b);
	rig_end(g);
}

static const struct test tests[] = {
	TEST(vectors),
	TEST(every_piece_size_and_way),
	TEST(every_truncation),
	TEST(every_corruption),
	TEST(point_81_82_contents),
	TEST(point_68_69_extents),
	TEST(point_74_76_error_values),
	TEST(point_82_scattered_reads),
	TEST(point_98_cookie_of_another_connection),
	TEST(point_98_cookie_not_yet_sent),
	TEST(point_98_cookie_of_the_connection_before),
	TEST(point_101_102_closed_amid_a_reply),
	TEST(point_68_status_of_a_lost_connection),
	TEST(direct_reads_the_next_header_too),
	TEST(done_after_rx_end_only),
	TEST(rx_end_says_what_ended),
	TEST(rx_end_says_that_the_pace_is_known),
	TEST(rx_end_says_that_an_abort_ended),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
