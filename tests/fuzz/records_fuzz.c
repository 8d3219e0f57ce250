/*
 * records_fuzz.c - a device finds anything where the one before it had its records.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Input: the memory of the records.  Whatever is taken of it, the device does as it
 * would with its own: no byte outside of the keep buffer is sent, no command goes
 * beyond the disk, and in the end a flush is answered.
 */
#include "harness.h"

#define RECORDS	8u

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
serve(struct rig *g)
{
	rig_send(g, 0);
	while (rig_count(g, 0) != 0) {
		struct command c = rig_take(g, 0);

		must(c.len <= g->exp.size && c.off <= g->exp.size - c.len);
		rig_answer(g, 0, &c, 0);
		rig_send(g, 0);
	}
}

static void
go_on(struct rig *g)
{
	struct io *flush = rig_submit(g, NBE_FLUSH, 0, 0, 0);

	must(rig_up(g, 0) == NBE_WHY_NONE);
	serve(g);
	rig_wait(g, 11 * NBE_SECOND);
	serve(g);
	must(io_ended(flush, NBE_OK));
}

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *g = rig_new(NBE_STRUCTURED);
	void *records;

	g->exp.size = 65536;
	g->cfg.unflushed = NBE_UNFLUSHED_REPLAY;
	g->cfg.keep_size = 8192;
	g->cfg.keep_records = RECORDS;
	g->cfg.inherit = true;
	g->cfg.old_paths = 1;
	records = calloc(1, nbe_records_size(&g->cfg));
	if (size > nbe_records_size(&g->cfg))
		size = nbe_records_size(&g->cfg);
	memcpy(records, data, size);
	g->cfg.records = records;
	rig_start_down(g);
	go_on(g);
	rig_end(g);
	free(records);
	return 0;
}
