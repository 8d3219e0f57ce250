/*
 * inquiry.c - who the disk is: INQUIRY, and the table of its VPD pages.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "scsi.h"

#define INQUIRY_LENGTH	96
#define PAGE_MAX	(4 + 8 + SCSI_SERIAL_MAX + 4 + SCSI_NAA_LENGTH + 4)

/* Fills in the page behind its 4-byte header; returns how many bytes. */
struct page {
	uint8_t	 code;
	size_t	 (*fill)(const struct scsi_unit *, uint8_t *);
};

static const char vendor[8] = "WNBD    ";
static const char product[16] = "WNBD_DISK       ";

static size_t	fill_supported(const struct scsi_unit *, uint8_t *);

static size_t
fill_serial(const struct scsi_unit *u, uint8_t *p)
{
	size_t len = strlen(u->serial);

	memcpy(p, u->serial, len);
	return len;
}

/* A designator of the logical unit: its header; the identifier follows. */
static uint8_t *
designator(uint8_t *p, uint8_t code_set, uint8_t type, size_t len)
{
	p[0] = code_set;
	p[1] = type;
	p[3] = (uint8_t)len;
	return p + 4;
}

/* SPC-4, 7.8.6.6: types 2, 3 and 5 have 8 bytes.  Others than these four there are
 * not; their length is left as it is given. */
static size_t
naa_length(uint8_t type)
{
	return type == 2 || type == 3 || type == 5 ? SCSI_NAA_LENGTH / 2 :
	    SCSI_NAA_LENGTH;
}

static size_t
fill_identification(const struct scsi_unit *u, uint8_t *p)
{
	size_t serial = strlen(u->serial), naa = naa_length(u->naa[0] >> 4);
	uint8_t *at = p;

	if (u->has_naa) {
		at = designator(at, 1, 3, naa);		/* binary, NAA */
		memcpy(at, u->naa, naa);
		at += naa;
	}
	if (serial > 255 - sizeof(vendor))
		serial = 255 - sizeof(vendor);
	at = designator(at, 2, 1, sizeof(vendor) + serial);	/* ASCII, T10 */
	memcpy(at, vendor, sizeof(vendor));
	memcpy(at + sizeof(vendor), u->serial, serial);
	return (size_t)(at - p) + sizeof(vendor) + serial;
}

/* Block limits. */
static size_t
fill_limits(const struct scsi_unit *u, uint8_t *p)
{
	uint32_t pref = u->pref_size / u->block_size;

	p[0] = 1;				/* WSNZ: no WRITE SAME of 0 blocks */
	scsi_put16(p + 2, pref > UINT16_MAX ? UINT16_MAX : pref);
	scsi_put32(p + 4, SCSI_TRANSFER_MAX / u->block_size);
	scsi_put32(p + 8, pref);
	if (u->unmap) {
		scsi_put32(p + 16, UINT32_MAX);
		scsi_put32(p + 20, u->ranges_max);
		scsi_put32(p + 24, pref);
	}
	if (u->zero)
		scsi_put64(p + 32, UINT32_MAX);
	return 60;
}

/* Block device characteristics. */
static size_t
fill_characteristics(const struct scsi_unit *u, uint8_t *p)
{
	scsi_put16(p, u->rotational ? 0 : 1);	/* 1: nothing turns */
	return 60;
}

/* Logical block provisioning. */
static size_t
fill_provisioning(const struct scsi_unit *u, uint8_t *p)
{
	p[1] = (uint8_t)((u->unmap ? 0x80 : 0) | (u->zero ? 0x60 : 0) |
	    (u->anchor ? 0x02 : 0));
	p[2] = u->unmap ? 2 : 0;		/* thin */
	return 4;
}

static const struct page pages[] = {
	{ 0x00, fill_supported },
	{ 0x80, fill_serial },
	{ 0x83, fill_identification },
	{ 0xb0, fill_limits },
	{ 0xb1, fill_characteristics },
	{ 0xb2, fill_provisioning },
};
#define PAGES (sizeof(pages) / sizeof(pages[0]))

static size_t
fill_supported(const struct scsi_unit *u, uint8_t *p)
{
	size_t i;

	(void)u;
	for (i = 0; i < PAGES; i++)
		p[i] = pages[i].code;
	return PAGES;
}

static void
vpd(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint8_t answer[PAGE_MAX] = { 0 };
	size_t i, len;

	for (i = 0; i < PAGES; i++) {
		if (pages[i].code != cmd->cdb[2])
			continue;
		len = pages[i].fill(u, answer + 4);
		answer[1] = pages[i].code;
		scsi_put16(answer + 2, (uint32_t)len);
		scsi_answer(cmd, answer, 4 + len, scsi_get16(cmd->cdb + 3));
		return;
	}
	scsi_fail(cmd, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD);
}

static void
standard(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	uint8_t answer[INQUIRY_LENGTH] = { 0 };

	answer[2] = 6;				/* SPC-4 */
	answer[3] = 2;
	answer[4] = INQUIRY_LENGTH - 5;
	answer[7] = 2;				/* CMDQUE */
	memcpy(answer + 8, vendor, sizeof(vendor));
	memcpy(answer + 16, product, sizeof(product));
	memcpy(answer + 32, u->revision, 4);
	scsi_answer(cmd, answer, sizeof(answer), scsi_get16(cmd->cdb + 3));
}

void
scsi_inquiry(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	if ((cmd->cdb[1] & 1) != 0)		/* EVPD */
		vpd(u, cmd);
	else if (cmd->cdb[2] != 0)
		scsi_fail(cmd, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD);
	else
		standard(u, cmd);
}
