/*
 * store.c - what is behind the servers: one disk, and what each has in its cache.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A change goes into the cache of the server that carries it out.  From there it gets
 * to the store by a flush, or at any time by itself, or, if the server dies, never.
 * What a server has not changed it sees as it is in the store.
 *
 * A stranger is a server that has a disk of its own.  With the fence by the store, one
 * server owns it; to become the owner takes time, and what the one before has in its
 * cache does not get there any more.
 */
#include <string.h>

#include "sim.h"

static uint8_t durable[BLOCKS_MAX * BLOCK], strange[BLOCKS_MAX * BLOCK];
static uint8_t current[SERVERS][BLOCKS_MAX * BLOCK];
static bool dirty[SERVERS][BLOCKS_MAX];
static unsigned owner;

void
store_init(void)
{
	for (unsigned i = 0; i < sizeof(durable); i++)
		durable[i] = (uint8_t)(0x80 | (i / BLOCK));
	memset(strange, 0x55, sizeof(strange));
	memset(dirty, 0, sizeof(dirty));
	for (unsigned s = 0; s < SERVERS; s++)
		memcpy(current[s], plan.stranger == s ? strange : durable,
		    sizeof(durable));
	owner = 0;
}

uint8_t *
store_seen_by(unsigned server)
{
	return current[server];
}

const uint8_t *
store_durable(void)
{
	return durable;
}

bool
store_owned_by(unsigned server)
{
	return plan.cfg.fence_by != NBE_FENCE_STORE || plan.paths < 2 ||
	    owner == server;
}

void
store_changed(unsigned server, uint64_t off, uint64_t len)
{
	for (uint64_t b = off / BLOCK; b < (off + len) / BLOCK; b++)
		dirty[server][b] = true;
}

static void
seen_by_others(unsigned b)
{
	for (unsigned s = 0; s < plan.paths; s++)
		if (!dirty[s][b] && s != plan.stranger)
			memcpy(current[s] + b * BLOCK, durable + b * BLOCK, BLOCK);
}

/* From the cache to the store, if the server may. */
void
store_write_back(unsigned server, unsigned b)
{
	if (!dirty[server][b] || server == plan.stranger)
		return;
	dirty[server][b] = false;
	if (store_owned_by(server))
		memcpy(durable + b * BLOCK, current[server] + b * BLOCK, BLOCK);
	seen_by_others(b);
}

void
store_drop(unsigned server, unsigned b)
{
	if (server == plan.stranger)
		return;
	dirty[server][b] = false;
	memcpy(current[server] + b * BLOCK, durable + b * BLOCK, BLOCK);
}

/* The server gets no further: some of its cache is in the store, the rest is gone. */
void
store_end(unsigned server)
{
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (dirty[server][b] && one_in(2))
			store_write_back(server, b);
		else if (dirty[server][b])
			store_drop(server, b);
}

unsigned
store_owner(void)
{
	return owner;
}

/* The one before has ended what it had. */
void
store_take(unsigned server)
{
	trace("server %u owns the store now", server);
	owner = server;
}

bool
store_dirty(unsigned server)
{
	for (unsigned b = 0; b < BLOCKS_MAX; b++)
		if (dirty[server][b])
			return true;
	return false;
}
