/*
 * scsi.h - a disk as SCSI sees it: commands in, answers or work out.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure functions, without Windows: the driver calls them with a spin lock held, the
 * tests on Linux.  The CDB and the data are an attacker's: everything is checked
 * against the lengths that are passed along, and the data, which a process may
 * change meanwhile, is read once.
 */
#ifndef WNBD_SCSI_H
#define WNBD_SCSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbe_extent;

#define SCSI_SERIAL_MAX		255
#define SCSI_NAA_LENGTH		16
/* The longest transfer of one command; the largest number of UNMAP descriptors. */
#define SCSI_TRANSFER_MAX	(2u * 1024 * 1024)
#define SCSI_RANGES_MAX		256

/* What the answers depend on. */
struct scsi_unit {
	uint64_t blocks;
	uint32_t block_size;		/* 512 or 4096 */
	uint32_t pref_size;		/* preferred I/O, a multiple of it, in bytes */
	uint32_t ranges_max;		/* UNMAP descriptors, 1..SCSI_RANGES_MAX */
	bool	 read_only, flush, fua, rotational;
	bool	 unmap, anchor, zero;	/* TRIM; write zeroes */
	bool	 extents;		/* GET LBA STATUS */
	bool	 reservations;		/* PERSISTENT RESERVE goes to the server */
	bool	 has_naa;
	uint8_t	 naa[SCSI_NAA_LENGTH];
	char	 serial[SCSI_SERIAL_MAX + 1];
	char	 revision[5];
	uint8_t	 attention_asc, attention_ascq;	/* unit attention; 0, 0: none */
};

/* The rest of a command is done by the server. */
enum scsi_work {
	SCSI_WORK_NONE,			/* the answer is complete */
	SCSI_WORK_READ,
	SCSI_WORK_WRITE,
	SCSI_WORK_FLUSH,
	SCSI_WORK_UNMAP,		/* ranges from scsi_unmap_ranges */
	SCSI_WORK_ZERO,
	SCSI_WORK_EXTENTS,
	SCSI_WORK_RESERVE_IN,
	SCSI_WORK_RESERVE_OUT,
};

#define SCSI_GOOD		0x00
#define SCSI_CHECK_CONDITION	0x02

struct scsi_cmd {
	/* in */
	uint8_t	 cdb[16];
	uint8_t	 cdb_len;
	uint8_t	*data;			/* data_len bytes, or NULL if that is 0 */
	uint32_t data_len;
	/* out: the answer */
	uint8_t	 status;
	uint8_t	 key, asc, ascq;	/* with CHECK CONDITION */
	bool	 has_info;
	bool	 aborted;		/* not an answer of the disk: a reset */
	uint64_t info;
	uint32_t transferred;		/* bytes of data that are valid */
	/* out: the work */
	enum scsi_work work;
	bool	 fua, anchor, no_hole;
	uint64_t block, count;		/* blocks */
	uint32_t ranges;
	uint8_t	 action, scope, type;	/* PERSISTENT RESERVE */
};

struct scsi_range {
	uint64_t block, count;
};

/* Fills in the answer, or the work.  A unit attention is told once: *unit changes. */
void	 scsi_decode(struct scsi_unit *, struct scsi_cmd *);
/* Copies and checks cmd->ranges descriptors; false: cmd has the refusal. */
bool	 scsi_unmap_ranges(const struct scsi_unit *, struct scsi_cmd *,
	    struct scsi_range *);
/* The answer to GET LBA STATUS, from extents that begin at cmd->block. */
void	 scsi_extents(const struct scsi_unit *, struct scsi_cmd *,
	    const struct nbe_extent *, uint32_t count);
/* Fixed-format sense data for cmd; how many bytes were written, at most len. */
size_t	 scsi_sense(const struct scsi_cmd *, uint8_t *buf, size_t len);

/* ---- for the handlers' files ----------------------------------------------- */

enum scsi_key {
	SCSI_KEY_NOT_READY = 0x2,
	SCSI_KEY_MEDIUM_ERROR = 0x3,
	SCSI_KEY_HARDWARE_ERROR = 0x4,
	SCSI_KEY_ILLEGAL_REQUEST = 0x5,
	SCSI_KEY_UNIT_ATTENTION = 0x6,
	SCSI_KEY_DATA_PROTECT = 0x7,
	SCSI_KEY_ABORTED_COMMAND = 0xb,
};
/* asc << 8 | ascq */
enum scsi_asc {
	SCSI_ASC_NOT_READY = 0x0400,
	SCSI_ASC_NO_ANSWER = 0x0801,	/* communication time-out */
	SCSI_ASC_WRITE_ERROR = 0x0c00,
	SCSI_ASC_READ_ERROR = 0x1100,
	SCSI_ASC_LIST_LENGTH = 0x1a00,
	SCSI_ASC_INVALID_OPCODE = 0x2000,
	SCSI_ASC_OUT_OF_RANGE = 0x2100,
	SCSI_ASC_INVALID_FIELD = 0x2400,
	SCSI_ASC_INVALID_PARAMETER = 0x2600,
	SCSI_ASC_WRITE_PROTECTED = 0x2700,
	SCSI_ASC_SPACE_EXHAUSTED = 0x2707,
	SCSI_ASC_CAPACITY_CHANGED = 0x2a09,
	SCSI_ASC_RESET_OCCURRED = 0x2900,
	SCSI_ASC_SAVING_NOT_SUPPORTED = 0x3900,
	SCSI_ASC_INTERNAL_FAILURE = 0x4400,
};
void	 scsi_fail(struct scsi_cmd *, enum scsi_key, enum scsi_asc);
/* Answer with the first bytes of an answer of full length, as far as there is
 * room: no more than the allocation length says, and the buffer has. */
void	 scsi_answer(struct scsi_cmd *, const uint8_t *answer, size_t full,
	    uint32_t allocation);

void	 scsi_inquiry(struct scsi_unit *, struct scsi_cmd *);	/* inquiry.c */
void	 scsi_mode_sense6(struct scsi_unit *, struct scsi_cmd *);	/* mode.c */
void	 scsi_mode_sense10(struct scsi_unit *, struct scsi_cmd *);

static inline uint16_t
scsi_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t
scsi_get32(const uint8_t *p)
{
	return (uint32_t)scsi_get16(p) << 16 | scsi_get16(p + 2);
}
static inline uint64_t
scsi_get64(const uint8_t *p)
{
	return (uint64_t)scsi_get32(p) << 32 | scsi_get32(p + 4);
}
static inline void
scsi_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void
scsi_put32(uint8_t *p, uint32_t v)
{
	scsi_put16(p, v >> 16);
	scsi_put16(p + 2, v);
}
static inline void
scsi_put64(uint8_t *p, uint64_t v)
{
	scsi_put32(p, (uint32_t)(v >> 32));
	scsi_put32(p + 4, (uint32_t)v);
}

#endif
