/*
 * device_script.h - what the device fuzzer's input means; record.c writes it too.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * CONFIG_LEN bytes choose the device; then come steps: a code and its arguments,
 * 16 bits little-endian.  What an input lacks at its end is zero.
 */
#ifndef DEVICE_SCRIPT_H
#define DEVICE_SCRIPT_H

#include "harness.h"

enum { CONFIG_FRAMING, CONFIG_KIND, CONFIG_CONTEXT, CONFIG_LEN };

enum step {
	STEP_SUBMIT,		/* op, flags, first block, blocks */
	STEP_SEND,		/* conn, bytes (16 bits, 0: all) */
	STEP_BYTES,		/* conn, way, count (16 bits), that many bytes */
	STEP_CHUNK,		/* conn, flags, type (16), length (16) */
	STEP_ANSWER,		/* conn, error */
	STEP_ABORT,		/* which request */
	STEP_OPEN_SEND,		/* conn: begins and does not end */
	STEP_DOWN, STEP_UP,	/* conn */
	STEP_WAIT,		/* half seconds */
	STEP_SCALE,		/* connections */
	STEP_STOP,		/* draining? */
	STEP_PART,		/* conn, flags, first block, blocks: of a read */
	STEP_UP_AS,		/* conn, how the export differs */
	STEP_RECONNECT,
	STEPS
};

/* Of several servers.  Bytes from here on are these, so that the others stay what they
 * were. */
enum path_step {
	STEP_PATHS = 0xf0,
	STEP_MOVE = STEP_PATHS,	/* path */
	STEP_PROBED,		/* path, why */
	STEP_FENCED,		/* path, certain? */
	STEP_COMPARE,		/* block: reads it */
	STEP_COMPARED,		/* the same? */
	STEP_PATHS_END
};

static inline void
script_paths(struct nbe_dev_config *cfg, uint8_t kind)
{
	cfg->paths = kind & 1 ? 2 + (kind / 2) % 2 : 0;
	cfg->fence_by = (enum nbe_fence_by)(kind / 4 % 3);
	cfg->compare = kind / 12 % 2 != 0;
	cfg->failback = kind / 24 % 2 != 0 ? 30 * NBE_SECOND : 0;
	cfg->path_timeout = 4 * NBE_SECOND;
}

/* A device as the configuration bytes want it. */
static inline struct rig *
script_rig(const uint8_t *config)
{
	struct rig *g = rig_new((enum nbe_framing)(config[CONFIG_FRAMING] % 3));
	uint8_t kind = config[CONFIG_KIND];

	g->exp.alloc_context = config[CONFIG_CONTEXT];
	g->exp.payload_max = kind & 1 ? 4096 : 65536;
	if (kind & 2)
		g->exp.flags &= (uint16_t)~NBE_FLAG_SEND_FUA;
	g->cfg.depth = 8;
	g->cfg.conns_max = g->cfg.conns = kind & 4 ? 2 : 1;
	g->cfg.unflushed = (enum nbe_unflushed)(kind / 8 % 3);
	g->cfg.timeout = kind & 32 ? 3 * NBE_SECOND : NBE_NEVER;
	g->cfg.dead_timeout = kind & 64 ? 20 * NBE_SECOND : NBE_NEVER;
	g->cfg.keep_size = 8192;
	g->cfg.keep_records = 6;
	script_paths(&g->cfg, config[CONFIG_FRAMING] / 3);
	return g;
}

static inline struct io *
script_submit(struct rig *g, uint8_t op, uint8_t flags, uint8_t block, uint8_t blocks)
{
	return rig_submit(g, (enum nbe_op)(op % NBE_OPS), 512u * block,
	    512u * (blocks % 80),
	    flags & (NBE_FUA | NBE_BARRIER | NBE_NO_HOLE | NBE_FAST_ZERO));
}

#endif
