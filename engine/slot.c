/*
 * slot.c - slots: one per command at the server, found by cookie in one step.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The cookie is generation << 32 | index.  The generation counts up whenever a
 * command is given to a connection, so a reply to an earlier use is noticed.
 */
#include "device.h"

const struct op_info nbe_op_info[NBE_OPS] = {
	[NBE_READ] = { CMD_READ, 0, false },
	[NBE_WRITE] = { CMD_WRITE, 0, true },
	[NBE_FLUSH] = { CMD_FLUSH, NBE_FLAG_SEND_FLUSH, false },
	[NBE_TRIM] = { CMD_TRIM, NBE_FLAG_SEND_TRIM, true },
	[NBE_ZERO] = { CMD_WRITE_ZEROES, NBE_FLAG_SEND_WRITE_ZEROES, true },
	[NBE_CACHE] = { CMD_CACHE, NBE_FLAG_SEND_CACHE, false },
	[NBE_EXTENTS] = { CMD_BLOCK_STATUS, 0, false },
};

void
list_init(struct list *l)
{
	l->head = l->tail = NO_SLOT;
}

void
list_append(struct nbe_dev *d, struct list *l, struct slot *s)
{
	uint16_t i = slot_index(d, s);

	s->next = NO_SLOT;
	s->prev = l->tail;
	if (l->tail == NO_SLOT)
		l->head = i;
	else
		slot_at(d, l->tail)->next = i;
	l->tail = i;
}

void
list_prepend(struct nbe_dev *d, struct list *l, struct slot *s)
{
	uint16_t i = slot_index(d, s);

	s->prev = NO_SLOT;
	s->next = l->head;
	if (l->head == NO_SLOT)
		l->tail = i;
	else
		slot_at(d, l->head)->prev = i;
	l->head = i;
}

void
list_remove(struct nbe_dev *d, struct list *l, struct slot *s)
{
	if (s->prev == NO_SLOT)
		l->head = s->next;
	else
		slot_at(d, s->prev)->next = s->next;
	if (s->next == NO_SLOT)
		l->tail = s->prev;
	else
		slot_at(d, s->next)->prev = s->prev;
}

/*
 * Oldest request first.  Parts of a lost connection come youngest first, so the
 * walk is short unless several connections were lost.
 */
void
list_insert_by_age(struct nbe_dev *d, struct list *l, struct slot *s)
{
	uint16_t i = l->head;
	struct slot *before;

	while (i != NO_SLOT && slot_at(d, i)->req->submitted_at < s->req->submitted_at)
		i = slot_at(d, i)->next;
	if (i == NO_SLOT) {
		list_append(d, l, s);
		return;
	}
	before = slot_at(d, i);
	s->next = i;
	s->prev = before->prev;
	if (s->prev == NO_SLOT)
		l->head = slot_index(d, s);
	else
		slot_at(d, s->prev)->next = slot_index(d, s);
	before->prev = slot_index(d, s);
}

/* NULL when the list is empty. */
struct slot *
list_take(struct nbe_dev *d, struct list *l)
{
	struct slot *s;

	if (list_empty(l))
		return NULL;
	s = slot_at(d, l->head);
	list_remove(d, l, s);
	return s;
}

/* r is NULL when nobody waits for the answer.  NULL: all slots are in use. */
struct slot *
slot_new(struct nbe_dev *d, struct nbe_req *r, uint8_t op)
{
	struct slot *s = list_take(d, &d->spare);

	if (s == NULL)
		return NULL;
	s->used = true;
	s->req = r;
	s->op = op;
	if (r != NULL)
		r->parts++;
	return s;
}

void
slot_free(struct nbe_dev *d, struct slot *s)
{
	NBE_ASSERT(s->used && !s->in_tx);
	s->used = false;
	s->req = NULL;
	list_prepend(d, &d->spare, s);	/* the next use finds it in the cache */
}

/* The command that a reply on conn may answer; NULL when there is none. */
struct slot *
slot_by_cookie(struct nbe_dev *d, unsigned conn, uint64_t cookie)
{
	uint32_t i = (uint32_t)cookie;
	struct slot *s;

	if (i >= d->slots)
		return NULL;
	s = &d->slot[i];
	if (!s->used || !s->sent || s->answered || s->conn != conn ||
	    s->gen != (uint32_t)(cookie >> 32))
		return NULL;
	return s;
}

/* ---- how much a command asks for ----------------------------------------------- */

/* Half of what the slot asks for; 0: it is as small as can be. */
uint64_t
slot_half(const struct nbe_dev *d, const struct slot *s)
{
	return s->len / 2 - s->len / 2 % d->exp.block_min;
}

/* TRIM and its like may be longer than the payload maximum, and a server may find
 * them too long (proto.md, "Block sizes"). */
bool
slot_too_long(const struct nbe_dev *d, const struct slot *s)
{
	return !has_payload(s->op) && s->op != NBE_FLUSH &&
	    s->len > d->exp.payload_max &&
	    (s->error == NBE_EOVERFLOW || s->error == NBE_EINVAL);
}

/* What to try next: half of it, and no more than that with any other part. */
uint64_t
slot_shrink(struct nbe_dev *d, const struct slot *s)
{
	if (d->effect_max > slot_half(d, s))
		d->effect_max = slot_half(d, s);
	if (d->effect_now > d->effect_max)
		d->effect_now = d->effect_max;
	return slot_half(d, s);
}

/* So much took long: less at once, for now. */
void
effect_less(struct nbe_dev *d, const struct slot *s)
{
	if (s->len > EFFECT_MIN && d->effect_now > slot_half(d, s))
		d->effect_now = slot_half(d, s);
}

/* So much was done soon: more at once, up to what the server takes. */
void
effect_more(struct nbe_dev *d, const struct slot *s)
{
	if (s->len > d->effect_now / 2)
		d->effect_now = d->effect_now > d->effect_max / 2 ? d->effect_max :
		    2 * d->effect_now;
}
