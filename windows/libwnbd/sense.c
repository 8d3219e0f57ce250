/*
 * sense.c - the status of a response that is an error.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "lib.h"

#define SCSI_CHECK_CONDITION 0x02

VOID
WnbdSetSenseEx(PWNBD_STATUS Status, UINT8 SenseKey, UINT8 Asc, UINT64 Info)
{
	WnbdSetSense(Status, SenseKey, Asc);
	Status->Information = Info;
	Status->InformationValid = 1;
}

VOID
WnbdSetSense(PWNBD_STATUS Status, UINT8 SenseKey, UINT8 Asc)
{
	memset(Status, 0, sizeof(*Status));
	Status->ScsiStatus = SCSI_CHECK_CONDITION;
	Status->SenseKey = SenseKey;
	Status->ASC = Asc;
}
