/*
 * conn.c - what is known of each connection: usable, proven, closing.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

#define GAP_STEP	(NBE_SECOND / 100000)

void
conn_close(struct conn *c, enum nbe_why why)
{
	if (c->closing || !c->up)
		return;
	c->closing = true;
	if (!c->disc_planned)	/* the peer may close sooner than the send returns */
		c->why = why;
}

/*
 * What the walks of each round need, after each change of wanted, up, proven or
 * draining.  There may be room for many more connections than there are: the walks end
 * at live.
 */
void
conn_recount(struct nbe_dev *d)
{
	unsigned i;

	d->live = d->cfg.conns_max;
	while (!d->conn[d->live - 1].wanted && !d->conn[d->live - 1].up)
		d->live--;
	d->usable = 0;
	for (i = 0; i < d->live; i++)
		d->usable += d->conn[i].proven && !d->conn[i].draining;
}

/* It takes no more commands, and says DISC when it has answered all. */
void
conn_drain(struct nbe_dev *d, struct conn *c, enum nbe_why why)
{
	if (!c->up || c->draining)
		return;
	c->draining = true;
	c->why = why;
	conn_recount(d);
}

/* proto.md: it MUST be left.  Where there are other paths, in order: path.c. */
void
conn_shut_down(struct nbe_dev *d, struct conn *c)
{
	if (d->cfg.paths > 1)
		d->mp.shutdown = true;
	else
		conn_drain(d, c, NBE_WHY_SERVER_SHUTDOWN);
}

/* Connections made up to that moment reach the same server as the proven ones. */
void
conn_prove(struct nbe_dev *d, uint32_t moment)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];

		if (!c->up || c->proven || c->moment > moment)
			continue;
		c->proven = true;
		d->proven++;
	}
	conn_recount(d);
}

/* ---- again --------------------------------------------------------------------- */

/* xorshift64: spreads the reconnects of many devices, nothing more. */
static uint64_t
jitter(struct nbe_dev *d, uint64_t below)
{
	d->rng ^= d->rng << 13;
	d->rng ^= d->rng >> 7;
	d->rng ^= d->rng << 17;
	return below == 0 ? 0 : d->rng % below;
}

/* Twice as long after each failure, up to a limit, and up to a half more. */
nbe_time
conn_backoff(struct nbe_dev *d, uint32_t *tries)
{
	nbe_time wait = d->cfg.backoff_min;
	uint32_t i;

	for (i = 0; i < *tries && wait < d->cfg.backoff_max; i++)
		wait = after(wait, wait);
	if (wait > d->cfg.backoff_max)
		wait = d->cfg.backoff_max;
	if (*tries < 63)
		++*tries;
	return after(wait, jitter(d, wait / 2));
}

/* ---- late ---------------------------------------------------------------------- */

static nbe_time
times(nbe_time t, unsigned n)
{
	return t > NBE_NEVER / n ? NBE_NEVER : t * n;
}

/* s was answered, and the oldest command in flight was sent before it. */
void
conn_passed(struct nbe_dev *d, struct conn *c, const struct slot *s, nbe_time now)
{
	const struct slot *oldest = slot_at(d, c->sent.head);

	if (c->passed != c->sent.head || c->passed_gen != oldest->gen) {
		c->passed = c->sent.head;
		c->passed_gen = oldest->gen;
		c->passed_at = now;
		c->passed_alike_at = NBE_NEVER;
	}
	if (c->passed_alike_at == NBE_NEVER && s->op == oldest->op &&
	    s->len >= oldest->len)
		c->passed_alike_at = now;
}

/* When what conn_passed noticed has gone on for too long. */
nbe_time
conn_passed_late_at(const struct nbe_dev *d, const struct conn *c)
{
	nbe_time any, alike, timeout = d->patience;

	if (c->passed != c->sent.head || c->passed_gen != d->slot[c->passed].gen)
		return NBE_NEVER;
	any = after(c->passed_at, times(timeout, OVERTAKEN_BY_ANY));
	alike = after(c->passed_alike_at, times(timeout, OVERTAKEN_ALIKE));
	return any < alike ? any : alike;
}

/* ---- how fast ------------------------------------------------------------------ */

/* A mean of about eight times; one long time, in which all stood still, counts no more
 * than a few. */
static nbe_time
follow(nbe_time mean, nbe_time t)
{
	nbe_time most = 4 * mean + GAP_STEP;

	if (mean != 0 && t > most)
		t = most;
	return mean - mean / 8 + t / 8;
}

/*
 * Answers came, one by one or together.  What a command took that was alone is no pace:
 * it says only that the pace is not slower.  A new connection is taken for a fast one.
 */
void
conn_pace(struct conn *c, nbe_time now)
{
	nbe_time gap = (now - c->answered_at) / c->answers;
	bool alone = c->in_flight + c->answers == 1;

	if (!alone || gap < c->gap)
		c->gap = follow(c->gap, gap);
	c->together += c->answers - c->together / 8;
	c->answered_at = now;
	c->answers = 0;
}

void
nbe_send_took(struct nbe_dev *d, nbe_time t)
{
	d->send_time = follow(d->send_time, t);
}

/* ---- how much at once ---------------------------------------------------------- */

/* An answer took long.  Once for all that was sent before the last time. */
void
conn_slow(struct conn *c, const struct slot *s, nbe_time now)
{
	if (s->sent_at < c->window_cut_at)
		return;
	c->window = c->window / 2 < WINDOW_MIN ? WINDOW_MIN : c->window / 2;
	c->window_cut_at = now;
}

/*
 * A command whose length costs the wire nothing can keep a server busy for as long as
 * it likes.  What counts is the time from when the server had nothing else of this
 * connection to answer.
 */
void
effect_answered(struct nbe_dev *d, const struct conn *c, const struct slot *s,
    nbe_time now)
{
	nbe_time busy = now - (s->sent_at > c->moved_at ? s->sent_at : c->moved_at);

	if (s->error != NBE_OK)
		return;
	if (busy > d->cfg.timeout / 2)
		effect_less(d, s);
	else if (busy < d->cfg.timeout / 8)
		effect_more(d, s);
}

/* Was its length the reason that its connection was given up? */
bool
effect_timed_out(const struct nbe_dev *d, const struct slot *s)
{
	return !has_payload(s->op) && s->len > EFFECT_MIN &&
	    d->conn[s->conn].why == NBE_WHY_TIMEOUT;
}
