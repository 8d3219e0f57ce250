/*
 * handshake.c - from the greeting to transmission: option haggling.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Two tables.  run_step names the message that is awaited; it runs when exactly
 * the bytes it wants are in h->in, and it ends with one of want(), fail(),
 * refused(), done() or a question to the front.  option_steps is the order of
 * what is asked of the server; next_option() goes down the list to the next one
 * that is wanted.
 *
 * Nothing a server says makes this wait without end or hold more than its own
 * buffers: a reply is at most REPLY_MAX bytes, of which h->in keeps the first
 * BODY_MAX and the rest is read and dropped, and each option has a most of
 * replies.
 */
#include "nbe.h"
#include "wire.h"

#define LIST_NAME_LEN	4u	/* REP_SERVER: the length in front of the name */
#define BODY_MAX	(LIST_NAME_LEN + 2 * NBE_MAX_STRING)
#define REPLY_MAX	65536u

static const char base_allocation[] = "base:allocation";
#define BASE_ALLOCATION_LEN (sizeof base_allocation - 1)

/* The message that is awaited. */
enum step {
	GREETING, STYLE, OLDSTYLE_EXPORT, OLDSTYLE_LISTED, HANDSHAKE_FLAGS,
	REPLY_HEAD, REPLY_BODY, REPLY_DROP, EXPORT_NAME_REPLY,
	STEPS
};

/* Options in the order of asking.  The last three are alternatives, and
 * EXPORT_NAME only what is left where GO is not understood. */
enum option_step {
	STARTTLS, EXTENDED_HEADERS, STRUCTURED_REPLY, SET_META_CONTEXT,
	LIST, INFO, GO, EXPORT_NAME,
	OPTION_STEPS
};

struct option {
	uint32_t	code;
	uint32_t	replies_max;
	bool		(*wanted)(const struct nbe_hs *);
	void		(*put_data)(struct nbe_hs *);
	void		(*accepted)(struct nbe_hs *);	/* any reply but an error */
	void		(*declined)(struct nbe_hs *);	/* an error reply */
};
static const struct option option_steps[OPTION_STEPS];

/* ---- how a step ends ----------------------------------------------------- */

/* Wait for exactly need bytes, then run the step. */
static void
want(struct nbe_hs *h, enum step step, uint32_t need)
{
	h->step = (uint8_t)step;
	h->in_base = h->in_len = 0;
	h->in_need = need;
}

static void
stop(struct nbe_hs *h, enum nbe_hs_state state)
{
	h->state = state;
	h->in_len = h->in_need = 0;
	h->out_pos = h->out_len = 0;
}

static void
fail(struct nbe_hs *h, enum nbe_why why)
{
	h->why = why;
	stop(h, NBE_HS_FAILED);
}

/* The server said no, by the book, and awaits another option. */
static void
refused(struct nbe_hs *h, enum nbe_why why)
{
	h->idle = true;
	fail(h, why);
}

/* ---- sending ------------------------------------------------------------- */

/* The room for len more bytes to send. */
static uint8_t *
append(struct nbe_hs *h, uint32_t len)
{
	uint8_t *to = h->out + h->out_len;

	NBE_ASSERT(len <= sizeof h->out - h->out_len);
	h->out_len += len;
	return to;
}

static void
send16(struct nbe_hs *h, uint16_t v)
{
	put16(append(h, 2), v);
}

static void
send32(struct nbe_hs *h, uint32_t v)
{
	put32(append(h, 4), v);
}

static void
send_bytes(struct nbe_hs *h, const char *bytes, uint32_t len)
{
	uint8_t *to = append(h, len);

	if (len > 0)
		memcpy(to, bytes, len);
}

static void
send_text(struct nbe_hs *h, const char *text, uint32_t len)
{
	send32(h, len);
	send_bytes(h, text, len);
}

/* Queue one option.  Its length is known only behind its data. */
static void
send_option(struct nbe_hs *h, uint32_t code, void (*put_data)(struct nbe_hs *))
{
	uint8_t *head = append(h, LEN_OPTION);
	uint32_t before = h->out_len;

	if (put_data != NULL)
		put_data(h);
	put64(head, MAGIC_OPTION);
	put32(head + 8, code);
	put32(head + 12, h->out_len - before);
	h->idle = false;
}

static void
start_option(struct nbe_hs *h, enum option_step i)
{
	h->option = (uint8_t)i;
	h->replies = 0;
	h->message_len = 0;
	send_option(h, option_steps[i].code, option_steps[i].put_data);
	if (i != EXPORT_NAME)
		want(h, REPLY_HEAD, LEN_OPTION_REPLY);
	else if (h->hs_flags & NBE_HS_NO_ZEROES)
		want(h, EXPORT_NAME_REPLY, LEN_EXPORT_NAME_REPLY);
	else
		want(h, EXPORT_NAME_REPLY,
		    LEN_EXPORT_NAME_REPLY + LEN_EXPORT_NAME_ZEROES);
}

/* There is always one: each goal wants its own. */
static void
start_option_from(struct nbe_hs *h, unsigned i)
{
	while (!option_steps[i].wanted(h))
		i++;
	start_option(h, (enum option_step)i);
}

static void
next_option(struct nbe_hs *h)
{
	start_option_from(h, h->option + 1u);
}

/* ---- the export ---------------------------------------------------------- */

static bool
is_power_of_2(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* proto.md, "Block size constraints". */
static bool
block_sizes_are_sane(const struct nbe_export *e)
{
	return is_power_of_2(e->block_min) && e->block_min <= NBE_BLOCK_MAX &&
	    is_power_of_2(e->block_pref) && e->block_pref >= 512 &&
	    e->block_pref >= e->block_min && e->payload_max >= e->block_pref;
}

/* What a client is to keep to when the server named nothing. */
static void
assume_block_sizes(struct nbe_export *e)
{
	e->block_min = 512;
	e->block_pref = 4096;
	e->payload_max = NBE_PAYLOAD_DEFAULT;
}

static void
settle_payload_max(struct nbe_export *e)
{
	if (e->payload_max == UINT32_MAX)	/* "no limit" */
		e->payload_max = e->block_pref > NBE_PAYLOAD_DEFAULT ?
		    e->block_pref : NBE_PAYLOAD_DEFAULT;
	e->payload_max -= e->payload_max % e->block_min;
}

/* All that the server said about the export is in h->exp: make it usable. */
static enum nbe_why
settle_export(struct nbe_hs *h)
{
	struct nbe_export *e = &h->exp;

	if (!(e->flags & NBE_FLAG_HAS_FLAGS))
		e->flags = 0;
	if (!e->has_block_size)
		assume_block_sizes(e);
	if (!block_sizes_are_sane(e))
		return NBE_WHY_BAD_BLOCK_SIZE;
	settle_payload_max(e);
	e->tail = (uint32_t)(e->size % e->block_min);
	e->size -= e->tail;
	if (e->size == 0 || e->size > INT64_MAX)
		return NBE_WHY_BAD_SIZE;
	e->hs_flags = h->hs_flags;
	e->tls = h->in_tls;
	return NBE_WHY_NONE;
}

static void
done_with_export(struct nbe_hs *h)
{
	enum nbe_why why = settle_export(h);

	if (why != NBE_WHY_NONE)
		fail(h, why);
	else
		stop(h, NBE_HS_DONE);
}

static void
take_size_and_flags(struct nbe_hs *h, const uint8_t *p, uint16_t flags)
{
	h->exp.size = get64(p);
	h->exp.flags = flags;
}

/* ---- replies ------------------------------------------------------------- */

/* Every option but EXPORT_NAME ends with an ACK without data. */
static bool
is_ack(struct nbe_hs *h)
{
	return h->reply == REP_ACK && h->reply_len == 0;
}

static void
unexpected(struct nbe_hs *h)
{
	fail(h, h->reply == REP_ACK ? NBE_WHY_REPLY_LENGTH : NBE_WHY_UNEXPECTED_REPLY);
}

static void
next_reply(struct nbe_hs *h)
{
	want(h, REPLY_HEAD, LEN_OPTION_REPLY);
}

static enum nbe_why
why_declined(const struct nbe_hs *h)
{
	switch (h->reply) {
	case REP_ERR_UNSUP:
		return NBE_WHY_UNSUPPORTED;
	case REP_ERR_POLICY:
		return NBE_WHY_POLICY;
	case REP_ERR_INVALID:
		return NBE_WHY_INVALID;
	case REP_ERR_PLATFORM:
		return NBE_WHY_PLATFORM;
	case REP_ERR_TLS_REQD:
		return h->in_tls ? NBE_WHY_REFUSED : NBE_WHY_TLS_REQUIRED;
	case REP_ERR_UNKNOWN:
		return NBE_WHY_UNKNOWN_EXPORT;
	case REP_ERR_SHUTDOWN:
		return NBE_WHY_SHUTDOWN;
	case REP_ERR_BLOCK_SIZE_REQD:
		/* INFO and GO always ask for the block sizes, so that asking
		 * again would change nothing. */
		return NBE_WHY_BLOCK_SIZE_REQUIRED;
	case REP_ERR_TOO_BIG:
		return NBE_WHY_TOO_BIG;
	case REP_ERR_EXT_HEADER_REQD:
		return NBE_WHY_EXT_HEADERS_REQUIRED;
	default:
		return NBE_WHY_REFUSED;
	}
}

static void
declined_for_good(struct nbe_hs *h)
{
	refused(h, why_declined(h));
}

/* It was only a wish.  But a server that shuts down must be left. */
static void
declined_a_wish(struct nbe_hs *h)
{
	if (h->reply == REP_ERR_SHUTDOWN)
		declined_for_good(h);
	else
		next_option(h);
}

/* ---- STARTTLS ------------------------------------------------------------ */

static bool
wants_starttls(const struct nbe_hs *h)
{
	return h->cfg.tls != NBE_TLS_OFF;
}

static void
starttls_accepted(struct nbe_hs *h)
{
	if (is_ack(h))
		stop(h, NBE_HS_TLS);
	else
		unexpected(h);
}

/* Required means required: whatever the reason, nothing goes on in the clear. */
static void
starttls_declined(struct nbe_hs *h)
{
	if (h->cfg.tls == NBE_TLS_REQUIRED)
		refused(h, NBE_WHY_TLS_REFUSED);
	else
		declined_a_wish(h);
}

/* ---- EXTENDED_HEADERS, STRUCTURED_REPLY ---------------------------------- */

static bool
wants_extended_headers(const struct nbe_hs *h)
{
	return h->cfg.goal != NBE_GOAL_LIST && h->cfg.framing_max == NBE_EXTENDED;
}

static bool
wants_structured_reply(const struct nbe_hs *h)
{
	return h->cfg.goal != NBE_GOAL_LIST && h->cfg.framing_max >= NBE_STRUCTURED &&
	    h->exp.framing == NBE_SIMPLE;
}

static void
framing_accepted(struct nbe_hs *h)
{
	if (!is_ack(h)) {
		unexpected(h);
		return;
	}
	h->exp.framing = h->option == EXTENDED_HEADERS ? NBE_EXTENDED : NBE_STRUCTURED;
	next_option(h);
}

/* ---- SET_META_CONTEXT ---------------------------------------------------- */

static bool
wants_meta_context(const struct nbe_hs *h)
{
	return h->cfg.goal != NBE_GOAL_LIST && h->cfg.want_alloc &&
	    h->exp.framing != NBE_SIMPLE;
}

static void
put_meta_context(struct nbe_hs *h)
{
	send_text(h, h->cfg.name, h->cfg.name_len);
	send32(h, 1);
	send_text(h, base_allocation, BASE_ALLOCATION_LEN);
}

/* One query without a wildcard: any other context is not by the book. */
static bool
is_base_allocation(const uint8_t *name, uint32_t len)
{
	uint32_t i;

	if (len != BASE_ALLOCATION_LEN)
		return false;
	for (i = 0; i < len; i++)
		if (name[i] != (uint8_t)base_allocation[i])
			return false;
	return true;
}

static void
take_meta_context(struct nbe_hs *h)
{
	uint32_t id;

	if (h->reply_len < 4) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return;
	}
	id = get32(h->in);
	if (!is_base_allocation(h->in + 4, h->reply_len - 4)) {
		fail(h, NBE_WHY_UNEXPECTED_REPLY);
		return;
	}
	if (h->exp.has_alloc && h->exp.alloc_context != id) {
		fail(h, NBE_WHY_INFO_CONFLICT);
		return;
	}
	h->exp.has_alloc = true;
	h->exp.alloc_context = id;
	next_reply(h);
}

static void
meta_context_accepted(struct nbe_hs *h)
{
	if (h->reply == REP_META_CONTEXT)
		take_meta_context(h);
	else if (is_ack(h))
		next_option(h);
	else
		unexpected(h);
}

static void
meta_context_declined(struct nbe_hs *h)
{
	h->exp.has_alloc = false;
	declined_a_wish(h);
}

/* ---- LIST ---------------------------------------------------------------- */

static bool
has_nul(const uint8_t *p, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (p[i] == 0)
			return true;
	return false;
}

static bool
take_name(struct nbe_hs *h, const uint8_t *p, uint32_t len)
{
	if (len > NBE_MAX_STRING || has_nul(p, len)) {
		fail(h, NBE_WHY_BAD_STRING);
		return false;
	}
	memcpy(h->name_buf, p, len);
	h->name_len = len;
	return true;
}

/* For people only, so a longer one is cut, not refused. */
static bool
take_about(struct nbe_hs *h, const uint8_t *p, uint32_t len)
{
	if (len > NBE_MAX_STRING)
		len = NBE_MAX_STRING;
	if (has_nul(p, len)) {
		fail(h, NBE_WHY_BAD_STRING);
		return false;
	}
	memcpy(h->about_buf, p, len);
	h->about_len = len;
	return true;
}

static bool
wants_list(const struct nbe_hs *h)
{
	return h->cfg.goal == NBE_GOAL_LIST;
}

static void
take_listed(struct nbe_hs *h)
{
	uint32_t name_len;

	if (h->reply_len < LIST_NAME_LEN) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return;
	}
	name_len = get32(h->in);
	if (name_len > h->reply_len - LIST_NAME_LEN) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return;
	}
	if (!take_name(h, h->in + LIST_NAME_LEN, name_len) ||
	    !take_about(h, h->in + LIST_NAME_LEN + name_len,
		h->reply_len - LIST_NAME_LEN - name_len))
		return;
	next_reply(h);
	h->state = NBE_HS_ITEM;
}

static void
list_accepted(struct nbe_hs *h)
{
	if (h->reply == REP_SERVER) {
		take_listed(h);
	} else if (is_ack(h)) {
		h->name_len = h->about_len = 0;
		stop(h, NBE_HS_DONE);
		h->idle = true;
	} else {
		unexpected(h);
	}
}

/* ---- INFO, GO ------------------------------------------------------------ */

static bool
wants_info(const struct nbe_hs *h)
{
	return h->cfg.goal == NBE_GOAL_INFO;
}

static bool
wants_go(const struct nbe_hs *h)
{
	return h->cfg.goal == NBE_GOAL_GO;
}

static void
put_info_request(struct nbe_hs *h)
{
	send_text(h, h->cfg.name, h->cfg.name_len);
	send16(h, 4);
	send16(h, INFO_EXPORT);
	send16(h, INFO_NAME);
	send16(h, INFO_DESCRIPTION);
	send16(h, INFO_BLOCK_SIZE);
}

static bool
take_info_export(struct nbe_hs *h)
{
	struct nbe_export old = h->exp;

	if (h->reply_len != LEN_INFO_EXPORT) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return false;
	}
	take_size_and_flags(h, h->in + 2, get16(h->in + 10));
	if (h->got_export &&
	    (old.size != h->exp.size || old.flags != h->exp.flags)) {
		fail(h, NBE_WHY_INFO_CONFLICT);
		return false;
	}
	h->got_export = true;
	return true;
}

static bool
take_info_block_size(struct nbe_hs *h)
{
	struct nbe_export *e = &h->exp, old = h->exp;

	if (h->reply_len != LEN_INFO_BLOCK_SIZE) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return false;
	}
	e->block_min = get32(h->in + 2);
	e->block_pref = get32(h->in + 6);
	e->payload_max = get32(h->in + 10);
	if (e->has_block_size && (old.block_min != e->block_min ||
	    old.block_pref != e->block_pref || old.payload_max != e->payload_max)) {
		fail(h, NBE_WHY_INFO_CONFLICT);
		return false;
	}
	e->has_block_size = true;
	return true;
}

/* Information of an unknown type is skipped (proto.md, NBD_OPT_GO). */
static bool
take_info(struct nbe_hs *h)
{
	if (h->reply_len < 2) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return false;
	}
	switch (get16(h->in)) {
	case INFO_EXPORT:
		return take_info_export(h);
	case INFO_NAME:
		return take_name(h, h->in + 2, h->reply_len - 2);
	case INFO_DESCRIPTION:
		return take_about(h, h->in + 2, h->reply_len - 2);
	case INFO_BLOCK_SIZE:
		return take_info_block_size(h);
	default:
		return true;
	}
}

static void
info_accepted(struct nbe_hs *h)
{
	if (h->reply == REP_INFO) {
		if (take_info(h))
			next_reply(h);
	} else if (!is_ack(h)) {
		unexpected(h);
	} else if (!h->got_export) {
		fail(h, NBE_WHY_NO_EXPORT_INFO);
	} else {
		/* After the ACK of GO the server is in transmission. */
		h->idle = h->option == INFO;
		done_with_export(h);
	}
}

/*
 * EXPORT_NAME is for servers that do not know GO.  Not inside TLS: how many
 * zeroes its reply has was agreed in the clear, where anybody could change it.
 * Not with extended headers, which the specification rules out.
 */
static void
go_declined(struct nbe_hs *h)
{
	if (h->reply != REP_ERR_UNSUP || h->in_tls || h->exp.framing == NBE_EXTENDED)
		declined_for_good(h);
	else
		start_option(h, EXPORT_NAME);
}

/* ---- EXPORT_NAME --------------------------------------------------------- */

/* Never in its turn: it replaces GO. */
static bool
wants_export_name(const struct nbe_hs *h)
{
	(void)h;
	return false;
}

static void
put_export_name(struct nbe_hs *h)
{
	send_bytes(h, h->cfg.name, h->cfg.name_len);
}

static void
run_export_name_reply(struct nbe_hs *h)
{
	take_size_and_flags(h, h->in, get16(h->in + 8));
	done_with_export(h);
}

/* LIST may come with very many replies; the others have no need of it. */
static const struct option option_steps[OPTION_STEPS] = {
	[STARTTLS] = { OPT_STARTTLS, 1, wants_starttls, NULL,
	    starttls_accepted, starttls_declined },
	[EXTENDED_HEADERS] = { OPT_EXTENDED_HEADERS, 1, wants_extended_headers, NULL,
	    framing_accepted, declined_a_wish },
	[STRUCTURED_REPLY] = { OPT_STRUCTURED_REPLY, 1, wants_structured_reply, NULL,
	    framing_accepted, declined_a_wish },
	[SET_META_CONTEXT] = { OPT_SET_META_CONTEXT, 16, wants_meta_context,
	    put_meta_context, meta_context_accepted, meta_context_declined },
	[LIST] = { OPT_LIST, 65536, wants_list, NULL,
	    list_accepted, declined_for_good },
	[INFO] = { OPT_INFO, 256, wants_info, put_info_request,
	    info_accepted, declined_for_good },
	[GO] = { OPT_GO, 256, wants_go, put_info_request,
	    info_accepted, go_declined },
	[EXPORT_NAME] = { OPT_EXPORT_NAME, 0, wants_export_name, put_export_name,
	    NULL, NULL },
};

/* ---- steps of the greeting ----------------------------------------------- */

static void
run_greeting(struct nbe_hs *h)
{
	if (get64(h->in) == MAGIC_SERVER)
		want(h, STYLE, LEN_MAGIC);
	else
		fail(h, NBE_WHY_NOT_NBD);
}

static void
run_style(struct nbe_hs *h)
{
	uint64_t magic = get64(h->in);

	if (magic == MAGIC_OPTION)
		want(h, HANDSHAKE_FLAGS, LEN_HANDSHAKE_FLAGS);
	else if (magic != MAGIC_OLDSTYLE)
		fail(h, NBE_WHY_NOT_NBD);
	else if (h->cfg.tls == NBE_TLS_REQUIRED)
		fail(h, NBE_WHY_TLS_REFUSED);
	else if (h->cfg.goal != NBE_GOAL_LIST && h->cfg.name_len > 0)
		fail(h, NBE_WHY_UNKNOWN_EXPORT);	/* it has one, without a name */
	else
		want(h, OLDSTYLE_EXPORT, LEN_OLDSTYLE_REST);
}

/* The upper half of the 32 flags has never been given a meaning. */
static void
run_oldstyle_export(struct nbe_hs *h)
{
	take_size_and_flags(h, h->in, get16(h->in + 10));
	if (h->cfg.goal == NBE_GOAL_LIST) {
		want(h, OLDSTYLE_LISTED, 0);
		h->state = NBE_HS_ITEM;
	} else {
		done_with_export(h);
	}
}

static void
run_oldstyle_listed(struct nbe_hs *h)
{
	stop(h, NBE_HS_DONE);
}

static void
run_handshake_flags(struct nbe_hs *h)
{
	h->hs_flags = get16(h->in) & (NBE_HS_FIXED_NEWSTYLE | NBE_HS_NO_ZEROES);
	send32(h, h->hs_flags);		/* the client's flags have the same bits */
	if (h->hs_flags & NBE_HS_FIXED_NEWSTYLE)
		start_option_from(h, 0);
	else if (h->cfg.tls == NBE_TLS_REQUIRED)
		fail(h, NBE_WHY_TLS_REFUSED);
	else if (h->cfg.goal != NBE_GOAL_GO)
		fail(h, NBE_WHY_UNSUPPORTED);
	else
		start_option(h, EXPORT_NAME);	/* any other could hang it */
}

/* ---- steps of an option's replies ---------------------------------------- */

static void
run_reply_head(struct nbe_hs *h)
{
	const struct option *o = &option_steps[h->option];

	if (get64(h->in) != MAGIC_OPTION_REPLY) {
		fail(h, NBE_WHY_REPLY_MAGIC);
		return;
	}
	if (get32(h->in + 8) != o->code) {
		fail(h, NBE_WHY_WRONG_OPTION);
		return;
	}
	h->reply = get32(h->in + 12);
	h->reply_len = get32(h->in + 16);
	if (h->reply_len > REPLY_MAX) {
		fail(h, NBE_WHY_REPLY_LENGTH);
		return;
	}
	/* The reply that ends the option is one more than those it consists of. */
	if (h->replies++ > o->replies_max) {
		fail(h, NBE_WHY_TOO_MANY_REPLIES);
		return;
	}
	h->unread = h->reply_len > BODY_MAX ? h->reply_len - BODY_MAX : 0;
	want(h, REPLY_BODY, h->reply_len - h->unread);
}

/* An error's text is for people: cut where it is too long or holds a NUL. */
static void
take_message(struct nbe_hs *h)
{
	uint32_t len = 0;

	while (len < h->reply_len && len < NBE_MAX_STRING && h->in[len] != 0)
		len++;
	h->message_len = len;
}

static void
run_reply(struct nbe_hs *h)
{
	const struct option *o = &option_steps[h->option];

	if (REP_IS_ERROR(h->reply)) {
		take_message(h);
		o->declined(h);
	} else {
		o->accepted(h);
	}
}

/* in[0..BODY_MAX) keeps the body; what is dropped goes behind it. */
static void
run_reply_body(struct nbe_hs *h)
{
	uint32_t room = sizeof h->in - BODY_MAX;

	if (h->unread == 0) {
		run_reply(h);
		return;
	}
	want(h, REPLY_DROP, h->unread < room ? h->unread : room);
	h->in_base = BODY_MAX;
	h->unread -= h->in_need;
}

static void (*const run_step[STEPS])(struct nbe_hs *) = {
	[GREETING] = run_greeting,
	[STYLE] = run_style,
	[OLDSTYLE_EXPORT] = run_oldstyle_export,
	[OLDSTYLE_LISTED] = run_oldstyle_listed,
	[HANDSHAKE_FLAGS] = run_handshake_flags,
	[REPLY_HEAD] = run_reply_head,
	[REPLY_BODY] = run_reply_body,
	[REPLY_DROP] = run_reply_body,
	[EXPORT_NAME_REPLY] = run_export_name_reply,
};

/* A step may want no bytes (an empty reply body): run until one does. */
static void
advance(struct nbe_hs *h)
{
	while (h->state == NBE_HS_IO && h->in_len == h->in_need)
		run_step[h->step](h);
}

/* ---- the seam ------------------------------------------------------------ */

void
nbe_hs_init(struct nbe_hs *h, const struct nbe_hs_config *cfg)
{
	NBE_ASSERT(cfg->name_len <= NBE_MAX_STRING);
	memset(h, 0, sizeof *h);
	h->cfg = *cfg;
	want(h, GREETING, LEN_MAGIC);
}

enum nbe_hs_state
nbe_hs_state(const struct nbe_hs *h)
{
	return h->state;
}

const uint8_t *
nbe_hs_send_buf(const struct nbe_hs *h, size_t *len)
{
	*len = h->out_len - h->out_pos;
	return *len > 0 ? h->out + h->out_pos : NULL;
}

void
nbe_hs_send_ack(struct nbe_hs *h, size_t len)
{
	NBE_ASSERT(len <= h->out_len - h->out_pos);
	h->out_pos += (uint32_t)len;
	if (h->out_pos == h->out_len)
		h->out_pos = h->out_len = 0;
}

uint8_t *
nbe_hs_recv_buf(struct nbe_hs *h, size_t *len)
{
	if (h->state != NBE_HS_IO || h->out_len > 0) {
		*len = 0;
		return NULL;
	}
	*len = h->in_need - h->in_len;
	return h->in + h->in_base + h->in_len;
}

void
nbe_hs_recv_ack(struct nbe_hs *h, size_t len)
{
	NBE_ASSERT(h->state == NBE_HS_IO && len <= h->in_need - h->in_len);
	h->in_len += (uint32_t)len;
	advance(h);
}

void
nbe_hs_resume(struct nbe_hs *h)
{
	NBE_ASSERT(h->state == NBE_HS_TLS || h->state == NBE_HS_ITEM);
	if (h->state == NBE_HS_TLS) {
		/* STARTTLS is first in the table: nothing was negotiated before
		 * it that would have to be forgotten now. */
		h->state = NBE_HS_IO;
		h->in_tls = true;
		next_option(h);
	} else {
		h->state = NBE_HS_IO;
		advance(h);
	}
}

/* A server without such an export can say no to EXPORT_NAME in no other way. */
void
nbe_hs_closed(struct nbe_hs *h)
{
	if (h->state != NBE_HS_IO && h->state != NBE_HS_TLS && h->state != NBE_HS_ITEM)
		return;
	if (h->step == EXPORT_NAME_REPLY && h->in_len == 0 && h->out_len == 0)
		fail(h, NBE_WHY_UNKNOWN_EXPORT);
	else if (h->step <= STYLE && h->in_len > 0)
		fail(h, NBE_WHY_NOT_NBD);
	else
		fail(h, NBE_WHY_CLOSED);
}

void
nbe_hs_abort(struct nbe_hs *h)
{
	stop(h, NBE_HS_ABORTING);
	if (h->idle)
		send_option(h, OPT_ABORT, NULL);
}

const struct nbe_export *
nbe_hs_export(const struct nbe_hs *h)
{
	return &h->exp;
}

struct nbe_text
nbe_hs_name(const struct nbe_hs *h)
{
	return (struct nbe_text){ h->name_buf, h->name_len };
}

struct nbe_text
nbe_hs_about(const struct nbe_hs *h)
{
	return (struct nbe_text){ h->about_buf, h->about_len };
}

enum nbe_why
nbe_hs_why(const struct nbe_hs *h)
{
	return h->why;
}

struct nbe_text
nbe_hs_message(const struct nbe_hs *h)
{
	return (struct nbe_text){ (const char *)h->in, h->message_len };
}
