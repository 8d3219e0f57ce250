/*
 * abort.c - requests that are given up: one by its front, all by the device.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

/* A command that is sent cannot be taken back: what it reads goes nowhere, what
 * it changes is fenced until it is answered. */
static void
orphan(struct nbe_dev *d, struct slot *s, nbe_time now)
{
	struct nbe_req *r = s->req;

	if (nbe_op_info[s->op].modifies)
		fence_aborted(d, s);
	s->req = NULL;
	r->parts--;
	req_settle(d, r, now);
}

/* May the front be using the request's buffer for this slot right now?  Between
 * nbe_rx_ahead and nbe_rx_end it may be copying into each read of which some has
 * come. */
static bool
in_use(const struct nbe_dev *d, const struct conn *c, const struct slot *s)
{
	if (s->in_tx)
		return true;
	return c->rx_open && (c->rx.slot == slot_index(d, s) ||
	    (!c->rx_direct && s->runs != 0));
}

/* Detach from the connection what no socket call of it uses; the rest later. */
void
conn_orphan_aborted(struct nbe_dev *d, struct conn *c, nbe_time now)
{
	uint16_t i, next;

	c->aborted = false;
	for (i = c->sent.head; i != NO_SLOT; i = next) {
		struct slot *s = slot_at(d, i);

		next = s->next;
		if (s->req == NULL || s->req->error != NBE_EABORTED)
			continue;
		if (in_use(d, c, s))
			c->aborted = true;
		else
			orphan(d, s, now);
	}
}

void
nbe_abort(struct nbe_dev *d, struct nbe_req *r, nbe_time now)
{
	uint32_t i;

	NBE_ASSERT(r->state != REQ_IDLE);
	if (r->state == REQ_DONE || r->error != NBE_OK)
		return;
	if (r->begun)
		d->st.aborted_started++;
	else
		d->st.aborted_queued++;
	req_fail(d, r, NBE_EABORTED);
	r->parts++;		/* not done before all of it is seen to */
	part_drop_retries(d, r, now);
	for (i = 0; i < d->cfg.conns_max; i++)
		conn_orphan_aborted(d, &d->conn[i], now);
	r->parts--;
	req_settle(d, r, now);
}

/* Fail what is not at a server now. */
void
req_fail_all(struct nbe_dev *d, enum nbe_err error, nbe_time now)
{
	struct reqs *from[] = { &d->queue, &d->fenced, &d->unkept };
	struct slot *s;
	struct nbe_req *r;
	unsigned i;

	while ((s = list_take(d, &d->retry)) != NULL) {
		d->retry_count--;
		req_fail(d, s->req, error);
		part_drop(d, s, now);
	}
	for (i = 0; i < 3; i++)
		while ((r = from[i]->head) != NULL) {
			req_fail(d, r, error);
			req_settle(d, r, now);
		}
}
