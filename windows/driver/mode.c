/*
 * mode.c - MODE SENSE: write cache, write protection.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "scsi.h"

#define PAGE_ALL	0x3f
#define CHANGEABLE	1		/* page control: which bits may be set */
#define SAVED		3
#define MODE_MAX	(8 + 20 + 12)

#define WRITE_PROTECTED	0x80		/* device-specific parameter */
#define DPO_FUA		0x10
#define CACHING_WCE	0x04

struct page {
	uint8_t	 code, length;		/* length: behind the two bytes */
	void	 (*fill)(const struct scsi_unit *, uint8_t *);
};

static void
fill_caching(const struct scsi_unit *u, uint8_t *p)
{
	p[0] = u->flush ? CACHING_WCE : 0;
}

static void
fill_control(const struct scsi_unit *u, uint8_t *p)
{
	(void)u;
	p[1] = 0x10;			/* commands may be reordered */
}

static const struct page pages[] = {
	{ 0x08, 18, fill_caching },
	{ 0x0a, 10, fill_control },
};
#define PAGES (sizeof(pages) / sizeof(pages[0]))

/* Nothing can be changed, so those are all zero. */
static size_t
fill_pages(const struct scsi_unit *u, uint8_t code, uint8_t control, uint8_t *p)
{
	size_t i, len = 0;

	for (i = 0; i < PAGES; i++) {
		if (code != PAGE_ALL && code != pages[i].code)
			continue;
		p[len] = pages[i].code;
		p[len + 1] = pages[i].length;
		if (control != CHANGEABLE)
			pages[i].fill(u, p + len + 2);
		len += 2u + pages[i].length;
	}
	return len;
}

static void
mode_sense(struct scsi_unit *u, struct scsi_cmd *cmd, size_t header,
    uint32_t allocation)
{
	uint8_t answer[MODE_MAX] = { 0 };
	uint8_t code = cmd->cdb[2] & 0x3f, control = cmd->cdb[2] >> 6;
	uint8_t device = (uint8_t)((u->read_only ? WRITE_PROTECTED : 0) |
	    (u->fua ? DPO_FUA : 0));
	size_t len = fill_pages(u, code, control, answer + header);

	if (len == 0 || control == SAVED) {
		scsi_fail(cmd, SCSI_KEY_ILLEGAL_REQUEST, len == 0 ?
		    SCSI_ASC_INVALID_FIELD : SCSI_ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	if (header == 4) {
		answer[0] = (uint8_t)(header + len - 1);
		answer[2] = device;
	} else {
		scsi_put16(answer, (uint32_t)(header + len - 2));
		answer[3] = device;
	}
	scsi_answer(cmd, answer, header + len, allocation);
}

void
scsi_mode_sense6(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	mode_sense(u, cmd, 4, cmd->cdb[4]);
}

void
scsi_mode_sense10(struct scsi_unit *u, struct scsi_cmd *cmd)
{
	mode_sense(u, cmd, 8, scsi_get16(cmd->cdb + 7));
}
