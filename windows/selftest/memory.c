/*
 * memory.c - what a disk holds, in memory: pieces in a hash table.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "memory.h"

#include <windows.h>
#include <stdlib.h>
#include <string.h>

#define PIECE	65536u
#define BUCKETS	4096u

struct piece {
	uint64_t number;
	struct piece *next;
	uint8_t	data[PIECE];
};

struct memory {
	CRITICAL_SECTION lock;
	struct piece *bucket[BUCKETS];
};

struct memory *
memory_new(void)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (m != NULL)
		InitializeCriticalSection(&m->lock);
	return m;
}

void
memory_free(struct memory *m)
{
	struct piece *next;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct piece *p = m->bucket[i]; p != NULL; p = next) {
			next = p->next;
			free(p);
		}
	DeleteCriticalSection(&m->lock);
	free(m);
}

static struct piece *
find(struct memory *m, uint64_t number, bool make)
{
	struct piece **bucket = &m->bucket[number % BUCKETS], *p;

	for (p = *bucket; p != NULL && p->number != number; p = p->next)
		continue;
	if (p != NULL || !make)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->number = number;
	p->next = *bucket;
	*bucket = p;
	return p;
}

/* Calls each for the parts of a range that are in one piece; p NULL: it has none. */
static bool
each_part(struct memory *m, uint64_t offset, uint64_t len, bool make, uint8_t *buf,
    void (*each)(struct piece *p, uint32_t at, uint8_t *buf, uint32_t len))
{
	bool ok = true;

	EnterCriticalSection(&m->lock);
	while (len > 0 && ok) {
		uint32_t at = (uint32_t)(offset % PIECE), part = PIECE - at;
		struct piece *p = find(m, offset / PIECE, make);

		if (part > len)
			part = (uint32_t)len;
		ok = p != NULL || !make;
		if (ok)
			each(p, at, buf, part);
		if (buf != NULL)
			buf += part;
		offset += part;
		len -= part;
	}
	LeaveCriticalSection(&m->lock);
	return ok;
}

static void
read_part(struct piece *p, uint32_t at, uint8_t *buf, uint32_t len)
{
	if (p != NULL)
		memcpy(buf, p->data + at, len);
	else
		memset(buf, 0, len);
}

static void
write_part(struct piece *p, uint32_t at, uint8_t *buf, uint32_t len)
{
	memcpy(p->data + at, buf, len);
}

static void
zero_part(struct piece *p, uint32_t at, uint8_t *buf, uint32_t len)
{
	(void)buf;
	if (p != NULL)
		memset(p->data + at, 0, len);
}

void
memory_read(struct memory *m, uint64_t offset, void *buf, uint32_t len)
{
	(void)each_part(m, offset, len, false, buf, read_part);
}

bool
memory_write(struct memory *m, uint64_t offset, const void *buf, uint32_t len)
{
	return each_part(m, offset, len, true, (uint8_t *)(uintptr_t)buf, write_part);
}

void
memory_zero(struct memory *m, uint64_t offset, uint64_t len)
{
	(void)each_part(m, offset, len, false, NULL, zero_part);
}
