/*
 * handshake_fuzz.c - libFuzzer: a server that sends anything.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The first two bytes choose what the client wants and in which pieces it reads;
 * the rest is the server's stream.
 */
#include <stdlib.h>

#include "nbe.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_done(const struct nbe_hs *hs, const struct nbe_hs_config *cfg)
{
	const struct nbe_export *e = nbe_hs_export(hs);

	if (cfg->goal == NBE_GOAL_LIST)
		return;
	if (e->size == 0 || e->size > INT64_MAX || e->size % e->block_min != 0 ||
	    e->payload_max < e->block_pref || e->block_pref < e->block_min)
		abort();
	if (cfg->tls == NBE_TLS_REQUIRED && !e->tls)
		abort();
}

/* What it says is there to be read. */
static void
check_text(struct nbe_text text)
{
	if (text.len > 2 * NBE_MAX_STRING || memchr(text.ptr, '\0', text.len) != NULL)
		abort();
}

static void
feed(struct nbe_hs *hs, const uint8_t **data, size_t *left, size_t chunk)
{
	size_t len;
	uint8_t *p = nbe_hs_recv_buf(hs, &len);

	if (*left == 0) {
		nbe_hs_closed(hs);
		return;
	}
	if (len > chunk)
		len = chunk;
	if (len > *left)
		len = *left;
	memcpy(p, *data, len);
	*data += len;
	*left -= len;
	nbe_hs_recv_ack(hs, len);
}

static void
play(struct nbe_hs *hs, const uint8_t *data, size_t left, size_t chunk)
{
	size_t len;

	for (;;) {
		switch (nbe_hs_state(hs)) {
		case NBE_HS_IO:
			if (nbe_hs_send_buf(hs, &len) != NULL)
				nbe_hs_send_ack(hs, len);
			else
				feed(hs, &data, &left, chunk);
			break;
		case NBE_HS_TLS:
		case NBE_HS_ITEM:
			nbe_hs_resume(hs);
			break;
		case NBE_HS_DONE:
		case NBE_HS_FAILED:
		case NBE_HS_ABORTING:
			return;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nbe_hs_config cfg = { .name = "disk", .name_len = 4 };
	struct nbe_hs *hs;

	if (size < 2)
		return 0;
	cfg.goal = data[0] % 3;
	cfg.tls = data[0] / 3 % 3;
	cfg.framing_max = data[0] / 9 % 3;
	cfg.want_alloc = data[0] & 0x80;
	if (data[1] & 1)
		cfg.name_len = 0;
	hs = malloc(sizeof *hs);
	if (hs == NULL)
		abort();
	nbe_hs_init(hs, &cfg);
	play(hs, data + 2, size - 2, 1 + (data[1] >> 1));
	if (nbe_hs_state(hs) == NBE_HS_DONE)
		check_done(hs, &cfg);
	check_text(nbe_hs_name(hs));
	check_text(nbe_hs_about(hs));
	check_text(nbe_hs_message(hs));
	if (nbe_why_text(nbe_hs_why(hs)) == NULL)
		abort();
	nbe_hs_abort(hs);
	free(hs);
	return 0;
}
