/*
 * cdb_fuzz.c - libFuzzer: SCSI commands that say anything to wnbd.sys.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Input: what the disk is (2 bytes), the CDB's length, 16 bytes of CDB, the data.
 */
#include <stdlib.h>
#include <string.h>

#include "nbe.h"
#include "scsi.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define HEAD	19

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_range(const struct scsi_unit *u, uint64_t block, uint64_t count)
{
	must(block <= u->blocks && count <= u->blocks - block);
}

static void
check_extents(struct scsi_unit *u, struct scsi_cmd *cmd, const uint8_t *in)
{
	struct nbe_extent e[4];
	unsigned i;

	for (i = 0; i < 4; i++) {
		e[i].length = (uint64_t)(in[i] + 1) << (in[i + 4] % 40);
		e[i].flags = in[i] & 3;
	}
	scsi_extents(u, cmd, e, 4);
	must(cmd->transferred <= cmd->data_len);
}

static void
check_unmap(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	struct scsi_range r[SCSI_RANGES_MAX];
	uint32_t i;

	must(cmd->ranges > 0 && cmd->ranges <= u->ranges_max);
	if (!scsi_unmap_ranges(u, cmd, r)) {
		must(cmd->status != SCSI_GOOD && cmd->work == SCSI_WORK_NONE);
		return;
	}
	for (i = 0; i < cmd->ranges; i++)
		check_range(u, r[i].block, r[i].count);
}

static void
check_result(struct scsi_unit *u, struct scsi_cmd *cmd, const uint8_t *in)
{
	bool writes = cmd->work == SCSI_WORK_WRITE || cmd->work == SCSI_WORK_UNMAP ||
	    cmd->work == SCSI_WORK_ZERO;
	uint8_t sense[18];

	must(cmd->transferred <= cmd->data_len);
	must(cmd->status == SCSI_GOOD || cmd->work == SCSI_WORK_NONE);
	must(!writes || !u->read_only);
	must(scsi_sense(cmd, sense, in[0] % 20) <= sizeof(sense));
	if (cmd->work == SCSI_WORK_READ || cmd->work == SCSI_WORK_WRITE) {
		check_range(u, cmd->block, cmd->count);
		must(cmd->count * u->block_size <= cmd->data_len);
	} else if (cmd->work == SCSI_WORK_ZERO || cmd->work == SCSI_WORK_FLUSH) {
		check_range(u, cmd->block, cmd->count);
	} else if (cmd->work == SCSI_WORK_UNMAP) {
		check_unmap(u, cmd);
	} else if (cmd->work == SCSI_WORK_EXTENTS) {
		check_extents(u, cmd, in);
	} else if (cmd->work != SCSI_WORK_NONE) {
		must(cmd->count <= cmd->data_len && u->reservations);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	struct scsi_unit u = { .ranges_max = 4, .serial = "serial", .revision = "1" };
	struct scsi_cmd cmd = { 0 };

	if (size < HEAD)
		return 0;
	u.blocks = (uint64_t)1 << (in[0] % 50);
	u.block_size = (in[0] & 0x80) != 0 ? 4096 : 512;
	u.pref_size = u.block_size << (in[0] >> 4 & 3);
	u.read_only = in[1] & 1;
	u.flush = in[1] & 2;
	u.fua = in[1] & 4;
	u.unmap = in[1] & 8;
	u.zero = in[1] & 16;
	u.extents = in[1] & 32;
	u.reservations = in[1] & 64;
	u.attention_asc = (in[1] & 128) != 0 ? 0x2a : 0;
	cmd.cdb_len = in[2] % 17;
	memcpy(cmd.cdb, in + 3, 16);
	cmd.data_len = (uint32_t)(size - HEAD);
	cmd.data = malloc(size);
	memcpy(cmd.data, in + HEAD, size - HEAD);
	scsi_decode(&u, &cmd);
	check_result(&u, &cmd, in);
	free(cmd.data);
	return 0;
}
