/*
 * conn.c - what is known of each connection: usable, proven, closing.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

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
	while (d->live > d->wanted && !d->conn[d->live - 1].up)
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

/* Connections made up to the ups-th reach the same server as the proven ones. */
void
conn_prove(struct nbe_dev *d, uint32_t ups)
{
	unsigned i;

	for (i = 0; i < d->cfg.conns_max; i++) {
		struct conn *c = &d->conn[i];

		if (!c->up || c->proven || c->ups > ups)
			continue;
		c->proven = true;
		d->proven++;
	}
	conn_recount(d);
}
