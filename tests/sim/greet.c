/*
 * greet.c - the handshake of each connection, and somebody in the middle.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server with options, one message at a time, feeds the engine's handshake with
 * pieces of every size.  Now and then the server, or a man in the middle of the
 * clear-text part, says something else.  P8: where TLS is required, no handshake
 * is ever done outside TLS, whatever was said.
 */
#include <string.h>

#include "sim.h"

struct greeter {
	struct nbe_hs hs;
	const struct nbe_export *offer;
	struct pipe up, down;
	bool has_tls, in_tls, greeted;
	bool lies;
};

static void
say(struct greeter *g, uint32_t option, uint32_t reply, const void *data, uint32_t len)
{
	uint8_t b[LEN_OPTION_REPLY];

	if (g->lies && one_in(6))
		reply = one_in(2) ? REP_ACK : REP_ERR((uint32_t)below(12));
	put32(put32(put32(put64(b, MAGIC_OPTION_REPLY), option), reply), len);
	if (g->lies && one_in(20))
		b[below(sizeof(b))] ^= (uint8_t)(1u << below(8));
	pipe_put(&g->down, b, sizeof(b));
	pipe_put(&g->down, data, len);
}

static void
greet(struct greeter *g)
{
	uint8_t b[18];

	put16(put64(put64(b, MAGIC_SERVER), MAGIC_OPTION),
	    NBE_HS_FIXED_NEWSTYLE | NBE_HS_NO_ZEROES);
	if (g->lies && one_in(10))
		b[below(sizeof(b))] ^= (uint8_t)(1u << below(8));
	pipe_put(&g->down, b, sizeof(b));
}

static void
say_export(struct greeter *g, uint32_t option)
{
	const struct nbe_export *e = g->offer;
	uint8_t b[LEN_INFO_BLOCK_SIZE];

	put16(put64(put16(b, INFO_EXPORT), e->size), e->flags);
	say(g, option, REP_INFO, b, LEN_INFO_EXPORT);
	put32(put32(put32(put16(b, INFO_BLOCK_SIZE), e->block_min), e->block_pref),
	    e->payload_max);
	say(g, option, REP_INFO, b, LEN_INFO_BLOCK_SIZE);
	say(g, option, REP_ACK, NULL, 0);
}

static void
say_context(struct greeter *g, uint32_t option)
{
	uint8_t b[4 + 15];

	memcpy(put32(b, g->offer->alloc_context), "base:allocation", 15);
	if (g->offer->has_alloc)
		say(g, option, REP_META_CONTEXT, b, sizeof(b));
	say(g, option, REP_ACK, NULL, 0);
}

static bool
supports(const struct greeter *g, uint32_t option)
{
	switch (option) {
	case OPT_STARTTLS:
		return g->has_tls && !g->in_tls;
	case OPT_STRUCTURED_REPLY:
		return g->offer->framing == NBE_STRUCTURED;
	case OPT_EXTENDED_HEADERS:
		return g->offer->framing == NBE_EXTENDED;
	default:
		return option == OPT_GO || option == OPT_SET_META_CONTEXT;
	}
}

static void
answer(struct greeter *g, uint32_t option)
{
	HOLDS("P8", g->hs.cfg.tls != NBE_TLS_REQUIRED || g->in_tls ||
	    option == OPT_STARTTLS || option == OPT_ABORT,
	    "option %u in clear text, though TLS is required", option);
	if (!supports(g, option))
		say(g, option, REP_ERR_UNSUP, NULL, 0);
	else if (option == OPT_GO)
		say_export(g, option);
	else if (option == OPT_SET_META_CONTEXT)
		say_context(g, option);
	else
		say(g, option, REP_ACK, NULL, 0);
}

/* What the client sent: its flags, then options. */
static void
listen(struct greeter *g)
{
	if (!g->greeted) {
		if (g->up.len < 4)
			return;
		pipe_take(&g->up, NULL, 4);
		g->greeted = true;
	}
	while (g->up.len >= LEN_OPTION) {
		const uint8_t *p = pipe_peek(&g->up);
		uint32_t option = get32(p + 8), len = get32(p + 12);

		HOLDS("protocol", get64(p) == MAGIC_OPTION, "option magic");
		if (g->up.len < LEN_OPTION + len)
			return;
		pipe_take(&g->up, NULL, LEN_OPTION + len);
		answer(g, option);
	}
}

static void
start_tls(struct greeter *g)
{
	HOLDS("P8", !g->in_tls, "TLS in TLS");
	g->in_tls = true;
	if (!one_in(4))
		g->lies = false;	/* nobody is in the middle any more */
	nbe_hs_resume(&g->hs);
}

/* One piece, either way.  False: both wait for the other. */
static bool
move(struct greeter *g)
{
	size_t len;
	const uint8_t *out = nbe_hs_send_buf(&g->hs, &len);
	uint8_t *in;

	if (len != 0) {
		len = 1 + below(len);
		pipe_put(&g->up, out, len);
		nbe_hs_send_ack(&g->hs, len);
		listen(g);
		return true;
	}
	in = nbe_hs_recv_buf(&g->hs, &len);
	if (len == 0 || g->down.len == 0)
		return false;
	len = 1 + below(len < g->down.len ? len : g->down.len);
	pipe_take(&g->down, in, len);
	nbe_hs_recv_ack(&g->hs, len);
	return true;
}

static enum nbe_hs_state
negotiate(struct greeter *g)
{
	unsigned limit = 20000;

	greet(g);
	for (;;) {
		HOLDS("P7", limit-- != 0, "a handshake without end");
		if (nbe_hs_state(&g->hs) == NBE_HS_TLS)
			start_tls(g);
		else if (nbe_hs_state(&g->hs) != NBE_HS_IO)
			break;
		else if (!move(g)) {
			nbe_hs_closed(&g->hs);
			break;
		}
	}
	return nbe_hs_state(&g->hs);
}

/* False: there is no connection.  Else *got is what the engine made of offer. */
bool
greet_line(const struct nbe_export *offer, struct nbe_export *got)
{
	static struct greeter g;
	struct nbe_hs_config cfg = {
		.name = "disk", .name_len = 4, .goal = NBE_GOAL_GO,
		.tls = (enum nbe_tls)below(3), .framing_max = NBE_EXTENDED,
		.want_alloc = true,
	};
	bool done, lies = one_in(8);

	memset(&g, 0, sizeof(g));
	g.offer = offer;
	g.has_tls = one_in(2);
	g.lies = lies;
	nbe_hs_init(&g.hs, &cfg);
	done = negotiate(&g) == NBE_HS_DONE;
	HOLDS("P8", !done || cfg.tls != NBE_TLS_REQUIRED || g.in_tls,
	    "negotiated in clear text, though TLS is required");
	HOLDS("P8", cfg.tls != NBE_TLS_OFF || !g.in_tls, "TLS, though it is off");
	HOLDS("protocol", done || lies || (cfg.tls == NBE_TLS_REQUIRED && !g.has_tls),
	    "no handshake with an honest server: %s", nbe_why_text(nbe_hs_why(&g.hs)));
	*got = *nbe_hs_export(&g.hs);
	pipe_clear(&g.up);
	pipe_clear(&g.down);
	return done && !lies;
}
