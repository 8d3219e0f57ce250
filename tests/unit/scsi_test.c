/*
 * scsi_test.c - wnbd.sys's SCSI commands and VPD pages, on a host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "nbe.h"
#include "scsi.h"
#include "test.h"

static struct scsi_unit unit;
static struct scsi_cmd cmd;
static uint8_t data[4096];

static void
reset_unit(void)
{
	unit = (struct scsi_unit){
		.blocks = UINT64_C(3) << 31, .block_size = 512, .pref_size = 4096,
		.ranges_max = 4, .flush = true, .fua = true, .unmap = true,
		.zero = true, .extents = true, .serial = "serial-1",
		.revision = "1.00",
	};
}

/* Runs a command whose bytes are in cdb, with len bytes of data. */
static void
run(const char *cdb, size_t cdb_len, uint32_t len)
{
	memset(&cmd, 0, sizeof(cmd));
	memcpy(cmd.cdb, cdb, cdb_len);
	cmd.cdb_len = (uint8_t)cdb_len;
	cmd.data = len > 0 ? data : NULL;
	cmd.data_len = len;
	scsi_decode(&unit, &cmd);
}
#define RUN(cdb, len) run(cdb, sizeof(cdb) - 1, len)

static bool
refused(enum scsi_key key, enum scsi_asc asc)
{
	return cmd.status == SCSI_CHECK_CONDITION && cmd.key == key &&
	    (cmd.asc << 8 | cmd.ascq) == (int)asc && cmd.work == SCSI_WORK_NONE &&
	    cmd.transferred == 0;
}
#define REFUSED(asc) refused(SCSI_KEY_ILLEGAL_REQUEST, asc)

static bool
work(enum scsi_work w, uint64_t block, uint64_t count)
{
	return cmd.status == SCSI_GOOD && cmd.work == w && cmd.block == block &&
	    cmd.count == count;
}

static void
test_read_write_of_every_length(void)
{
	reset_unit();
	RUN("\x08\x1f\xff\xff\x02\x00", 1024);
	CHECK(work(SCSI_WORK_READ, 0x1fffff, 2));
	RUN("\x08\x00\x00\x00\x00\x00", 4096);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));	/* 256 blocks, no room */
	RUN("\x0a\x00\x00\x05\x01\x00", 512);
	CHECK(work(SCSI_WORK_WRITE, 5, 1));
	RUN("\x28\x00\x12\x34\x56\x78\x00\x00\x03\x00", 4096);
	CHECK(work(SCSI_WORK_READ, 0x12345678, 3));
	RUN("\xaa\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00", 4096);
	CHECK(work(SCSI_WORK_WRITE, 1, 2) && cmd.fua);
	RUN("\x88\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00", 4096);
	CHECK(work(SCSI_WORK_READ, UINT64_C(1) << 32, 8) && !cmd.fua);
	RUN("\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0);
	CHECK(work(SCSI_WORK_NONE, 0, 0));
}

static void
test_ranges_end_where_the_disk_ends(void)
{
	reset_unit();
	unit.blocks = 100;
	RUN("\x28\x00\x00\x00\x00\x63\x00\x00\x01\x00", 512);
	CHECK(work(SCSI_WORK_READ, 99, 1));
	RUN("\x28\x00\x00\x00\x00\x63\x00\x00\x02\x00", 1024);
	CHECK(REFUSED(SCSI_ASC_OUT_OF_RANGE) && cmd.has_info && cmd.info == 100);
	RUN("\x88\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02\x00\x00", 1024);
	CHECK(REFUSED(SCSI_ASC_OUT_OF_RANGE));
	RUN("\x8f\x00\x00\x00\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x00", 0);
	CHECK(cmd.status == SCSI_GOOD);
	RUN("\x2f\x00\x00\x00\x00\x64\x00\x00\x01\x00", 0);
	CHECK(REFUSED(SCSI_ASC_OUT_OF_RANGE));
}

static void
test_what_a_disk_cannot_do(void)
{
	reset_unit();
	unit.read_only = true;
	RUN("\x2a\x00\x00\x00\x00\x00\x00\x00\x01\x00", 512);
	CHECK(refused(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED));
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", 24);
	CHECK(refused(SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED));
	unit.unmap = unit.zero = unit.extents = unit.fua = unit.read_only = false;
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", 24);
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
	RUN("\x41\x00\x00\x00\x00\x00\x00\x00\x01\x00", 512);
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
	RUN("\x9e\x12\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00", 64);
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
	RUN("\x2a\x08\x00\x00\x00\x00\x00\x00\x01\x00", 512);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));	/* cached, and no FUA */
	RUN("\x9e\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00", 64);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
	RUN("\xee\x00\x00\x00\x00\x00", 0);
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
	RUN("\x5e\x00\x00\x00\x00\x00\x00\x00\x08\x00", 8);
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
	RUN("\x88\x00\x00\x00\x00\x00", 512);	/* too short for its opcode */
	CHECK(REFUSED(SCSI_ASC_INVALID_OPCODE));
}

static void
test_flush(void)
{
	reset_unit();
	RUN("\x35\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0);
	CHECK(work(SCSI_WORK_FLUSH, 0, 0));
	unit.flush = false;
	RUN("\x91\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0);
	CHECK(work(SCSI_WORK_NONE, 0, 0));
}

static void
put_descriptor(unsigned i, uint64_t block, uint32_t count)
{
	scsi_put64(data + 8 + 16 * i, block);
	scsi_put32(data + 16 + 16 * i, count);
	scsi_put32(data + 20 + 16 * i, 0);
}

static void
test_unmap(void)
{
	struct scsi_range r[4];

	reset_unit();
	memset(data, 0, sizeof(data));
	scsi_put16(data + 2, 32);
	put_descriptor(0, 7, 0xffffffff);	/* 2 TiB: beyond 32 bits of bytes */
	put_descriptor(1, unit.blocks - 1, 1);
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x28\x00", 40);
	CHECK(cmd.work == SCSI_WORK_UNMAP && cmd.ranges == 2);
	CHECK(scsi_unmap_ranges(&unit, &cmd, r) && r[0].block == 7 &&
	    r[0].count == 0xffffffff && r[1].block == unit.blocks - 1);
	put_descriptor(1, unit.blocks - 1, 2);
	CHECK(!scsi_unmap_ranges(&unit, &cmd, r) && REFUSED(SCSI_ASC_OUT_OF_RANGE));
	/* The header promises more than was sent. */
	scsi_put16(data + 2, 0xffff);
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x28\x00", 40);
	CHECK(cmd.ranges == 2);
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x28\x00", 39);
	CHECK(REFUSED(SCSI_ASC_LIST_LENGTH));
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x07\x00", 40);
	CHECK(REFUSED(SCSI_ASC_LIST_LENGTH));
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x58\x00", 88);
	CHECK(REFUSED(SCSI_ASC_INVALID_PARAMETER));	/* 5 of at most 4 */
	RUN("\x42\x01\x00\x00\x00\x00\x00\x00\x28\x00", 40);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));		/* anchor */
	RUN("\x42\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0);
	CHECK(work(SCSI_WORK_NONE, 0, 0));
}

static void
test_write_same(void)
{
	reset_unit();
	memset(data, 0, sizeof(data));
	RUN("\x41\x08\x00\x00\x00\x05\x00\x00\x06\x00", 512);
	CHECK(work(SCSI_WORK_ZERO, 5, 6) && !cmd.no_hole);
	RUN("\x93\x00\x00\x00\x00\x00\x00\x00\x00\x05\x10\x00\x00\x00\x00\x00", 512);
	CHECK(work(SCSI_WORK_ZERO, 5, 0x10000000) && cmd.no_hole);
	RUN("\x93\x01\x00\x00\x00\x00\x00\x00\x00\x05\x10\x00\x00\x00\x00\x00", 0);
	CHECK(work(SCSI_WORK_ZERO, 5, 0x10000000));	/* NDOB */
	RUN("\x41\x00\x00\x00\x00\x05\x00\x00\x06\x00", 511);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
	data[511] = 1;
	RUN("\x41\x00\x00\x00\x00\x05\x00\x00\x06\x00", 512);
	CHECK(REFUSED(SCSI_ASC_INVALID_PARAMETER));
	data[511] = 0;
	RUN("\x41\x00\x00\x00\x00\x05\x00\x00\x00\x00", 512);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));		/* to the end */
}

static void
test_capacity(void)
{
	reset_unit();
	RUN("\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00", 8);
	CHECK(scsi_get32(data) == UINT32_MAX && scsi_get32(data + 4) == 512);
	RUN("\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00", 32);
	CHECK(scsi_get64(data) == unit.blocks - 1 && data[13] == 3 &&
	    data[14] == 0x80 && cmd.transferred == 32);
	RUN("\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00", 32);
	CHECK(cmd.transferred == 12);
	unit.blocks = 1000;
	unit.block_size = unit.pref_size = 4096;
	RUN("\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00", 8);
	CHECK(scsi_get32(data) == 999 && scsi_get32(data + 4) == 4096);
}

/* What a server prefers goes to VPD page B0h alone when Windows could not use it. */
static void
test_physical_sectors_are_of_4096_bytes_at_most(void)
{
	static const struct {
		uint32_t block_size, pref_size;
		uint8_t exponent;
	} cases[] = {
		{ 512, 512, 0 }, { 512, 2048, 2 }, { 512, 4096, 3 },
		{ 512, 65536, 3 }, { 512, 512 * 1024, 3 }, { 512, 16 << 20, 3 },
		{ 4096, 4096, 0 }, { 4096, 16 << 20, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reset_unit();
		unit.block_size = cases[i].block_size;
		unit.pref_size = cases[i].pref_size;
		RUN("\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00",
		    32);
		CHECK(data[13] == cases[i].exponent);
		RUN("\x12\x01\xb0\x00\xff\x00", 255);
		CHECK(scsi_get32(data + 12) ==
		    cases[i].pref_size / cases[i].block_size);
	}
}

static void
test_inquiry_and_vpd_pages(void)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	char cdb[] = "\x12\x01\x00\x00\xff\x00";
	size_t i;

	reset_unit();
	RUN("\x12\x00\x00\x00\x60\x00", 96);
	CHECK(memcmp(data + 8, "WNBD    WNBD_DISK       1.00", 28) == 0 &&
	    data[4] == 91);
	RUN("\x12\x00\x00\x00\x05\x00", 96);
	CHECK(cmd.transferred == 5);
	for (i = 0; i < sizeof(pages); i++) {
		cdb[2] = (char)pages[i];
		RUN(cdb, 255);
		CHECK(cmd.status == SCSI_GOOD && data[1] == pages[i]);
		CHECK(cmd.transferred == 4u + scsi_get16(data + 2));
	}
	cdb[2] = '\x00';
	RUN(cdb, 255);
	CHECK(memcmp(data + 4, pages, sizeof(pages)) == 0);
	cdb[2] = '\x80';
	RUN(cdb, 255);
	CHECK(memcmp(data + 4, "serial-1", 8) == 0);
	cdb[2] = '\x55';
	RUN(cdb, 255);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
	RUN("\x12\x00\x80\x00\xff\x00", 255);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
}

static void
test_vpd_identification(void)
{
	reset_unit();
	memset(unit.serial, 'x', SCSI_SERIAL_MAX);
	unit.has_naa = true;
	memset(unit.naa, 0x61, sizeof(unit.naa));
	RUN("\x12\x01\x83\x01\xff\x00", 511);
	CHECK(data[4] == 1 && data[5] == 3 && data[7] == 16 && data[8] == 0x61);
	CHECK(data[24] == 2 && data[25] == 1 && data[27] == 255);
	CHECK(cmd.transferred == 4 + 20 + 4 + 255);
	RUN("\x12\x01\x80\x01\xff\x00", 511);
	CHECK(cmd.transferred == 4 + 255);
}

static void
test_naa_length_follows_its_type(void)
{
	static const uint8_t length[16] = {
		16, 16, 8, 8, 16, 8, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
	};
	unsigned type;

	for (type = 0; type < 16; type++) {
		reset_unit();
		unit.has_naa = true;
		memset(unit.naa, (int)(type << 4 | 9), sizeof(unit.naa));
		RUN("\x12\x01\x83\x00\xff\x00", 255);
		CHECK(data[7] == length[type] && data[8] == (type << 4 | 9));
		/* The next designator follows at once. */
		CHECK(data[8 + length[type]] == 2 && data[9 + length[type]] == 1);
	}
}

static void
test_vpd_limits(void)
{
	reset_unit();
	RUN("\x12\x01\xb0\x00\xff\x00", 255);
	CHECK(scsi_get32(data + 8) == 4096 && scsi_get32(data + 20) == UINT32_MAX &&
	    scsi_get32(data + 24) == 4);
	RUN("\x12\x01\xb2\x00\xff\x00", 255);
	CHECK(data[5] == 0xe0 && data[6] == 2);
	RUN("\x12\x01\xb1\x00\xff\x00", 255);
	CHECK(scsi_get16(data + 4) == 1);
	unit.unmap = unit.zero = false;
	unit.rotational = true;
	RUN("\x12\x01\xb2\x00\xff\x00", 255);
	CHECK(data[5] == 0 && data[6] == 0);
	RUN("\x12\x01\xb1\x00\xff\x00", 255);
	CHECK(scsi_get16(data + 4) == 0);
}

static void
test_mode_sense(void)
{
	reset_unit();
	RUN("\x1a\x00\x08\x00\xff\x00", 255);
	CHECK(cmd.transferred == 24 && data[0] == 23 && data[2] == 0x10 &&
	    data[4] == 8 && data[6] == 4);
	RUN("\x5a\x00\x3f\x00\x00\x00\x00\x00\xff\x00", 255);
	CHECK(cmd.transferred == 8 + 20 + 12 && scsi_get16(data) == 38);
	RUN("\x1a\x00\x48\x00\xff\x00", 255);
	CHECK(data[6] == 0);			/* nothing can be changed */
	RUN("\x1a\x00\xc8\x00\xff\x00", 255);
	CHECK(REFUSED(SCSI_ASC_SAVING_NOT_SUPPORTED));
	RUN("\x1a\x00\x01\x00\xff\x00", 255);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
	unit.read_only = true;
	unit.fua = unit.flush = false;
	RUN("\x1a\x00\x08\x00\xff\x00", 255);
	CHECK(data[2] == 0x80 && data[6] == 0);
	RUN("\x1a\x00\x08\x00\x02\x00", 255);
	CHECK(cmd.transferred == 2);
}

static void
test_unit_attention_is_told_once(void)
{
	reset_unit();
	unit.attention_asc = 0x2a;
	unit.attention_ascq = 0x09;
	RUN("\x12\x00\x00\x00\x60\x00", 96);
	CHECK(cmd.status == SCSI_GOOD);
	RUN("\x00\x00\x00\x00\x00\x00", 0);
	CHECK(refused(SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_CAPACITY_CHANGED));
	RUN("\x00\x00\x00\x00\x00\x00", 0);
	CHECK(cmd.status == SCSI_GOOD);
	unit.attention_asc = 0x2a;
	RUN("\x03\x00\x00\x00\x12\x00", 18);
	CHECK(data[2] == 6 && data[12] == 0x2a && unit.attention_asc == 0);
}

static void
test_lba_status(void)
{
	const struct nbe_extent extents[] = {
		{ 512 * 3 + 100, 0 },
		{ 412 + UINT64_C(512) * 0x100000002, NBE_EXTENT_HOLE },
	};

	reset_unit();
	RUN("\x9e\x12\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x00\x48\x00\x00", 4096);
	CHECK(cmd.work == SCSI_WORK_EXTENTS && cmd.block == 10 && cmd.ranges == 4);
	scsi_extents(&unit, &cmd, extents, 2);
	CHECK(cmd.transferred == 8 + 3 * 16 && scsi_get32(data) == 4 + 48);
	CHECK(scsi_get64(data + 8) == 10 && scsi_get32(data + 16) == 3 &&
	    data[20] == 0);
	CHECK(scsi_get64(data + 24) == 13 && scsi_get32(data + 32) == UINT32_MAX &&
	    data[36] == 1);
	CHECK(scsi_get64(data + 40) == UINT64_C(13) + UINT32_MAX);
	RUN("\x9e\x12\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x00\x08\x00\x00", 4096);
	CHECK(cmd.work == SCSI_WORK_NONE && cmd.transferred == 8);
	RUN("\x9e\x12\xff\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x00\x48\x00\x00", 4096);
	CHECK(REFUSED(SCSI_ASC_OUT_OF_RANGE));
}

static void
test_reservations(void)
{
	reset_unit();
	unit.reservations = true;
	RUN("\x5f\x03\x15\x00\x00\x00\x00\x00\x18\x00", 24);
	CHECK(cmd.work == SCSI_WORK_RESERVE_OUT && cmd.action == 3 && cmd.scope == 1 &&
	    cmd.type == 5 && cmd.count == 24);
	RUN("\x5f\x03\x15\x00\x00\x00\x00\x00\x19\x00", 24);
	CHECK(REFUSED(SCSI_ASC_LIST_LENGTH));
	RUN("\x5f\x03\x15\x00\x00\x00\x01\x00\x00\x00", 24);
	CHECK(REFUSED(SCSI_ASC_LIST_LENGTH));
	RUN("\x5e\x01\x00\x00\x00\x00\x00\xff\xff\x00", 24);
	CHECK(cmd.work == SCSI_WORK_RESERVE_IN && cmd.action == 1 && cmd.count == 24);
	RUN("\x5e\x02\x00\x00\x00\x00\x00\x00\x10\x00", 24);
	CHECK(cmd.work == SCSI_WORK_RESERVE_IN && cmd.action == 2 && cmd.count == 16);
	RUN("\x5e\x01\x00\x00\x00\x00\x00\x00\x00\x00", 24);
	CHECK(cmd.work == SCSI_WORK_RESERVE_IN && cmd.count == 24);
	RUN("\x5e\x01\x00\x00\x00\x00", 24);
	CHECK(cmd.work == SCSI_WORK_RESERVE_IN && cmd.action == 1 && cmd.count == 24);
	run("\x5e\x01\x00\x00\x00\x00", 6, 0);
	CHECK(cmd.work == SCSI_WORK_RESERVE_IN && cmd.count == 0);
	cmd.data_len = 1u << 20;
	cmd.cdb_len = 6;
	cmd.data = data;
	scsi_decode(&unit, &cmd);
	CHECK(cmd.count == UINT16_MAX);
}

static void
test_sense_data(void)
{
	uint8_t sense[18];

	memset(&cmd, 0, sizeof(cmd));
	scsi_fail(&cmd, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
	CHECK(scsi_sense(&cmd, sense, sizeof(sense)) == 18 && sense[0] == 0x70 &&
	    sense[2] == 3 && sense[7] == 10 && sense[12] == 0x11);
	cmd.has_info = true;
	cmd.info = 0x12345678;
	scsi_sense(&cmd, sense, sizeof(sense));
	CHECK(sense[0] == 0xf0 && scsi_get32(sense + 3) == 0x12345678);
	cmd.info = UINT64_C(1) << 32;
	scsi_sense(&cmd, sense, sizeof(sense));
	CHECK(sense[0] == 0x70);
	CHECK(scsi_sense(&cmd, sense, 3) == 3);
}

static void
test_report_luns(void)
{
	reset_unit();
	RUN("\xa0\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00", 16);
	CHECK(cmd.transferred == 16 && scsi_get32(data) == 8);
	RUN("\xa0\x00\x01\x00\x00\x00\x00\x00\x00\x10\x00\x00", 16);
	CHECK(cmd.transferred == 8 && scsi_get32(data) == 0);
	RUN("\xa0\x00\x12\x00\x00\x00\x00\x00\x00\x10\x00\x00", 16);
	CHECK(REFUSED(SCSI_ASC_INVALID_FIELD));
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(read_write_of_every_length),
		TEST(ranges_end_where_the_disk_ends),
		TEST(what_a_disk_cannot_do),
		TEST(flush),
		TEST(unmap),
		TEST(write_same),
		TEST(capacity),
		TEST(physical_sectors_are_of_4096_bytes_at_most),
		TEST(inquiry_and_vpd_pages),
		TEST(vpd_identification),
		TEST(naa_length_follows_its_type),
		TEST(vpd_limits),
		TEST(mode_sense),
		TEST(unit_attention_is_told_once),
		TEST(lba_status),
		TEST(reservations),
		TEST(sense_data),
		TEST(report_luns),
	};

	return TEST_MAIN(tests);
}
