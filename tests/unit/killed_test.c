/*
 * killed_test.c - a front with records that outlive it, killed at each instruction.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A child writes and flushes, with records and keep buffer in memory that is shared,
 * and is led through it instruction by instruction.  Whenever that memory has changed,
 * it is looked at as the next device would find it, had the child been killed there.
 * Each write that was acknowledged, and that the server has not made durable, must be
 * there, with its data; and of those that are there each must have the right data.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "harness.h"
#include "test.h"

#define WRITES	40u
#define BLOCK	512u
#define ROOM	8u

/* Shared: of write n, which goes to block n. */
static struct world {
	volatile uint8_t ready;			/* the first device has begun */
	volatile uint8_t acked[WRITES], durable[WRITES];
	uint8_t	keep[ROOM * BLOCK];
	_Alignas(8) uint8_t records[4096];
} *world;

static struct nbe_dev_config config;
static struct nbe_export export;
static unsigned looks;

static uint8_t
data_of(uint64_t n)
{
	return (uint8_t)(n + 1);
}

/* ---- the child ------------------------------------------------------------- */

/* What is done, in the order that nbe.h demands. */
static void
hand_over(struct nbe_dev *d, nbe_time now)
{
	struct nbe_work w;

	nbe_work(d, &w, now);
	for (struct nbe_req *r = w.done, *next; r != NULL; r = next) {
		uint64_t n = r->offset / BLOCK;

		next = r->next;
		if (r->op == NBE_WRITE && r->keep != NBE_NO_KEEP)
			memset(world->keep + r->keep, data_of(n), BLOCK);
		nbe_kept(d, r);
		if (r->op == NBE_WRITE)
			world->acked[n] = 1;
	}
}

/* The server: a command at a time; a flush makes durable what it has. */
static void
serve(struct nbe_dev *d, uint8_t *written, nbe_time now)
{
	struct nbe_seg seg[8];
	uint8_t reply[16], *head;
	size_t used;
	unsigned n;

	while ((n = nbe_tx_begin(d, 0, seg, 2, now)) != 0) {
		head = seg[0].base;
		put64(put32(put32(reply, MAGIC_SIMPLE_REPLY), 0), get64(head + 8));
		if (get16(head + 6) == CMD_WRITE)
			written[get64(head + 16) / BLOCK] = 1;
		for (unsigned i = 0; get16(head + 6) == CMD_FLUSH && i < WRITES; i++)
			world->durable[i] |= written[i];
		nbe_tx_end(d, 0, seg[0].len + (n > 1 ? seg[1].len : 0), NBE_WHY_NONE,
		    now);
		(void)nbe_rx_ahead(d, 0, reply, sizeof(reply), seg, 8, &used);
		nbe_rx_end(d, 0, 0, NBE_WHY_NONE, now);
		hand_over(d, now);
	}
}

static void
live(void *mem)
{
	static struct nbe_req req[WRITES], flush;
	static uint8_t written[WRITES];
	struct nbe_dev *d = nbe_dev_init(mem, &config, &export, 1);

	(void)nbe_conn_up(d, 0, &export, 1);
	world->ready = 1;
	for (unsigned n = 0; n < WRITES; n++) {
		req[n].op = NBE_WRITE;
		req[n].offset = n * BLOCK;
		req[n].length = BLOCK;
		nbe_submit(d, &req[n], 1);
		serve(d, written, 1);
		if (n % 7 != 3)
			continue;
		flush.op = NBE_FLUSH;
		nbe_submit(d, &flush, 1);
		serve(d, written, 1);
	}
}

/* ---- who looks ------------------------------------------------------------- */

static bool
has_data(const struct record *rec)
{
	for (unsigned i = 0; i < BLOCK; i++)
		if (world->keep[rec->keep + i] != data_of(rec->off / BLOCK))
			return false;
	return true;
}

/* As the next device finds it: a copy, for that writes into it. */
static bool
look(void *mem)
{
	static _Alignas(8) uint8_t copy[sizeof(world->records)];
	struct nbe_dev_config c = config;
	const struct records *all = (const struct records *)copy;
	bool there[WRITES] = { false }, ok = true;
	struct nbe_dev *d;

	looks++;
	memcpy(copy, world->records, sizeof(copy));
	c.records = copy;
	c.inherit = true;
	d = nbe_dev_init(mem, &c, &export, 1);
	ok = nbe_inherited(d) && nbe_dev_valid(d);
	for (uint64_t i = all->first; ok && i != all->last; i++) {
		const struct record *rec = record_at(d, i);

		if (rec->given_up)
			continue;
		there[rec->off / BLOCK] = true;
		ok = has_data(rec);
	}
	for (unsigned n = 0; n < WRITES; n++)
		ok &= there[n] || !world->acked[n] || world->durable[n];
	return ok;
}

/* False: nobody can be led here. */
static bool
lead(pid_t child, void *mem)
{
	static struct world before;
	int status;
	bool ok = true;

	while (ok && waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (world->ready && memcmp(&before, world, sizeof(before)) != 0) {
			memcpy(&before, world, sizeof(before));
			ok = look(mem);
		}
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0)
			return false;
	}
	CHECK(ok && WIFEXITED(status));
	if (!ok)
		kill(child, SIGKILL);
	return true;
}

static void
test_at_each_instruction(void)
{
	size_t size = nbe_dev_size(&config);
	void *mem = malloc(size), *other = malloc(size);
	pid_t child = fork();

	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		live(mem);
		_exit(0);
	}
	if (!lead(child, other))
		printf("# no process can be led here\n");
	else
		CHECK(looks > 10 * WRITES);
	printf("# looked %u times\n", looks);
	free(mem);
	free(other);
}

int
main(void)
{
	static const struct test tests[] = { TEST(at_each_instruction) };

	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	export = (struct nbe_export){
		.size = WRITES * BLOCK, .block_min = BLOCK, .block_pref = BLOCK,
		.payload_max = 65536, .framing = NBE_SIMPLE,
		.flags = NBE_FLAG_HAS_FLAGS | NBE_FLAG_SEND_FLUSH,
	};
	config = (struct nbe_dev_config){
		.conns_max = 1, .conns = 1, .depth = 4, .timeout = NBE_NEVER,
		.dead_timeout = NBE_NEVER, .fence = NBE_SECOND,
		.unflushed = NBE_UNFLUSHED_REPLAY, .keep_size = ROOM * BLOCK,
		.keep_records = ROOM, .records = world->records, .seed = 1,
	};
	return TEST_MAIN(tests);
}
