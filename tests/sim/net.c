/*
 * net.c - bytes on their way.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "sim.h"

void
pipe_put(struct pipe *p, const void *b, size_t n)
{
	if (n == 0)
		return;
	if (p->head + p->len + n > p->room) {
		size_t room = 2 * (p->len + n) + 4096;
		uint8_t *nb = malloc(room);

		if (p->len != 0)
			memcpy(nb, p->b + p->head, p->len);
		free(p->b);
		p->b = nb;
		p->head = 0;
		p->room = room;
	}
	memcpy(p->b + p->head + p->len, b, n);
	p->len += n;
}

void
pipe_take(struct pipe *p, void *b, size_t n)
{
	if (b != NULL && n != 0)
		memcpy(b, p->b + p->head, n);
	p->head += n;
	p->len -= n;
	if (p->len == 0)
		p->head = 0;
}

const uint8_t *
pipe_peek(const struct pipe *p)
{
	return p->len == 0 ? NULL : p->b + p->head;
}

void
pipe_clear(struct pipe *p)
{
	free(p->b);
	*p = (struct pipe){ 0 };
}
