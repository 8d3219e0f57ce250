/*
 * srb.c - the table of SRB functions, and the end of SRBs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * HwStartIo comes at up to DISPATCH_LEVEL, on several processors at once.
 */
#include "driver.h"
#include "log.h"

static void
complete_success(struct adapter *a, SCSI_REQUEST_BLOCK *srb)
{
	srb_complete(a, srb, SRB_STATUS_SUCCESS);
}

static void
execute_scsi(struct adapter *a, SCSI_REQUEST_BLOCK *srb)
{
	struct disk *d = adapter_at(a, srb->PathId, srb->TargetId, srb->Lun);

	if (d != NULL)
		io_start(d, srb);
	else
		srb_complete(a, srb, SRB_STATUS_NO_DEVICE);
}

/* A time-out of one command ends all of the disk's: Windows repeats them. */
static void
reset(struct adapter *a, SCSI_REQUEST_BLOCK *srb)
{
	struct disk *d = adapter_at(a, srb->PathId, srb->TargetId, srb->Lun);

	if (d == NULL) {
		srb_complete(a, srb, SRB_STATUS_NO_DEVICE);
		return;
	}
	io_reset(d, srb);
	disk_release(d);
}

/* No minidriver specific requests: the firmware queries that Windows sends. */
static void
io_control(struct adapter *a, SCSI_REQUEST_BLOCK *srb)
{
	srb_complete(a, srb, SRB_STATUS_INVALID_REQUEST);
}

/*
 * Not among the things that are "safely removed": a miniport hears of no eject.  What
 * Plug and Play takes away (a soft removal, a disk that is disabled) is told by
 * StorRemoveDevice, when all who use it have agreed; it ends the mapping, so that no
 * process goes on serving a disk that nobody can see.
 */
static void
pnp(struct adapter *a, SCSI_REQUEST_BLOCK *srb)
{
	SCSI_PNP_REQUEST_BLOCK *request = (SCSI_PNP_REQUEST_BLOCK *)srb;
	STOR_DEVICE_CAPABILITIES *c = request->DataBuffer;
	bool of_disk = (request->SrbPnPFlags & SRB_PNP_FLAGS_ADAPTER_REQUEST) == 0;
	struct disk *d;

	if (request->PnPAction == StorQueryCapabilities && of_disk && c != NULL &&
	    request->DataTransferLength >= sizeof(*c)) {
		c->Removable = 0;
		c->EjectSupported = 0;
		c->SurpriseRemovalOK = 0;
	} else if (request->PnPAction == StorRemoveDevice && of_disk) {
		d = adapter_at(a, srb->PathId, srb->TargetId, srb->Lun);
		if (d != NULL) {
			log_info("%s: removed by Plug and Play",
			    d->props.InstanceName);
			disk_stop(d);
			disk_release(d);
		}
	}
	srb_complete(a, srb, SRB_STATUS_SUCCESS);
}

static const struct {
	UCHAR	function;
	void	(*run)(struct adapter *, SCSI_REQUEST_BLOCK *);
} functions[] = {
	{ SRB_FUNCTION_EXECUTE_SCSI, execute_scsi },
	{ SRB_FUNCTION_IO_CONTROL, io_control },
	/* The data is the server's, whose cache SYNCHRONIZE CACHE flushes. */
	{ SRB_FUNCTION_SHUTDOWN, complete_success },
	{ SRB_FUNCTION_FLUSH, complete_success },
	{ SRB_FUNCTION_ABORT_COMMAND, reset },
	{ SRB_FUNCTION_RESET_DEVICE, reset },
	{ SRB_FUNCTION_RESET_LOGICAL_UNIT, reset },
	{ SRB_FUNCTION_POWER, complete_success },
	{ SRB_FUNCTION_PNP, pnp },
};

BOOLEAN NTAPI
srb_start_io(void *ext, SCSI_REQUEST_BLOCK *srb)
{
	struct adapter *a = ext;
	unsigned i;

	for (i = 0; i < RTL_NUMBER_OF(functions); i++) {
		if (functions[i].function != srb->Function)
			continue;
		functions[i].run(a, srb);
		return TRUE;
	}
	srb_complete(a, srb, SRB_STATUS_INVALID_REQUEST);
	return TRUE;
}

void
srb_complete(struct adapter *a, SCSI_REQUEST_BLOCK *srb, UCHAR srb_status)
{
	srb->SrbStatus = srb_status;
	StorPortNotification(RequestComplete, a, srb);
}

void
srb_complete_cmd(struct adapter *a, SCSI_REQUEST_BLOCK *srb,
    const struct scsi_cmd *cmd)
{
	UCHAR status = SRB_STATUS_SUCCESS;

	srb->ScsiStatus = cmd->status;
	/* Shorter than asked for: Windows wants to be told.  Parameters that were
	 * sent with a command have all been read. */
	if (cmd->transferred < srb->DataTransferLength &&
	    (cmd->status != SCSI_GOOD || (srb->SrbFlags & SRB_FLAGS_DATA_IN) != 0)) {
		srb->DataTransferLength = cmd->transferred;
		status = SRB_STATUS_DATA_OVERRUN;
	}
	if (cmd->aborted) {
		status = SRB_STATUS_ABORTED;
	} else if (cmd->status != SCSI_GOOD) {
		status = SRB_STATUS_ERROR;
		if (cmd->status == SCSI_CHECK_CONDITION &&
		    srb->SenseInfoBuffer != NULL &&
		    (srb->SrbFlags & SRB_FLAGS_DISABLE_AUTOSENSE) == 0 &&
		    scsi_sense(cmd, srb->SenseInfoBuffer,
		    srb->SenseInfoBufferLength) > 0)
			status |= SRB_STATUS_AUTOSENSE_VALID;
	}
	srb_complete(a, srb, status);
}
