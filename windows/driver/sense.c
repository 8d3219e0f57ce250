/*
 * sense.c - why a command failed, as SCSI says it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "scsi.h"

#define SENSE_LENGTH		18
#define SENSE_CURRENT		0x70
#define SENSE_INFO_VALID	0x80

void
scsi_fail(struct scsi_cmd *cmd, enum scsi_key key, enum scsi_asc asc)
{
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->key = (uint8_t)key;
	cmd->asc = (uint8_t)((unsigned)asc >> 8);
	cmd->ascq = (uint8_t)asc;
	cmd->transferred = 0;
	cmd->work = SCSI_WORK_NONE;
}

size_t
scsi_sense(const struct scsi_cmd *cmd, uint8_t *buf, size_t len)
{
	uint8_t sense[SENSE_LENGTH] = { SENSE_CURRENT };

	/* The fixed format has room for 32 bits; a larger number is left out. */
	if (cmd->has_info && cmd->info <= UINT32_MAX) {
		sense[0] |= SENSE_INFO_VALID;
		scsi_put32(&sense[3], (uint32_t)cmd->info);
	}
	sense[2] = cmd->key;
	sense[7] = SENSE_LENGTH - 8;
	sense[12] = cmd->asc;
	sense[13] = cmd->ascq;
	if (len > sizeof(sense))
		len = sizeof(sense);
	memcpy(buf, sense, len);
	return len;
}
