/*
 * last_flush.c - a flush for a connection whose device has died.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * How much of a message the dead one had received is not known: what comes is bytes,
 * and the cookie, which nobody can guess, finds the answer among them.  It has the same
 * place in all three kinds of replies (proto.md, "Simple reply message", "Structured
 * reply chunk message", "Extended reply chunk message"), and the eight bytes before it
 * say what it is.
 */
#include "device.h"

uint32_t
nbe_epoch(const struct nbe_dev *d)
{
	return d->epoch;
}

bool
nbe_can_flush_last(const struct nbe_dev *d, unsigned conn)
{
	const struct conn *c = &d->conn[conn];

	return c->proven && !c->closing && !c->tx_open &&
	    (c->batch_at == c->batch_count || c->batch_pos == 0);
}

unsigned
nbe_last_flush(struct nbe_last_flush *f, uint64_t cookie, enum nbe_framing framing,
    uint8_t buf[32])
{
	*f = (struct nbe_last_flush){ .cookie = cookie };
	command_encode(buf, framing, 0, CMD_FLUSH, cookie, 0, 0);
	return framing == NBE_EXTENDED ? LEN_EXT_REQUEST : LEN_REQUEST;
}

static enum nbe_heard
answer(uint64_t before_cookie)
{
	uint32_t magic = (uint32_t)(before_cookie >> 32);
	uint32_t rest = (uint32_t)before_cookie;	/* error, or flags and type */
	bool chunk = magic == MAGIC_STRUCTURED_REPLY || magic == MAGIC_EXT_REPLY;

	if ((magic == MAGIC_SIMPLE_REPLY && rest == 0) ||
	    (chunk && rest == (REPLY_FLAG_DONE << 16 | REPLY_TYPE_NONE)))
		return NBE_HEARD_FLUSHED;
	return chunk || magic == MAGIC_SIMPLE_REPLY ? NBE_HEARD_REFUSED :
	    NBE_HEARD_NOTHING;
}

enum nbe_heard
nbe_last_flush_hear(struct nbe_last_flush *f, const uint8_t *p, size_t len)
{
	enum nbe_heard heard = NBE_HEARD_NOTHING;
	uint64_t before = f->heard[0], last = f->heard[1];

	for (size_t i = 0; i < len && heard == NBE_HEARD_NOTHING; i++) {
		before = before << 8 | last >> 56;
		last = last << 8 | p[i];
		if (last == f->cookie)
			heard = answer(before);
	}
	f->heard[0] = before;
	f->heard[1] = last;
	return heard;
}
