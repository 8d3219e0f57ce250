/*
 * io.c - one SCSI command on its way through a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Decoded under disk.lock; what scsi.c answers is completed at once, the rest is on
 * disk.ios until the backend says io_complete.  What needs memory gets it before the
 * backend sees the request.
 */
#include "driver.h"
#include "log.h"

static bool
map_data(struct io *io)
{
	SCSI_REQUEST_BLOCK *srb = io->srb;
	void *data = NULL;

	if (srb->DataTransferLength == 0)
		return true;
	if (StorPortExtendedFunction(STOR_GET_SYSTEM_ADDRESS, io->disk->adapter, srb,
	    &data) != STOR_STATUS_SUCCESS || data == NULL)
		return false;
	io->data = data;
	io->cmd.data = data;
	io->cmd.data_len = srb->DataTransferLength;
	return true;
}

/* False without memory.  A refusal of the ranges is in cmd. */
static bool
prepare(struct disk *d, struct io *io)
{
	struct scsi_cmd *cmd = &io->cmd;

	if (cmd->work == SCSI_WORK_UNMAP) {
		io->ranges = mem_alloc(cmd->ranges * sizeof(*io->ranges));
		if (io->ranges == NULL)
			return false;
		(void)scsi_unmap_ranges(&d->unit, cmd, io->ranges);
	} else if (cmd->work == SCSI_WORK_EXTENTS) {
		io->extents = mem_alloc(cmd->ranges * sizeof(*io->extents));
		return io->extents != NULL;
	}
	return true;
}

static void
free_parts(struct io *io)
{
	mem_free(io->ranges);
	mem_free(io->extents);
}

/* False: the disk is being removed. */
static bool
submit(struct disk *d, struct io *io)
{
	KIRQL irql;
	bool take;

	KeAcquireSpinLock(&d->lock, &irql);
	take = d->stopping == 0;
	if (take) {
		d->received++;
		d->received_100ns = KeQueryInterruptTime();
		InsertTailList(&d->ios, &io->link);
		d->backend->submit(d, io);
	}
	KeReleaseSpinLock(&d->lock, irql);
	return take;
}

static void
decode(struct disk *d, struct io *io)
{
	KIRQL irql;

	io->cmd.cdb_len = io->srb->CdbLength;
	if (io->cmd.cdb_len > sizeof(io->cmd.cdb))
		io->cmd.cdb_len = sizeof(io->cmd.cdb);
	memcpy(io->cmd.cdb, io->srb->Cdb, io->cmd.cdb_len);
	KeAcquireSpinLock(&d->lock, &irql);
	scsi_decode(&d->unit, &io->cmd);
	KeReleaseSpinLock(&d->lock, irql);
}

/* The SRB is completed here, with this status, unless it is 0: then it has been, or
 * will be. */
static UCHAR
start(struct disk *d, struct io *io)
{
	if (!map_data(io))
		return SRB_STATUS_INTERNAL_ERROR;
	decode(d, io);
	if (!prepare(d, io))
		return SRB_STATUS_BUSY;
	if (io->cmd.work == SCSI_WORK_NONE) {
		free_parts(io);
		srb_complete_cmd(d->adapter, io->srb, &io->cmd);
		disk_release(d);
		return 0;
	}
	return submit(d, io) ? 0 : SRB_STATUS_NO_DEVICE;
}

void
io_start(struct disk *d, SCSI_REQUEST_BLOCK *srb)
{
	struct io *io = srb->SrbExtension;
	UCHAR status;

	memset(io, 0, sizeof(*io));
	io->disk = d;
	io->srb = srb;
	status = d->stopping != 0 ? SRB_STATUS_NO_DEVICE : start(d, io);
	if (status == 0)
		return;
	free_parts(io);
	srb->DataTransferLength = 0;
	srb_complete(d->adapter, srb, status);
	disk_release(d);
}

bool
io_none(const struct disk *d)
{
	return IsListEmpty(&d->ios);
}

/* Off the list; the SRB of a reset that waited for this request alone. */
static SCSI_REQUEST_BLOCK *
unlist(struct disk *d, struct io *io)
{
	SCSI_REQUEST_BLOCK *reset = NULL;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	RemoveEntryList(&io->link);
	if (io->aborting && --d->aborting == 0) {
		reset = d->reset;
		d->reset = NULL;
	}
	if (d->stopping != 0 && io_none(d))
		KeSetEvent(&d->wake, IO_NO_INCREMENT, FALSE);
	KeReleaseSpinLock(&d->lock, irql);
	return reset;
}

void
io_complete(struct io *io)
{
	struct disk *d = io->disk;
	SCSI_REQUEST_BLOCK *reset = unlist(d, io);

	free_parts(io);
	srb_complete_cmd(d->adapter, io->srb, &io->cmd);
	if (reset != NULL)
		srb_complete(d->adapter, reset, SRB_STATUS_SUCCESS);
	disk_release(d);
}

void
io_reset(struct disk *d, SCSI_REQUEST_BLOCK *srb)
{
	LIST_ENTRY *e, *next;
	KIRQL irql;
	bool wait;

	KeAcquireSpinLock(&d->lock, &irql);
	for (e = d->ios.Flink; e != &d->ios; e = next) {
		struct io *io = CONTAINING_RECORD(e, struct io, link);

		next = e->Flink;
		if (io->aborting)
			continue;
		io->aborting = true;
		d->aborting++;
		d->backend->abort(d, io);
	}
	/* One reset at a time waits; Storport sends no second one before that. */
	wait = d->aborting > 0 && d->reset == NULL && srb != NULL;
	if (wait)
		d->reset = srb;
	KeReleaseSpinLock(&d->lock, irql);
	log_warn("%s: reset", d->props.InstanceName);
	if (!wait && srb != NULL)
		srb_complete(d->adapter, srb, SRB_STATUS_SUCCESS);
}
