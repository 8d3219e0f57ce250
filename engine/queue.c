/*
 * queue.c - the queues on which requests wait.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

void
reqs_prepend(struct reqs *q, struct nbe_req *r)
{
	r->prev = NULL;
	r->next = q->head;
	if (q->head == NULL)
		q->tail = r;
	else
		q->head->prev = r;
	q->head = r;
}

void
reqs_remove(struct reqs *q, struct nbe_req *r)
{
	if (r->prev == NULL)
		q->head = r->next;
	else
		r->prev->next = r->next;
	if (r->next == NULL)
		q->tail = r->prev;
	else
		r->next->prev = r->prev;
}

/* Off whatever queue it is on. */
void
req_unlink(struct nbe_dev *d, struct nbe_req *r)
{
	switch (r->state) {
	case REQ_QUEUED:
		reqs_remove(&d->queue, r);
		d->queue_count--;
		break;
	case REQ_FENCED:
		reqs_remove(&d->fenced, r);
		break;
	case REQ_UNKEPT:
		reqs_remove(&d->unkept, r);
		break;
	default:
		break;
	}
	r->state = REQ_BUSY;
}

void
req_requeue(struct nbe_dev *d, struct nbe_req *r)
{
	NBE_ASSERT(r->state == REQ_BUSY);
	r->state = REQ_QUEUED;
	reqs_prepend(&d->queue, r);
	d->queue_count++;
}
