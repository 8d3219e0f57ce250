/*
 * scsi.c - the table of SCSI commands.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * SBC-4 and SPC-5, as far as a Windows disk needs them.  A handler either answers,
 * or refuses with scsi_fail, or leaves cmd->work to the server.
 */
#include <string.h>

#include "nbe.h"
#include "scsi.h"

#define NO_ACTION	0xff		/* the opcode alone names the command */
#define ACTION_MASK	0x1f

#define PHYSICAL_MAX	4096		/* bytes of a physical block */

#define BIT_FUA		0x08		/* CDB byte 1 */
#define BIT_BYTCHK	0x06
#define BIT_WS_UNMAP	0x08
#define BIT_WS_ANCHOR	0x10
#define BIT_WS_NDOB	0x01
#define BIT_UNMAP_ANCHOR 0x01

struct command {
	uint8_t	 opcode, action, cdb_len;
	uint8_t	 needs;			/* NEEDS_* */
	void	 (*run)(struct scsi_unit *, struct scsi_cmd *);
};
#define NEEDS_WRITABLE	0x1
#define NEEDS_UNMAP	0x2
#define NEEDS_ZERO	0x4
#define NEEDS_EXTENTS	0x8
#define NEEDS_RESERVE	0x10
#define NO_ATTENTION	0x20		/* does not end a unit attention */

static void
good(struct scsi_cmd *cmd)
{
	cmd->status = SCSI_GOOD;
	cmd->work = SCSI_WORK_NONE;
}

static void
refuse(struct scsi_cmd *cmd, enum scsi_asc asc)
{
	scsi_fail(cmd, SCSI_KEY_ILLEGAL_REQUEST, asc);
}

void
scsi_answer(struct scsi_cmd *cmd, const uint8_t *answer, size_t full,
    uint32_t allocation)
{
	size_t len = full;

	if (len > allocation)
		len = allocation;
	if (len > cmd->data_len)
		len = cmd->data_len;
	if (len > 0)
		memcpy(cmd->data, answer, len);
	good(cmd);
	cmd->transferred = (uint32_t)len;
}

/* ---- a range of blocks ----------------------------------------------------- */

/* The two fields of a CDB, by its length. */
static void
get_range(struct scsi_cmd *cmd)
{
	const uint8_t *c = cmd->cdb;

	switch (cmd->cdb_len) {
	case 6:
		cmd->block = scsi_get32(c) & 0x1fffff;
		cmd->count = c[4] != 0 ? c[4] : 256;
		break;
	case 10:
		cmd->block = scsi_get32(c + 2);
		cmd->count = scsi_get16(c + 7);
		break;
	case 12:
		cmd->block = scsi_get32(c + 2);
		cmd->count = scsi_get32(c + 6);
		break;
	default:
		cmd->block = scsi_get64(c + 2);
		cmd->count = scsi_get32(c + 10);
		break;
	}
}

static bool
in_range(const struct scsi_unit *u, uint64_t block, uint64_t count)
{
	return block <= u->blocks && count <= u->blocks - block;
}

/* False: cmd has the refusal. */
static bool
take_range(const struct scsi_unit *u, struct scsi_cmd *cmd)
{
	get_range(cmd);
	if (in_range(u, cmd->block, cmd->count))
		return true;
	refuse(cmd, SCSI_ASC_OUT_OF_RANGE);
	if (cmd->block < u->blocks)
		cmd->info = u->blocks;	/* the first that is not there */
	else
		cmd->info = cmd->block;
	cmd->has_info = true;
	return false;
}

static void
read_or_write(struct scsi_unit *u, struct scsi_cmd *cmd, enum scsi_work work)
{
	bool fua = cmd->cdb_len > 6 && (cmd->cdb[1] & BIT_FUA) != 0;

	if (!take_range(u, cmd))
		return;
	/* Data is cached and the server cannot be told to write it through. */
	if (fua && work == SCSI_WORK_WRITE && u->flush && !u->fua) {
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	good(cmd);
	if (cmd->count == 0)
		return;
	if (cmd->count > SCSI_TRANSFER_MAX / u->block_size ||
	    cmd->count * u->block_size > cmd->data_len) {
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	cmd->work = work;
	cmd->fua = fua && u->fua;
}

static void
do_read(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	read_or_write(u, cmd, SCSI_WORK_READ);
}

static void
do_write(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	read_or_write(u, cmd, SCSI_WORK_WRITE);
}

/* The medium is checked by reading it; what was written is not compared. */
static void
do_verify(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	if (!take_range(u, cmd))
		return;
	if ((cmd->cdb[1] & BIT_BYTCHK) != 0)
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
	else
		good(cmd);
}

static void
do_synchronize(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	if (!take_range(u, cmd))
		return;
	good(cmd);
	if (u->flush)
		cmd->work = SCSI_WORK_FLUSH;
}

/* ---- ranges that are to be emptied ----------------------------------------- */

static bool
all_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	while (len-- > 0)
		any |= *p++;
	return any == 0;
}

/*
 * With UNMAP the blocks may become unallocated, but they read as zeroes in any
 * case, so this is a zeroing and never a TRIM.
 */
static void
do_write_same(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint8_t bits = cmd->cdb[1];
	bool no_data = cmd->cdb_len == 16 && (bits & BIT_WS_NDOB) != 0;

	if (!take_range(u, cmd))
		return;
	/* 0 is "up to the end", which VPD page B0h (WSNZ) says we do not take. */
	if (cmd->count == 0 || (bits & (BIT_WS_ANCHOR | 0xe0)) != 0) {
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	if (!no_data && cmd->data_len < u->block_size) {
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	if (!no_data && !all_zero(cmd->data, u->block_size)) {
		refuse(cmd, SCSI_ASC_INVALID_PARAMETER);
		return;
	}
	good(cmd);
	cmd->work = SCSI_WORK_ZERO;
	cmd->no_hole = (bits & BIT_WS_UNMAP) == 0;
}

static void
do_unmap(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint32_t list = scsi_get16(cmd->cdb + 7), blocks;

	cmd->anchor = (cmd->cdb[1] & BIT_UNMAP_ANCHOR) != 0;
	if (cmd->anchor && !u->anchor) {
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	good(cmd);
	if (list == 0)
		return;
	if (list < 8 || list > cmd->data_len) {
		refuse(cmd, SCSI_ASC_LIST_LENGTH);
		return;
	}
	/* The header's length, cut to what was sent; a rest that is no descriptor
	 * is ignored (SBC-4, UNMAP parameter list). */
	blocks = scsi_get16(cmd->data + 2);
	if (blocks > list - 8)
		blocks = list - 8;
	cmd->ranges = blocks / 16;
	if (cmd->ranges > u->ranges_max)
		refuse(cmd, SCSI_ASC_INVALID_PARAMETER);
	else if (cmd->ranges > 0)
		cmd->work = SCSI_WORK_UNMAP;
}

bool
scsi_unmap_ranges(const struct scsi_unit *u, struct scsi_cmd *cmd,
    struct scsi_range *out)
{
	const uint8_t *p = cmd->data + 8;
	uint32_t i;

	for (i = 0; i < cmd->ranges; i++, p += 16) {
		out[i].block = scsi_get64(p);
		out[i].count = scsi_get32(p + 8);
		if (!in_range(u, out[i].block, out[i].count)) {
			refuse(cmd, SCSI_ASC_OUT_OF_RANGE);
			return false;
		}
	}
	return true;
}

/* ---- questions about the disk ---------------------------------------------- */

static void
do_ready(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	(void)u;
	good(cmd);
}

static void
do_request_sense(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	struct scsi_cmd told = { 0 };
	uint8_t sense[18];
	size_t len;

	if ((cmd->cdb[1] & 1) != 0) {	/* descriptor format */
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	if (u->attention_asc != 0)
		scsi_fail(&told, SCSI_KEY_UNIT_ATTENTION, (enum scsi_asc)
		    (u->attention_asc << 8 | u->attention_ascq));
	u->attention_asc = u->attention_ascq = 0;
	len = scsi_sense(&told, sense, sizeof(sense));
	scsi_answer(cmd, sense, len, cmd->cdb[4]);
}

static void
do_capacity10(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint64_t last = u->blocks - 1;
	uint8_t answer[8];

	scsi_put32(answer, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	scsi_put32(answer + 4, u->block_size);
	scsi_answer(cmd, answer, sizeof(answer), sizeof(answer));
}

/*
 * Logical blocks per physical one, as a power of two.  What a server prefers may be
 * megabytes, but Windows knows 512, 512e and 4K ("Advanced format (4K) disk
 * compatibility update"): beyond 4096 bytes its file systems and databases refuse the
 * disk.  The whole preference is in VPD page B0h.
 */
static uint8_t
physical_exponent(const struct scsi_unit *u)
{
	uint32_t size = u->pref_size < PHYSICAL_MAX ? u->pref_size : PHYSICAL_MAX;
	uint8_t n = 0;

	for (; size > u->block_size; size /= 2)
		n++;
	return n;
}

static void
do_capacity16(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint8_t answer[32] = { 0 };

	scsi_put64(answer, u->blocks - 1);
	scsi_put32(answer + 8, u->block_size);
	answer[13] = physical_exponent(u);
	answer[14] = u->unmap ? 0x80 : 0;	/* LBPME; what is trimmed is not zero */
	scsi_answer(cmd, answer, sizeof(answer), scsi_get32(cmd->cdb + 10));
}

static void
do_report_luns(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint8_t answer[16] = { 0 };		/* one logical unit, number 0 */

	(void)u;
	if (cmd->cdb[2] > 2) {			/* SELECT REPORT */
		refuse(cmd, SCSI_ASC_INVALID_FIELD);
		return;
	}
	scsi_put32(answer, cmd->cdb[2] == 1 ? 0 : 8);
	scsi_answer(cmd, answer, cmd->cdb[2] == 1 ? 8 : 16,
	    scsi_get32(cmd->cdb + 6));
}

static void
do_get_lba_status(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint32_t room = scsi_get32(cmd->cdb + 10);

	cmd->block = scsi_get64(cmd->cdb + 2);
	if (cmd->block >= u->blocks) {
		refuse(cmd, SCSI_ASC_OUT_OF_RANGE);
		return;
	}
	good(cmd);
	if (room > cmd->data_len)
		room = cmd->data_len;
	if (room < 8 + 16) {
		scsi_answer(cmd, (const uint8_t[8]){ 0, 0, 0, 4 }, 8, room);
		return;
	}
	cmd->work = SCSI_WORK_EXTENTS;
	cmd->count = u->blocks - cmd->block;
	cmd->ranges = (room - 8) / 16;
	if (cmd->ranges > SCSI_RANGES_MAX)
		cmd->ranges = SCSI_RANGES_MAX;
}

/* Whole blocks of one kind; blocks of which only a part is a hole are mapped. */
static uint32_t
describe(const struct scsi_unit *u, uint8_t *at, uint64_t block, uint64_t end,
    uint32_t flags)
{
	uint64_t count = end - block;

	if (count > UINT32_MAX)
		count = UINT32_MAX;
	scsi_put64(at, block);
	scsi_put32(at + 8, (uint32_t)count);
	/* Deallocated; SBC-4 has nothing for "allocated and zero". */
	at[12] = (flags & NBE_EXTENT_HOLE) != 0 && u->unmap ? 1 : 0;
	memset(at + 13, 0, 3);
	return (uint32_t)count;
}

void
scsi_extents(const struct scsi_unit *u, struct scsi_cmd *cmd,
    const struct nbe_extent *extent, uint32_t count)
{
	uint64_t byte = cmd->block * u->block_size, block = cmd->block, end;
	uint32_t i, n = 0;

	for (i = 0; i < count && n < cmd->ranges; i++) {
		byte += extent[i].length;
		end = byte / u->block_size;
		if (end > u->blocks)
			end = u->blocks;
		while (block < end && n < cmd->ranges)
			block += describe(u, cmd->data + 8 + 16 * n++, block, end,
			    extent[i].flags);
	}
	memset(cmd->data, 0, 8);
	scsi_put32(cmd->data, 4 + 16 * n);
	good(cmd);
	cmd->transferred = 8 + 16 * n;
}

/* ---- reservations: the server's process decides ---------------------------- */

static void
do_reserve(struct scsi_unit *u, struct scsi_cmd *cmd, enum scsi_work work,
    uint32_t length)
{
	(void)u;
	if (length > cmd->data_len) {
		refuse(cmd, SCSI_ASC_LIST_LENGTH);
		return;
	}
	good(cmd);
	cmd->work = work;
	cmd->action = cmd->cdb[1] & ACTION_MASK;
	cmd->scope = cmd->cdb[2] >> 4;
	cmd->type = cmd->cdb[2] & 0x0f;
	cmd->count = length;
}

/* Programs send this one with a CDB that is cut off, or with an allocation length of 0;
 * then the buffer tells how much is wanted. */
static void
do_reserve_in(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint32_t room = scsi_get16(cmd->cdb + 7);

	if (room == 0 || room > cmd->data_len)
		room = cmd->data_len < UINT16_MAX ? cmd->data_len : UINT16_MAX;
	do_reserve(u, cmd, SCSI_WORK_RESERVE_IN, room);
}

static void
do_reserve_out(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint32_t length = scsi_get32(cmd->cdb + 5);

	if (length > UINT16_MAX)
		refuse(cmd, SCSI_ASC_LIST_LENGTH);
	else
		do_reserve(u, cmd, SCSI_WORK_RESERVE_OUT, length);
}

/* ---- the table ------------------------------------------------------------- */

static const struct command commands[] = {
	{ 0x00, NO_ACTION, 6, 0, do_ready },		/* TEST UNIT READY */
	{ 0x03, NO_ACTION, 6, NO_ATTENTION, do_request_sense },
	{ 0x08, NO_ACTION, 6, 0, do_read },
	{ 0x0a, NO_ACTION, 6, NEEDS_WRITABLE, do_write },
	{ 0x12, NO_ACTION, 6, NO_ATTENTION, scsi_inquiry },
	{ 0x1a, NO_ACTION, 6, 0, scsi_mode_sense6 },
	{ 0x1b, NO_ACTION, 6, 0, do_ready },		/* START STOP UNIT */
	{ 0x25, NO_ACTION, 10, 0, do_capacity10 },
	{ 0x28, NO_ACTION, 10, 0, do_read },
	{ 0x2a, NO_ACTION, 10, NEEDS_WRITABLE, do_write },
	{ 0x2f, NO_ACTION, 10, 0, do_verify },
	{ 0x35, NO_ACTION, 10, 0, do_synchronize },
	{ 0x41, NO_ACTION, 10, NEEDS_WRITABLE | NEEDS_ZERO, do_write_same },
	{ 0x42, NO_ACTION, 10, NEEDS_WRITABLE | NEEDS_UNMAP, do_unmap },
	{ 0x5a, NO_ACTION, 10, 0, scsi_mode_sense10 },
	{ 0x5e, NO_ACTION, 6, NEEDS_RESERVE, do_reserve_in },
	{ 0x5f, NO_ACTION, 10, NEEDS_RESERVE, do_reserve_out },
	{ 0x88, NO_ACTION, 16, 0, do_read },
	{ 0x8a, NO_ACTION, 16, NEEDS_WRITABLE, do_write },
	{ 0x8f, NO_ACTION, 16, 0, do_verify },
	{ 0x91, NO_ACTION, 16, 0, do_synchronize },
	{ 0x93, NO_ACTION, 16, NEEDS_WRITABLE | NEEDS_ZERO, do_write_same },
	{ 0x9e, 0x10, 16, 0, do_capacity16 },
	{ 0x9e, 0x12, 16, NEEDS_EXTENTS, do_get_lba_status },
	{ 0xa0, NO_ACTION, 12, NO_ATTENTION, do_report_luns },
	{ 0xa8, NO_ACTION, 12, 0, do_read },
	{ 0xaa, NO_ACTION, 12, NEEDS_WRITABLE, do_write },
	{ 0xaf, NO_ACTION, 12, 0, do_verify },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* NULL: cmd has the refusal. */
static const struct command *
look_up(struct scsi_cmd *cmd)
{
	size_t i;
	bool opcode = false;

	for (i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];

		if (cmd->cdb_len < c->cdb_len || cmd->cdb[0] != c->opcode)
			continue;
		opcode = true;
		if (c->action == NO_ACTION ||
		    c->action == (cmd->cdb[1] & ACTION_MASK))
			return c;
	}
	refuse(cmd, opcode ? SCSI_ASC_INVALID_FIELD : SCSI_ASC_INVALID_OPCODE);
	return NULL;
}

/* What the disk cannot do is an opcode that it does not know. */
static bool
can(const struct scsi_unit *u, uint8_t needs)
{
	return ((needs & NEEDS_UNMAP) == 0 || u->unmap) &&
	    ((needs & NEEDS_ZERO) == 0 || u->zero) &&
	    ((needs & NEEDS_EXTENTS) == 0 || u->extents) &&
	    ((needs & NEEDS_RESERVE) == 0 || u->reservations);
}

void
scsi_decode(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	const struct command *c = look_up(cmd);

	if (c == NULL)
		return;
	if (u->attention_asc != 0 && (c->needs & NO_ATTENTION) == 0) {
		scsi_fail(cmd, SCSI_KEY_UNIT_ATTENTION, (enum scsi_asc)
		    (u->attention_asc << 8 | u->attention_ascq));
		u->attention_asc = u->attention_ascq = 0;
		return;
	}
	if (!can(u, c->needs)) {
		refuse(cmd, SCSI_ASC_INVALID_OPCODE);
		return;
	}
	if ((c->needs & NEEDS_WRITABLE) != 0 && u->read_only) {
		scsi_fail(cmd, SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
		return;
	}
	cmd->cdb_len = c->cdb_len;	/* Windows may pass more than belongs to it */
	c->run(u, cmd);
}
