/*
 * cost.c - a load on the engine for callgrind: no system, no payload, no time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: cost r|w BLOCK DEPTH COUNT
 *
 * Calls the engine as linux/daemon/disk.c and link.c do, with room for as many
 * connections as they give it, one of them up.  The server is a loop over the headers
 * that were sent.  Payload is named but not copied.
 */
#include <stdlib.h>

#include "nbe.h"
#include "wire.h"

#define TX_SEGS		128
#define RX_SEGS		64
#define AHEAD		(128u * 1024)
#define DIRECT_PAYLOAD	(16u * 1024)
#define HEADER_AHEAD	64u
#define DEPTH_MAX	128u
#define NOW		NBE_SECOND

struct load {
	struct nbe_dev	*dev;
	uint64_t	block, next, left, done;
	uint8_t		op;
	/* replies on their way: all headers, then taken one by one */
	uint8_t		reply[DEPTH_MAX][LEN_SIMPLE_REPLY];
	unsigned	replies;
	uint8_t		*stream;	/* of the read-ahead */
};

static void
submit(struct load *l, struct nbe_req *r)
{
	if (l->left == 0)
		return;
	l->left--;
	r->op = l->op;
	r->flags = 0;
	r->offset = l->next;
	r->length = l->block;
	l->next = (l->next + l->block) % (1u << 30);
	nbe_submit(l->dev, r, NOW);
}

static void
answer(struct load *l, const uint8_t *request)
{
	uint8_t *b = l->reply[l->replies++];

	put32(put32(b, MAGIC_SIMPLE_REPLY), 0);
	memcpy(b + 8, request + 8, 8);
}

static void
transmit(struct load *l)
{
	struct nbe_seg seg[TX_SEGS];
	unsigned n;

	while ((n = nbe_tx_begin(l->dev, 0, seg, TX_SEGS, NOW)) != 0) {
		uint64_t sent = 0;

		for (unsigned i = 0; i < n; i++) {
			sent += seg[i].len;
			for (uint32_t at = 0; seg[i].kind == NBE_SEG_CORE &&
			    at < seg[i].len; at += LEN_REQUEST)
				answer(l, seg[i].base + at);
		}
		nbe_tx_end(l->dev, 0, sent, NBE_WHY_NONE, NOW);
	}
}

static void
parse(struct load *l, const uint8_t *buf, size_t len)
{
	struct nbe_seg seg[RX_SEGS];
	size_t used;
	unsigned n;

	do {
		n = nbe_rx_ahead(l->dev, 0, buf, len, seg, RX_SEGS, &used);
		nbe_rx_end(l->dev, 0, 0, NBE_WHY_NONE, NOW);
		buf += used;
		len -= used;
	} while (n == RX_SEGS);
}

/* All replies, in as many pieces as the read-ahead has room for. */
static void
receive_ahead(struct load *l)
{
	size_t payload = l->op == NBE_READ ? l->block : 0;
	size_t len = 0;

	for (unsigned i = 0; i < l->replies; i++) {
		memcpy(l->stream + len, l->reply[i], LEN_SIMPLE_REPLY);
		len += LEN_SIMPLE_REPLY + payload;
	}
	for (size_t at = 0; at < len; at += AHEAD)
		parse(l, l->stream + at, len - at < AHEAD ? len - at : AHEAD);
}

/* A header ahead, the payload where it belongs. */
static void
receive_direct(struct load *l)
{
	struct nbe_seg seg[2];
	uint64_t need;

	for (unsigned i = 0; i < l->replies; i++) {
		parse(l, l->reply[i], LEN_SIMPLE_REPLY);
		if (nbe_rx_left(l->dev, 0) != 0 &&
		    nbe_rx_begin(l->dev, 0, seg, 2, &need) != 0)
			nbe_rx_end(l->dev, 0, seg[0].len, NBE_WHY_NONE, NOW);
	}
}

static volatile nbe_time wake;

/* One round of a front; false: nothing is left to be done. */
static bool
turn(struct load *l)
{
	struct nbe_work w;
	struct nbe_req *r, *next;

	nbe_work(l->dev, &w, NOW);
	for (r = w.done; r != NULL; r = next) {
		next = r->next;
		if (r->error != NBE_OK)
			abort();
		l->done++;
		submit(l, r);
	}
	if (w.done == NULL && w.tx == 0)
		return false;
	if (w.tx == 0)
		return true;
	transmit(l);
	if (nbe_rx_payload(l->dev, 0) < DIRECT_PAYLOAD)
		receive_ahead(l);
	else
		receive_direct(l);
	l->replies = 0;
	wake = nbe_wake(l->dev, NOW);
	return true;
}

/* What callgrind looks at. */
__attribute__((noinline)) static void
measured(struct load *l, struct nbe_req *req, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		submit(l, &req[i]);
	while (turn(l))
		;
}

int
main(int argc, char **argv)
{
	static struct nbe_req req[DEPTH_MAX];
	struct load l = { .op = NBE_READ };
	const struct nbe_dev_config config = {
		.conns_max = NBE_MAX_CONNS, .conns = 1, .depth = DEPTH_MAX,
		.timeout = 30 * NBE_SECOND, .dead_timeout = 120 * NBE_SECOND,
		.fence = 10 * NBE_SECOND, .backoff_min = NBE_SECOND,
		.backoff_max = NBE_SECOND, .seed = 1,
	};
	const struct nbe_export export = {
		.size = 1u << 30, .block_min = 1, .block_pref = 4096,
		.payload_max = 32u << 20, .flags = NBE_FLAG_HAS_FLAGS |
		    NBE_FLAG_SEND_FLUSH | NBE_FLAG_CAN_MULTI_CONN,
	};
	unsigned depth;
	uint64_t count;

	if (argc != 5)
		return 2;
	l.op = argv[1][0] == 'w' ? NBE_WRITE : NBE_READ;
	l.block = strtoull(argv[2], NULL, 10);
	depth = (unsigned)atoi(argv[3]);
	l.left = count = strtoull(argv[4], NULL, 10);
	if (depth < 1 || depth > DEPTH_MAX || l.block == 0)
		return 2;
	l.stream = calloc(depth, LEN_SIMPLE_REPLY + l.block);
	l.dev = nbe_dev_init(malloc(nbe_dev_size(&config)), &config, &export, NOW);
	if (nbe_conn_up(l.dev, 0, &export, NOW) != NBE_WHY_NONE)
		return 1;
	measured(&l, req, depth);
	return l.done == count ? 0 : 1;
}
