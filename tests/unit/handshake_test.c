/*
 * handshake_test.c - the handshake against servers made of bytes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server here is a byte vector: what it would send, the client's part left out.
 * Each vector is played in every chunk size, cut at every byte, and with every
 * byte damaged; its own check then looks at how the undamaged one ended.  "point"
 * in a name is the number in the protocol checklist of docs/protocol.md.
 */
#include <stdlib.h>

#include "nbe.h"
#include "test.h"
#include "wire.h"

#define BYTES_MAX	100000
#define SENT_MAX	20000
#define STEPS_MAX	2000000		/* a handshake that takes more does not end */

struct bytes {
	size_t	len;
	uint8_t	at[BYTES_MAX];
};

struct result {
	struct nbe_hs	hs;
	enum nbe_hs_state state;
	enum nbe_why	why;
	struct nbe_export exp;
	unsigned	items, tls_starts;
	char		items_text[512];	/* "name=about;" for each */
	char		name[80], about[80], message[80];
	size_t		used;			/* bytes of the server that were read */
	size_t		sent_len, aborted_len;
	uint8_t		sent[SENT_MAX];
};

/* ---- the server's bytes -------------------------------------------------- */

static void
add(struct bytes *b, const void *p, size_t len)
{
	memcpy(b->at + b->len, p, len);
	b->len += len;
}

static void
add16(struct bytes *b, uint16_t v)
{
	put16(b->at + b->len, v);
	b->len += 2;
}

static void
add32(struct bytes *b, uint32_t v)
{
	put32(b->at + b->len, v);
	b->len += 4;
}

static void
add64(struct bytes *b, uint64_t v)
{
	put64(b->at + b->len, v);
	b->len += 8;
}

static void
fill(struct bytes *b, uint8_t v, size_t len)
{
	memset(b->at + b->len, v, len);
	b->len += len;
}

static void
greet(struct bytes *b, uint16_t flags)
{
	add64(b, MAGIC_SERVER);
	add64(b, MAGIC_OPTION);
	add16(b, flags);
}

static void
greet_fixed(struct bytes *b)
{
	greet(b, NBE_HS_FIXED_NEWSTYLE | NBE_HS_NO_ZEROES);
}

static void
head(struct bytes *b, uint32_t option, uint32_t reply, uint32_t len)
{
	add64(b, MAGIC_OPTION_REPLY);
	add32(b, option);
	add32(b, reply);
	add32(b, len);
}

static void
ack(struct bytes *b, uint32_t option)
{
	head(b, option, REP_ACK, 0);
}

static void
refuse(struct bytes *b, uint32_t option, uint32_t reply, const char *text)
{
	head(b, option, reply, (uint32_t)strlen(text));
	add(b, text, strlen(text));
}

static void
info_export(struct bytes *b, uint32_t option, uint64_t size, uint16_t flags)
{
	head(b, option, REP_INFO, LEN_INFO_EXPORT);
	add16(b, INFO_EXPORT);
	add64(b, size);
	add16(b, flags);
}

static void
info_block_size(struct bytes *b, uint32_t min, uint32_t pref, uint32_t max)
{
	head(b, OPT_GO, REP_INFO, LEN_INFO_BLOCK_SIZE);
	add16(b, INFO_BLOCK_SIZE);
	add32(b, min);
	add32(b, pref);
	add32(b, max);
}

static void
info_text(struct bytes *b, uint32_t option, uint16_t type, const char *text)
{
	head(b, option, REP_INFO, 2 + (uint32_t)strlen(text));
	add16(b, type);
	add(b, text, strlen(text));
}

static void
listed(struct bytes *b, const char *name, const char *about)
{
	head(b, OPT_LIST, REP_SERVER, 4 + (uint32_t)(strlen(name) + strlen(about)));
	add32(b, (uint32_t)strlen(name));
	add(b, name, strlen(name));
	add(b, about, strlen(about));
}

static void
meta_context(struct bytes *b, uint32_t id, const char *name)
{
	head(b, OPT_SET_META_CONTEXT, REP_META_CONTEXT, 4 + (uint32_t)strlen(name));
	add32(b, id);
	add(b, name, strlen(name));
}

/* ---- the player ---------------------------------------------------------- */

static void
copy_text(char *to, size_t size, struct nbe_text t)
{
	size_t len = t.len < size - 1 ? t.len : size - 1;

	memcpy(to, t.ptr, len);
	to[len] = '\0';
}

static void
take_item(struct result *r)
{
	char name[80], about[80];
	size_t used = strlen(r->items_text);

	copy_text(name, sizeof name, nbe_hs_name(&r->hs));
	copy_text(about, sizeof about, nbe_hs_about(&r->hs));
	snprintf(r->items_text + used, sizeof r->items_text - used, "%s=%s;", name,
	    about);
	r->items++;
	nbe_hs_resume(&r->hs);
}

static void
take_sent(struct result *r, size_t chunk)
{
	size_t len;
	const uint8_t *p = nbe_hs_send_buf(&r->hs, &len);

	if (len > chunk)
		len = chunk;
	CHECK(r->sent_len + len <= SENT_MAX);
	memcpy(r->sent + r->sent_len, p, len);
	r->sent_len += len;
	nbe_hs_send_ack(&r->hs, len);
}

static void
receive(struct result *r, const struct bytes *server, size_t chunk)
{
	size_t len;
	uint8_t *p = nbe_hs_recv_buf(&r->hs, &len);

	CHECK(p != NULL && len > 0);
	if (r->used == server->len) {
		nbe_hs_closed(&r->hs);
		return;
	}
	if (len > chunk)
		len = chunk;
	if (len > server->len - r->used)
		len = server->len - r->used;
	memcpy(p, server->at + r->used, len);
	r->used += len;
	nbe_hs_recv_ack(&r->hs, len);
}

static void
finish(struct result *r)
{
	size_t len;

	r->state = nbe_hs_state(&r->hs);
	r->why = nbe_hs_why(&r->hs);
	r->exp = *nbe_hs_export(&r->hs);
	copy_text(r->name, sizeof r->name, nbe_hs_name(&r->hs));
	copy_text(r->about, sizeof r->about, nbe_hs_about(&r->hs));
	copy_text(r->message, sizeof r->message, nbe_hs_message(&r->hs));
	CHECK(nbe_hs_send_buf(&r->hs, &len) == NULL && len == 0);
	CHECK(nbe_hs_recv_buf(&r->hs, &len) == NULL && len == 0);
	nbe_hs_abort(&r->hs);
	CHECK(nbe_hs_state(&r->hs) == NBE_HS_ABORTING);
	CHECK(nbe_hs_why(&r->hs) == r->why);
	(void)nbe_hs_send_buf(&r->hs, &r->aborted_len);
}

static void
play(struct result *r, const struct nbe_hs_config *cfg, const struct bytes *server,
    size_t chunk)
{
	unsigned steps = 0;
	size_t len;

	memset(r, 0, sizeof *r);
	nbe_hs_init(&r->hs, cfg);
	for (;;) {
		enum nbe_hs_state state = nbe_hs_state(&r->hs);

		CHECK(++steps < STEPS_MAX);
		if (state == NBE_HS_DONE || state == NBE_HS_FAILED ||
		    steps >= STEPS_MAX)
			break;
		if (state == NBE_HS_TLS) {
			r->tls_starts++;
			nbe_hs_resume(&r->hs);
		} else if (state == NBE_HS_ITEM) {
			take_item(r);
		} else if (nbe_hs_send_buf(&r->hs, &len) != NULL) {
			take_sent(r, chunk);
		} else {
			receive(r, server, chunk);
		}
	}
	finish(r);
}

/* Where option number n of what the client sent begins, behind its flags. */
static const uint8_t *
sent_option(const struct result *r, unsigned n)
{
	const uint8_t *p = r->sent + 4;

	while (n-- > 0)
		p += LEN_OPTION + get32(p + 12);
	CHECK(p + LEN_OPTION <= r->sent + r->sent_len);
	CHECK(get64(p) == MAGIC_OPTION);
	return p;
}

static uint32_t
sent_code(const struct result *r, unsigned n)
{
	return get32(sent_option(r, n) + 8);
}

static unsigned
sent_options(const struct result *r)
{
	const uint8_t *p = r->sent + 4;
	unsigned n = 0;

	while (p < r->sent + r->sent_len) {
		p += LEN_OPTION + get32(p + 12);
		n++;
	}
	return n;
}

static bool
failed(const struct result *r, enum nbe_why why)
{
	return r->state == NBE_HS_FAILED && r->why == why;
}

/* ---- vectors and what is to come of them --------------------------------- */

#define FLAGS	(NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH | NBE_FLAG_SEND_FUA)
#define GO_CFG	{ .name = "disk", .name_len = 4 }
#define LIST_CFG { .goal = NBE_GOAL_LIST }
#define TLS_CFG	{ .name = "disk", .name_len = 4, .tls = NBE_TLS_REQUIRED }
#define FULL_CFG { .name = "disk", .name_len = 4, .framing_max = NBE_EXTENDED, \
	.want_alloc = true }

static void
go_server(struct bytes *b)
{
	greet_fixed(b);
	info_text(b, OPT_GO, INFO_NAME, "the-disk");
	info_text(b, OPT_GO, 77, "unknown information");
	info_block_size(b, 512, 4096, 1000000);
	info_export(b, OPT_GO, 1048576 + 100, FLAGS);
	info_text(b, OPT_GO, INFO_DESCRIPTION, "a disk");
	ack(b, OPT_GO);
	fill(b, 0xee, 20);
}

static void
go_check(const struct result *r)
{
	const uint8_t *option = sent_option(r, 0);

	CHECK(r->state == NBE_HS_DONE && r->why == NBE_WHY_NONE);
	CHECK(r->exp.size == 1048576 && r->exp.flags == FLAGS);
	CHECK(r->exp.block_min == 512 && r->exp.block_pref == 4096);
	CHECK(r->exp.payload_max == 1000000 / 512 * 512);
	CHECK(r->exp.has_block_size && !r->exp.tls && !r->exp.has_alloc);
	CHECK(r->exp.hs_flags == (NBE_HS_FIXED_NEWSTYLE | NBE_HS_NO_ZEROES));
	CHECK(strcmp(r->name, "the-disk") == 0 && strcmp(r->about, "a disk") == 0);
	CHECK(get32(r->sent) == 3 && sent_options(r) == 1 && sent_code(r, 0) == OPT_GO);
	CHECK(get32(option + 12) == 4 + 4 + 2 + 4 * 2 && get32(option + 16) == 4);
	CHECK(memcmp(option + 20, "disk", 4) == 0 && get16(option + 24) == 4);
	CHECK(r->aborted_len == 0);
}

static void
unknown_flags_server(struct bytes *b)
{
	greet(b, 0xfffd);
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
unknown_flags_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && get32(r->sent) == NBE_HS_FIXED_NEWSTYLE);
	CHECK(r->exp.block_min == 512 && r->exp.block_pref == 4096);
	CHECK(r->exp.payload_max == NBE_PAYLOAD_DEFAULT && !r->exp.has_block_size);
}

static void
not_nbd_server(struct bytes *b)
{
	add(b, "SSH-2.0-OpenSSH_9.2p1\r\n", 23);
}

static void
not_nbd_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_NOT_NBD) && r->used == 8 && r->sent_len == 0);
}

static void
short_not_nbd_server(struct bytes *b)
{
	add(b, "220 hi", 6);
}

static void
short_not_nbd_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_NOT_NBD));
}

static void
nothing_server(struct bytes *b)
{
	(void)b;
}

static void
closed_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_CLOSED) && r->aborted_len == 0);
}

static void
wrong_second_magic_server(struct bytes *b)
{
	add64(b, MAGIC_SERVER);
	add64(b, 0x12560953);
}

static void
wrong_second_magic_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_NOT_NBD));
}

static void
oldstyle_server(struct bytes *b)
{
	add64(b, MAGIC_SERVER);
	add64(b, MAGIC_OLDSTYLE);
	add64(b, 65536 + 5);
	add32(b, FLAGS);
	fill(b, 0, 124);
	fill(b, 0xee, 4);
}

static void
oldstyle_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.size == 65536 && r->exp.flags == FLAGS);
	CHECK(r->exp.hs_flags == 0 && r->sent_len == 0 && r->used == 152);
}

static void
oldstyle_list_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->items == 1);
	CHECK(strcmp(r->items_text, "=;") == 0);
}

static void
unknown_export_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNKNOWN_EXPORT));
}

static void
tls_refused_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_TLS_REFUSED) && r->tls_starts == 0);
}

/* Fixed newstyle missing: nothing but EXPORT_NAME is sent. */
static void
not_fixed_server(struct bytes *b)
{
	greet(b, 0);
	add64(b, 8192);
	add16(b, FLAGS);
	fill(b, 0, 124);
	fill(b, 0xee, 4);
}

static void
not_fixed_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.size == 8192 && r->exp.tail == 0);
	CHECK(sent_options(r) == 1 && sent_code(r, 0) == OPT_EXPORT_NAME);
	CHECK(get32(sent_option(r, 0) + 12) == 4 && get32(r->sent) == 0);
	CHECK(r->used == 18 + 10 + 124 && r->aborted_len == 0);
}

static void
not_fixed_list_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNSUPPORTED) && sent_options(r) == 0);
	CHECK(r->aborted_len == 0);
}

static void
no_zeroes_server(struct bytes *b)
{
	greet(b, NBE_HS_NO_ZEROES);
	add64(b, 8192);
	add16(b, FLAGS);
	fill(b, 0xee, 4);
}

static void
no_zeroes_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->used == 28);
}

static void
export_name_closed_server(struct bytes *b)
{
	greet(b, 0);
}

static void
export_name_cut_server(struct bytes *b)
{
	greet(b, 0);
	add32(b, 0);
}

static void
go_unsupported_server(struct bytes *b)
{
	greet(b, NBE_HS_FIXED_NEWSTYLE);
	refuse(b, OPT_GO, REP_ERR_UNSUP, "what is GO?");
	add64(b, 8192);
	add16(b, FLAGS);
	fill(b, 0, 124);
}

static void
go_unsupported_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.size == 8192);
	CHECK(nbe_hs_message(&r->hs).len == 0);
	CHECK(sent_code(r, 0) == OPT_GO && sent_code(r, 1) == OPT_EXPORT_NAME);
}

static void
go_unsupported_in_tls_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_STARTTLS);
	refuse(b, OPT_GO, REP_ERR_UNSUP, "");
}

static void
unsupported_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNSUPPORTED) && sent_options(r) == 2);
	CHECK(r->aborted_len == LEN_OPTION);
}

static void
go_unsupported_ext_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	refuse(b, OPT_GO, REP_ERR_UNSUP, "");
}

static void
info_server(struct bytes *b)
{
	greet_fixed(b);
	info_export(b, OPT_INFO, 4096, FLAGS);
	info_text(b, OPT_INFO, INFO_DESCRIPTION, "about");
	ack(b, OPT_INFO);
}

static void
info_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && sent_code(r, 0) == OPT_INFO);
	CHECK(strcmp(r->about, "about") == 0 && r->aborted_len == LEN_OPTION);
}

static void
info_unsupported_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_INFO, REP_ERR_UNSUP, "");
}

static void
info_unsupported_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNSUPPORTED) && sent_options(r) == 1);
}

static void
list_server(struct bytes *b)
{
	greet_fixed(b);
	listed(b, "", "the default");
	listed(b, "a", "");
	listed(b, "disk b", "with words");
	ack(b, OPT_LIST);
}

static void
list_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->items == 3);
	CHECK(strcmp(r->items_text, "=the default;a=;disk b=with words;") == 0);
	CHECK(r->aborted_len == LEN_OPTION && sent_options(r) == 1);
	CHECK(nbe_hs_name(&r->hs).len == 0 && nbe_hs_about(&r->hs).len == 0);
}

static void
list_name_length_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_LIST, REP_SERVER, 8);
	add32(b, 5);
	fill(b, 'x', 4);
}

static void
reply_length_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_REPLY_LENGTH) && r->aborted_len == 0);
}

static void
list_short_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_LIST, REP_SERVER, 3);
	fill(b, 0, 3);
}

static void
list_long_name_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_LIST, REP_SERVER, 4 + NBE_MAX_STRING + 1);
	add32(b, NBE_MAX_STRING + 1);
	fill(b, 'x', NBE_MAX_STRING + 1);
}

static void
bad_string_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_BAD_STRING));
}

static void
list_nul_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_LIST, REP_SERVER, 4 + 3);
	add32(b, 3);
	add(b, "a\0b", 3);
}

static void
list_long_about_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_LIST, REP_SERVER, 4 + NBE_MAX_STRING + 9000);
	add32(b, NBE_MAX_STRING);
	fill(b, 'n', NBE_MAX_STRING);
	fill(b, 'd', 9000);
	ack(b, OPT_LIST);
}

static void
list_long_about_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->items == 1);
}

static void
info_endless_server(struct bytes *b)
{
	int i;

	greet_fixed(b);
	for (i = 0; i < 300; i++)
		info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
too_many_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_TOO_MANY_REPLIES));
}

static void
tls_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_STARTTLS);
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
tls_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->tls_starts == 1 && r->exp.tls);
	CHECK(sent_code(r, 0) == OPT_STARTTLS && get32(sent_option(r, 0) + 12) == 0);
	CHECK(sent_code(r, 1) == OPT_GO);
}

static void
tls_unsupported_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_STARTTLS, REP_ERR_UNSUP, "");
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
tls_refused_politely_check(const struct result *r)
{
	tls_refused_check(r);
	CHECK(sent_options(r) == 1 && r->aborted_len == LEN_OPTION);
}

static void
tls_if_offered_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->tls_starts == 0 && !r->exp.tls);
}

static void
tls_ack_with_data_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_STARTTLS, REP_ACK, 4);
	add32(b, 0);
}

static void
tls_strange_reply_server(struct bytes *b)
{
	greet_fixed(b);
	info_export(b, OPT_STARTTLS, 4096, FLAGS);
}

static void
unexpected_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNEXPECTED_REPLY) && r->aborted_len == 0);
}

static void
tls_required_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR_TLS_REQD, "come back with TLS");
}

static void
tls_required_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_TLS_REQUIRED) && r->aborted_len == LEN_OPTION);
	CHECK(strcmp(r->message, "come back with TLS") == 0);
}

static void
unknown_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR_UNKNOWN, "no disk");
}

static void
unknown_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNKNOWN_EXPORT) && strcmp(r->message, "no disk") == 0);
	CHECK(r->aborted_len == LEN_OPTION);
}

static void
policy_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR_POLICY, "cut\0here");
}

static void
policy_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_POLICY) && strcmp(r->message, "cut") == 0);
}

static void
unknown_error_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR(4711), "whatever");
}

static void
unknown_error_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_REFUSED) && strcmp(r->message, "whatever") == 0);
}

static void
long_error_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, REP_ERR_UNKNOWN, 65536);
	fill(b, 'm', 65536);
	fill(b, 0xee, 4);
}

static void
long_error_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_UNKNOWN_EXPORT) && r->used == 18 + 20 + 65536);
	CHECK(nbe_hs_message(&r->hs).len == NBE_MAX_STRING);
}

static void
huge_reply_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, REP_ERR_UNKNOWN, UINT32_MAX);
}

static void
shutdown_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_EXTENDED_HEADERS, REP_ERR_SHUTDOWN, "");
}

static void
shutdown_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_SHUTDOWN) && r->aborted_len == LEN_OPTION);
}

static void
block_size_required_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR_BLOCK_SIZE_REQD, "");
}

static void
block_size_required_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_BLOCK_SIZE_REQUIRED) && r->aborted_len == LEN_OPTION);
}

static void
ext_required_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_GO, REP_ERR_EXT_HEADER_REQD, "");
}

static void
ext_required_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_EXT_HEADERS_REQUIRED));
}

static void
reply_magic_server(struct bytes *b)
{
	greet_fixed(b);
	add64(b, MAGIC_OPTION);
	fill(b, 0, 12);
}

static void
reply_magic_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_REPLY_MAGIC));
}

static void
wrong_option_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_INFO);
}

static void
wrong_option_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_WRONG_OPTION));
}

static void
strange_reply_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, 99, 0);
}

static void
no_export_info_server(struct bytes *b)
{
	greet_fixed(b);
	info_block_size(b, 1, 4096, 65536);
	ack(b, OPT_GO);
}

static void
no_export_info_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_NO_EXPORT_INFO) && r->aborted_len == 0);
}

static void
conflict_server(struct bytes *b)
{
	greet_fixed(b);
	info_export(b, OPT_GO, 4096, FLAGS);
	info_export(b, OPT_GO, 8192, FLAGS);
	ack(b, OPT_GO);
}

static void
block_conflict_server(struct bytes *b)
{
	greet_fixed(b);
	info_block_size(b, 1, 4096, 65536);
	info_block_size(b, 512, 4096, 65536);
}

static void
payload_conflict_server(struct bytes *b)
{
	greet_fixed(b);
	info_block_size(b, 512, 4096, 65536);
	info_block_size(b, 512, 4096, 131072);
}

static void
conflict_check(const struct result *r)
{
	CHECK(failed(r, NBE_WHY_INFO_CONFLICT));
}

static void
info_export_length_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, REP_INFO, LEN_INFO_EXPORT + 1);
	add16(b, INFO_EXPORT);
	fill(b, 1, LEN_INFO_EXPORT - 1);
}

static void
info_block_size_length_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, REP_INFO, LEN_INFO_BLOCK_SIZE - 1);
	add16(b, INFO_BLOCK_SIZE);
	fill(b, 1, LEN_INFO_BLOCK_SIZE - 3);
}

static void
info_short_server(struct bytes *b)
{
	greet_fixed(b);
	head(b, OPT_GO, REP_INFO, 1);
	fill(b, 0, 1);
}

static void
full_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_EXTENDED_HEADERS, REP_ERR_UNSUP, "old");
	ack(b, OPT_STRUCTURED_REPLY);
	meta_context(b, 17, "base:allocation");
	ack(b, OPT_SET_META_CONTEXT);
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
full_check(const struct result *r)
{
	const uint8_t *meta = sent_option(r, 2);

	CHECK(r->state == NBE_HS_DONE && r->exp.framing == NBE_STRUCTURED);
	CHECK(r->exp.has_alloc && r->exp.alloc_context == 17);
	CHECK(sent_code(r, 0) == OPT_EXTENDED_HEADERS);
	CHECK(sent_code(r, 1) == OPT_STRUCTURED_REPLY);
	CHECK(sent_code(r, 2) == OPT_SET_META_CONTEXT && sent_code(r, 3) == OPT_GO);
	CHECK(get32(meta + 12) == 4 + 4 + 4 + 4 + 15 && get32(meta + 24) == 1);
	CHECK(memcmp(meta + 32, "base:allocation", 15) == 0);
}

static void
extended_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	refuse(b, OPT_SET_META_CONTEXT, REP_ERR_POLICY, "no");
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
extended_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.framing == NBE_EXTENDED);
	CHECK(!r->exp.has_alloc && sent_options(r) == 3);
}

static void
context_withdrawn_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	meta_context(b, 3, "base:allocation");
	refuse(b, OPT_SET_META_CONTEXT, REP_ERR_PLATFORM, "after all, no");
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
simple_server(struct bytes *b)
{
	greet_fixed(b);
	refuse(b, OPT_EXTENDED_HEADERS, REP_ERR_UNSUP, "");
	refuse(b, OPT_STRUCTURED_REPLY, REP_ERR_POLICY, "");
	info_export(b, OPT_GO, 4096, FLAGS);
	ack(b, OPT_GO);
}

static void
simple_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.framing == NBE_SIMPLE);
	CHECK(sent_options(r) == 3);
}

static void
strange_context_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	meta_context(b, 1, "base:allocatiom");
}

static void
shorter_context_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	meta_context(b, 1, "base:alloc");
}

static void
context_conflict_server(struct bytes *b)
{
	greet_fixed(b);
	ack(b, OPT_EXTENDED_HEADERS);
	meta_context(b, 1, "base:allocation");
	meta_context(b, 2, "base:allocation");
}

static void
no_flags_server(struct bytes *b)
{
	greet_fixed(b);
	info_export(b, OPT_GO, 4096, 0xfffe);
	ack(b, OPT_GO);
}

static void
no_flags_check(const struct result *r)
{
	CHECK(r->state == NBE_HS_DONE && r->exp.flags == 0);
}

struct vector {
	const char *name;
	struct nbe_hs_config cfg;
	void (*server)(struct bytes *);
	void (*check)(const struct result *);
};

static const struct vector vectors[] = {
	{ "point_10_13_go_with_all_information", GO_CFG, go_server, go_check },
	{ "point_3_39_unknown_flags_no_block_sizes", GO_CFG, unknown_flags_server,
	    unknown_flags_check },
	{ "point_2_not_nbd", GO_CFG, not_nbd_server, not_nbd_check },
	{ "point_2_not_nbd_and_short", GO_CFG, short_not_nbd_server,
	    short_not_nbd_check },
	{ "closed_without_a_word", GO_CFG, nothing_server, closed_check },
	{ "point_2_reserved_magic", GO_CFG, wrong_second_magic_server,
	    wrong_second_magic_check },
	{ "point_2_oldstyle", { 0 }, oldstyle_server, oldstyle_check },
	{ "point_2_oldstyle_list", LIST_CFG, oldstyle_server, oldstyle_list_check },
	{ "point_2_oldstyle_has_no_names", GO_CFG, oldstyle_server,
	    unknown_export_check },
	{ "point_28_oldstyle_tls_required", TLS_CFG, oldstyle_server,
	    tls_refused_check },
	{ "point_4_without_fixed_newstyle", GO_CFG, not_fixed_server,
	    not_fixed_check },
	{ "point_4_list_without_fixed_newstyle", LIST_CFG, not_fixed_server,
	    not_fixed_list_check },
	{ "point_28_tls_required_without_fixed_newstyle", TLS_CFG, not_fixed_server,
	    tls_refused_check },
	{ "point_14_no_zeroes", GO_CFG, no_zeroes_server, no_zeroes_check },
	{ "point_14_closed_is_unknown_export", GO_CFG, export_name_closed_server,
	    unknown_export_check },
	{ "point_14_closed_within_the_reply", GO_CFG, export_name_cut_server,
	    closed_check },
	{ "point_9_go_unsupported", GO_CFG, go_unsupported_server,
	    go_unsupported_check },
	{ "point_35_no_export_name_in_tls", TLS_CFG, go_unsupported_in_tls_server,
	    unsupported_check },
	{ "point_91_no_export_name_with_extended_headers",
	    { .framing_max = NBE_EXTENDED }, go_unsupported_ext_server,
	    unsupported_check },
	{ "point_15_info", { .goal = NBE_GOAL_INFO }, info_server, info_check },
	{ "point_15_info_unsupported", { .goal = NBE_GOAL_INFO },
	    info_unsupported_server, info_unsupported_check },
	{ "point_20_list", LIST_CFG, list_server, list_check },
	{ "point_20_list_name_longer_than_reply", LIST_CFG, list_name_length_server,
	    reply_length_check },
	{ "point_20_list_reply_too_short", LIST_CFG, list_short_server,
	    reply_length_check },
	{ "point_1_list_name_too_long", LIST_CFG, list_long_name_server,
	    bad_string_check },
	{ "point_1_list_name_with_nul", LIST_CFG, list_nul_server, bad_string_check },
	{ "point_8_list_long_description_is_cut", LIST_CFG, list_long_about_server,
	    list_long_about_check },
	{ "point_97_go_replies_without_end", GO_CFG, info_endless_server,
	    too_many_check },
	{ "point_27_starttls", TLS_CFG, tls_server, tls_check },
	{ "point_28_starttls_refused", TLS_CFG, tls_unsupported_server,
	    tls_refused_politely_check },
	{ "point_29_starttls_if_offered", { .tls = NBE_TLS_IF_OFFERED },
	    tls_unsupported_server, tls_if_offered_check },
	{ "point_28_starttls_ack_with_data", TLS_CFG, tls_ack_with_data_server,
	    reply_length_check },
	{ "point_28_starttls_strange_reply", { .tls = NBE_TLS_IF_OFFERED },
	    tls_strange_reply_server, unexpected_check },
	{ "point_21_tls_required", GO_CFG, tls_required_server, tls_required_check },
	{ "point_21_unknown", GO_CFG, unknown_server, unknown_check },
	{ "point_21_policy", GO_CFG, policy_server, policy_check },
	{ "point_7_unknown_error", GO_CFG, unknown_error_server,
	    unknown_error_check },
	{ "point_8_long_error_message", GO_CFG, long_error_server, long_error_check },
	{ "point_8_huge_reply", GO_CFG, huge_reply_server, reply_length_check },
	{ "point_17_shutdown", FULL_CFG, shutdown_server, shutdown_check },
	{ "point_16_block_size_required", GO_CFG, block_size_required_server,
	    block_size_required_check },
	{ "extended_headers_required", GO_CFG, ext_required_server,
	    ext_required_check },
	{ "point_6_reply_magic", GO_CFG, reply_magic_server, reply_magic_check },
	{ "point_6_wrong_option", GO_CFG, wrong_option_server, wrong_option_check },
	{ "point_8_strange_reply", GO_CFG, strange_reply_server, unexpected_check },
	{ "point_11_ack_without_export", GO_CFG, no_export_info_server,
	    no_export_info_check },
	{ "point_95_two_exports_that_differ", GO_CFG, conflict_server,
	    conflict_check },
	{ "point_95_two_block_sizes_that_differ", GO_CFG, block_conflict_server,
	    conflict_check },
	{ "point_95_two_payload_maxima", GO_CFG, payload_conflict_server,
	    conflict_check },
	{ "point_95_export_length", GO_CFG, info_export_length_server,
	    reply_length_check },
	{ "point_95_block_size_length", GO_CFG, info_block_size_length_server,
	    reply_length_check },
	{ "point_95_information_without_type", GO_CFG, info_short_server,
	    reply_length_check },
	{ "point_23_25_structured_and_context", FULL_CFG, full_server, full_check },
	{ "point_24_extended_context_refused", FULL_CFG, extended_server,
	    extended_check },
	{ "point_24_context_withdrawn", FULL_CFG, context_withdrawn_server,
	    extended_check },
	{ "point_22_simple_without_context", FULL_CFG, simple_server, simple_check },
	{ "point_25_context_not_asked_for", FULL_CFG, strange_context_server,
	    unexpected_check },
	{ "point_25_shorter_context", FULL_CFG, shorter_context_server,
	    unexpected_check },
	{ "point_25_context_twice", FULL_CFG, context_conflict_server,
	    conflict_check },
	{ "point_50_no_flags", GO_CFG, no_flags_server, no_flags_check },
};
#define VECTORS (sizeof vectors / sizeof vectors[0])

/* ---- the tests ----------------------------------------------------------- */

struct room {
	struct bytes server;
	struct result whole, other;
};

static struct room *
room_new(void)
{
	struct room *room = calloc(1, sizeof *room);

	if (room == NULL)
		abort();
	return room;
}

static void
build(struct bytes *b, const struct vector *v)
{
	b->len = 0;
	v->server(b);
}

static bool
same_end(const struct result *a, const struct result *b)
{
	return a->state == b->state && a->why == b->why && a->used == b->used &&
	    a->items == b->items && a->sent_len == b->sent_len &&
	    a->aborted_len == b->aborted_len &&
	    memcmp(a->sent, b->sent, a->sent_len) == 0 &&
	    a->exp.size == b->exp.size && strcmp(a->message, b->message) == 0;
}

static void
test_vectors(void)
{
	struct room *room = room_new();
	size_t i;

	for (i = 0; i < VECTORS; i++) {
		unsigned failed_before = test_failed_checks;

		build(&room->server, &vectors[i]);
		play(&room->whole, &vectors[i].cfg, &room->server, SIZE_MAX);
		vectors[i].check(&room->whole);
		if (test_failed_checks != failed_before)
			printf("# vector %s\n", vectors[i].name);
	}
	free(room);
}

/* Long vectors are long by their padding: a few sizes do for them. */
static void
test_every_chunk_size(void)
{
	struct room *room = room_new();
	size_t i, chunk;

	for (i = 0; i < VECTORS; i++) {
		build(&room->server, &vectors[i]);
		play(&room->whole, &vectors[i].cfg, &room->server, SIZE_MAX);
		for (chunk = 1; chunk <= room->server.len && chunk < 400; chunk++) {
			play(&room->other, &vectors[i].cfg, &room->server, chunk);
			CHECK(same_end(&room->whole, &room->other));
		}
	}
	free(room);
}

/* Cut anywhere it is CLOSED, or a reason that closing has at that place. */
static void
test_every_truncation(void)
{
	struct room *room = room_new();
	size_t i, len, whole_len;

	for (i = 0; i < VECTORS; i++) {
		build(&room->server, &vectors[i]);
		play(&room->whole, &vectors[i].cfg, &room->server, SIZE_MAX);
		whole_len = room->whole.used;
		for (len = 0; len < whole_len && len < 1000; len++) {
			room->server.len = len;
			play(&room->other, &vectors[i].cfg, &room->server, SIZE_MAX);
			CHECK(room->other.state == NBE_HS_FAILED);
			CHECK(room->other.aborted_len == 0);
		}
	}
	free(room);
}

static bool
is_sane_export(const struct nbe_export *e)
{
	return e->size > 0 && e->size <= INT64_MAX && e->block_min > 0 &&
	    e->block_min <= NBE_BLOCK_MAX && e->size % e->block_min == 0 &&
	    e->tail < e->block_min &&
	    e->block_pref >= e->block_min && e->block_pref >= 512 &&
	    e->payload_max >= e->block_pref && e->payload_max % e->block_min == 0;
}

static void
test_every_corruption(void)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct room *room = room_new();
	size_t i, at, m;

	for (i = 0; i < VECTORS; i++) {
		build(&room->server, &vectors[i]);
		for (at = 0; at < room->server.len && at < 500; at++)
			for (m = 0; m < sizeof masks; m++) {
				room->server.at[at] ^= masks[m];
				play(&room->other, &vectors[i].cfg, &room->server,
				    SIZE_MAX);
				room->server.at[at] ^= masks[m];
				if (room->other.state == NBE_HS_DONE &&
				    vectors[i].cfg.goal != NBE_GOAL_LIST)
					CHECK(is_sane_export(&room->other.exp));
				if (vectors[i].cfg.tls == NBE_TLS_REQUIRED &&
				    room->other.state == NBE_HS_DONE)
					CHECK(room->other.exp.tls);
			}
	}
	free(room);
}

struct size_case {
	uint64_t size;
	uint32_t min, pref, max;
	enum nbe_why why;
	uint64_t want_size;
	uint32_t want_max;
};

static const struct size_case size_cases[] = {
	{ 0, 1, 4096, 65536, NBE_WHY_BAD_SIZE, 0, 0 },
	{ 511, 512, 4096, 65536, NBE_WHY_BAD_SIZE, 0, 0 },
	{ UINT64_MAX, 1, 4096, 65536, NBE_WHY_BAD_SIZE, 0, 0 },
	{ UINT64_C(1) << 63, 1, 4096, 65536, NBE_WHY_BAD_SIZE, 0, 0 },
	{ INT64_MAX, 1, 4096, 65536, NBE_WHY_NONE, INT64_MAX, 65536 },
	{ 1, 1, 512, 512, NBE_WHY_NONE, 1, 512 },
	{ 10000, 4096, 4096, 10000, NBE_WHY_NONE, 8192, 8192 },
	{ 65536, 65536, 65536, UINT32_MAX, NBE_WHY_NONE, 65536, NBE_PAYLOAD_DEFAULT },
	{ 65536, 1, 1u << 31, UINT32_MAX, NBE_WHY_NONE, 65536, 1u << 31 },
	{ 65536, 1, 4096, UINT32_MAX - 1, NBE_WHY_NONE, 65536, UINT32_MAX - 1 },
	{ 65536, 0, 4096, 65536, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 3, 4096, 65536, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 1u << 20, 131072, 131072, 131072, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 1, 256, 65536, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 1, 5000, 65536, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 8192, 4096, 65536, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 512, 4096, 4095, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
	{ 65536, 512, 4096, 0, NBE_WHY_BAD_BLOCK_SIZE, 0, 0 },
};

static void
check_size_case(struct room *room, const struct size_case *c)
{
	struct nbe_hs_config cfg = GO_CFG;
	const struct nbe_export *e = &room->whole.exp;

	room->server.len = 0;
	greet_fixed(&room->server);
	info_block_size(&room->server, c->min, c->pref, c->max);
	info_export(&room->server, OPT_GO, c->size, FLAGS);
	ack(&room->server, OPT_GO);
	play(&room->whole, &cfg, &room->server, SIZE_MAX);
	CHECK(room->whole.why == c->why);
	if (c->why != NBE_WHY_NONE)
		return;
	CHECK(e->size == c->want_size && e->payload_max == c->want_max);
	CHECK(is_sane_export(e));
}

static void
test_point_40_43_94_96_sizes(void)
{
	struct room *room = room_new();
	size_t i;

	for (i = 0; i < sizeof size_cases / sizeof size_cases[0]; i++)
		check_size_case(room, &size_cases[i]);
	free(room);
}

/* The vector would be too long to play in pieces. */
static void
test_point_97_list_without_end(void)
{
	struct nbe_hs_config cfg = LIST_CFG;
	struct nbe_hs *hs = malloc(sizeof *hs);
	struct bytes *one = calloc(1, sizeof *one);
	unsigned items = 0;
	size_t len, at;
	uint8_t *p;

	if (hs == NULL || one == NULL)
		abort();
	nbe_hs_init(hs, &cfg);
	greet_fixed(one);
	for (at = 0; nbe_hs_state(hs) != NBE_HS_FAILED && items < 100000;) {
		if (nbe_hs_state(hs) == NBE_HS_ITEM) {
			items++;
			nbe_hs_resume(hs);
		} else if (nbe_hs_send_buf(hs, &len) != NULL) {
			nbe_hs_send_ack(hs, len);
		} else {
			if (at == one->len) {
				at = one->len = 0;
				listed(one, "x", "y");
			}
			p = nbe_hs_recv_buf(hs, &len);
			memcpy(p, one->at + at, len);
			at += len;
			nbe_hs_recv_ack(hs, len);
		}
	}
	CHECK(nbe_hs_why(hs) == NBE_WHY_TOO_MANY_REPLIES && items > 10000);
	free(one);
	free(hs);
}

/* The longest name fits into every option. */
static void
test_point_1_longest_name(void)
{
	static char name[NBE_MAX_STRING];
	struct nbe_hs_config cfg = { .name = name, .name_len = sizeof name,
		.framing_max = NBE_STRUCTURED, .want_alloc = true };
	struct room *room = room_new();

	memset(name, 'n', sizeof name);
	greet_fixed(&room->server);
	ack(&room->server, OPT_STRUCTURED_REPLY);
	meta_context(&room->server, 1, "base:allocation");
	ack(&room->server, OPT_SET_META_CONTEXT);
	info_export(&room->server, OPT_GO, 4096, FLAGS);
	ack(&room->server, OPT_GO);
	play(&room->whole, &cfg, &room->server, SIZE_MAX);
	CHECK(room->whole.state == NBE_HS_DONE && room->whole.exp.has_alloc);
	CHECK(get32(sent_option(&room->whole, 2) + 16) == NBE_MAX_STRING);
	free(room);
}

/* A name that the server has not been told cannot be unknown to it. */
static void
test_point_14_closed_before_the_option(void)
{
	struct nbe_hs_config cfg = GO_CFG;
	struct room *room = room_new();
	struct nbe_hs *hs = &room->whole.hs;
	size_t at, len;
	uint8_t *p;

	greet(&room->server, 0);
	nbe_hs_init(hs, &cfg);
	for (at = 0; at < room->server.len; at += len) {
		p = nbe_hs_recv_buf(hs, &len);
		memcpy(p, room->server.at + at, len);
		nbe_hs_recv_ack(hs, len);
	}
	CHECK(nbe_hs_send_buf(hs, &len) != NULL);
	nbe_hs_closed(hs);
	CHECK(nbe_hs_why(hs) == NBE_WHY_CLOSED);
	free(room);
}

static void
test_every_reason_has_a_text(void)
{
	unsigned i, j;

	for (i = 0; i < NBE_WHYS; i++) {
		CHECK(nbe_why_text(i) != NULL);
		for (j = 0; j < i; j++)
			CHECK(strcmp(nbe_why_text(i), nbe_why_text(j)) != 0);
	}
	for (i = 0; i < NBE_OPS; i++)
		CHECK(nbe_op_name(i) != NULL);
}

static const struct test tests[] = {
	{ "vectors", test_vectors },
	{ "every_chunk_size", test_every_chunk_size },
	{ "every_truncation", test_every_truncation },
	{ "every_corruption", test_every_corruption },
	{ "point_40_43_94_96_sizes", test_point_40_43_94_96_sizes },
	{ "point_97_list_without_end", test_point_97_list_without_end },
	{ "point_1_longest_name", test_point_1_longest_name },
	{ "point_14_closed_before_the_option",
	    test_point_14_closed_before_the_option },
	{ "every_reason_has_a_text", test_every_reason_has_a_text },
};

int
main(void)
{
	return TEST_MAIN(tests);
}
