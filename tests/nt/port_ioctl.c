/*
 * port_ioctl.c - what the class driver and programs ask of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "port.h"

#include <ntddstor.h>

/* ---- SRBs of the class driver ---------------------------------------------- */

static NTSTATUS
claim(struct disk *d, PIRP irp, PSCSI_REQUEST_BLOCK srb)
{
	if (d->claimed) {
		srb->SrbStatus = SRB_STATUS_BUSY;
		return done(irp, STATUS_DEVICE_BUSY, 0);
	}
	d->claimed = TRUE;
	srb->DataBuffer = d->device;
	srb->SrbStatus = SRB_STATUS_SUCCESS;
	return done(irp, STATUS_SUCCESS, 0);
}

NTSTATUS
disk_scsi(struct disk *d, PIRP irp)
{
	PSCSI_REQUEST_BLOCK srb =
	    IoGetCurrentIrpStackLocation(irp)->Parameters.Scsi.Srb;

	switch (srb->Function) {
	case SRB_FUNCTION_CLAIM_DEVICE:
		return claim(d, irp, srb);
	case SRB_FUNCTION_RELEASE_DEVICE:
		d->claimed = FALSE;
		break;
	case SRB_FUNCTION_RELEASE_QUEUE:
	case SRB_FUNCTION_FLUSH_QUEUE:
	case SRB_FUNCTION_LOCK_QUEUE:
	case SRB_FUNCTION_UNLOCK_QUEUE:
		break;
	default:
		if (!d->gone && d->adapter->ext != NULL)
			return request_start(d, irp, srb);
		srb->SrbStatus = SRB_STATUS_NO_DEVICE;
		return done(irp, STATUS_NO_SUCH_DEVICE, 0);
	}
	srb->SrbStatus = SRB_STATUS_SUCCESS;
	return done(irp, STATUS_SUCCESS, 0);
}

/* ---- IOCTL_STORAGE_QUERY_PROPERTY ------------------------------------------ */

static void
trimmed(char *out, const UCHAR *p, ULONG length)
{
	RtlCopyMemory(out, p, length);
	out[length] = '\0';
}

static ULONG
describe_device(struct disk *d, UCHAR *out)
{
	STORAGE_DEVICE_DESCRIPTOR *p = (PVOID)out;
	ULONG at = sizeof(*p);

	p->Version = sizeof(*p);
	p->DeviceType = d->inquiry[0] & 0x1f;
	p->CommandQueueing = TRUE;
	p->BusType = BusTypeScsi;
	p->VendorIdOffset = at;
	trimmed((char *)out + at, d->inquiry + 8, 8);
	at += 9;
	p->ProductIdOffset = at;
	trimmed((char *)out + at, d->inquiry + 16, 16);
	at += 17;
	p->ProductRevisionOffset = at;
	trimmed((char *)out + at, d->inquiry + 32, 4);
	at += 5;
	p->SerialNumberOffset = at;
	strcpy((char *)out + at, d->serial);
	at += (ULONG)strlen(d->serial) + 1;
	p->Size = at;
	return at;
}

static ULONG
describe_adapter(struct disk *d, UCHAR *out)
{
	PORT_CONFIGURATION_INFORMATION *config = (PVOID)d->adapter->config;
	STORAGE_ADAPTER_DESCRIPTOR *p = (PVOID)out;

	p->Version = p->Size = sizeof(*p);
	p->MaximumTransferLength = config->MaximumTransferLength;
	p->MaximumPhysicalPages = config->MaximumTransferLength / PAGE_SIZE + 1;
	p->AlignmentMask = config->AlignmentMask;
	p->AdapterScansDown = FALSE;
	p->CommandQueueing = TRUE;
	p->AcceleratedTransfer = TRUE;
	p->BusType = BusTypeScsi;
	p->BusMajorVersion = 2;
	return p->Size;
}

static NTSTATUS
query_property(struct disk *d, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG room = at->Parameters.DeviceIoControl.OutputBufferLength, length;
	STORAGE_PROPERTY_QUERY *q = irp->AssociatedIrp.SystemBuffer;
	UCHAR out[512] = { 0 };

	if (at->Parameters.DeviceIoControl.InputBufferLength <
	    (ULONG)FIELD_OFFSET(STORAGE_PROPERTY_QUERY, AdditionalParameters))
		return done(irp, STATUS_INVALID_PARAMETER, 0);
	if (q->PropertyId != StorageDeviceProperty &&
	    q->PropertyId != StorageAdapterProperty)
		return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	if (q->QueryType == PropertyExistsQuery)
		return done(irp, STATUS_SUCCESS, 0);
	length = q->PropertyId == StorageDeviceProperty ? describe_device(d, out) :
	    describe_adapter(d, out);
	if (length > room)
		length = room;
	RtlCopyMemory(q, out, length);
	return done(irp, STATUS_SUCCESS, length);
}

/* ---- SCSI pass-through ----------------------------------------------------- */

struct pass {
	SCSI_PASS_THROUGH *p;
	PVOID	data, sense;
	ULONG	sense_length;
};

static UCHAR
run_pass(struct disk *d, const struct pass *s)
{
	SCSI_REQUEST_BLOCK srb = {
		.Length = sizeof(srb), .Function = SRB_FUNCTION_EXECUTE_SCSI,
		.TargetId = d->target, .CdbLength = s->p->CdbLength,
		.DataBuffer = s->data, .DataTransferLength = s->p->DataTransferLength,
		.SrbFlags = s->p->DataIn == SCSI_IOCTL_DATA_IN ? SRB_FLAGS_DATA_IN :
		    s->p->DataIn == SCSI_IOCTL_DATA_OUT ? SRB_FLAGS_DATA_OUT : 0,
		.TimeOutValue = s->p->TimeOutValue,
		.SenseInfoBuffer = s->sense,
		.SenseInfoBufferLength = (UCHAR)s->sense_length,
	};
	UCHAR status;

	RtlCopyMemory(srb.Cdb, s->p->Cdb, sizeof(srb.Cdb));
	status = request_run(d->adapter, &srb);
	s->p->ScsiStatus = srb.ScsiStatus;
	s->p->DataTransferLength = srb.DataTransferLength;
	return status;
}

/* IOCTL_SCSI_PASS_THROUGH: all of it is in the system's buffer. */
static NTSTATUS
pass(struct disk *d, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG in = at->Parameters.DeviceIoControl.InputBufferLength;
	ULONG room = at->Parameters.DeviceIoControl.OutputBufferLength;
	ULONG most = in > room ? in : room;
	UCHAR *buffer = irp->AssociatedIrp.SystemBuffer;
	struct pass s = { .p = (PVOID)buffer };
	UCHAR status;

	if (in < sizeof(*s.p) || s.p->CdbLength > 16 ||
	    s.p->SenseInfoOffset > most || s.p->SenseInfoLength > most -
	    s.p->SenseInfoOffset || s.p->DataBufferOffset > most ||
	    s.p->DataTransferLength > most - s.p->DataBufferOffset)
		return done(irp, STATUS_INVALID_PARAMETER, 0);
	s.data = s.p->DataTransferLength > 0 ? buffer + s.p->DataBufferOffset : NULL;
	s.sense = s.p->SenseInfoLength > 0 ? buffer + s.p->SenseInfoOffset : NULL;
	s.sense_length = s.p->SenseInfoLength;
	if (d->gone)
		return done(irp, STATUS_NO_SUCH_DEVICE, 0);
	status = run_pass(d, &s);
	if (status == SRB_STATUS_NO_DEVICE)
		return done(irp, STATUS_NO_SUCH_DEVICE, 0);
	return done(irp, STATUS_SUCCESS, room);
}

/* ---- the table ------------------------------------------------------------- */

static NTSTATUS
get_address(struct disk *d, PIRP irp)
{
	SCSI_ADDRESS *a = irp->AssociatedIrp.SystemBuffer;

	if (IoGetCurrentIrpStackLocation(irp)->
	    Parameters.DeviceIoControl.OutputBufferLength < sizeof(*a))
		return done(irp, STATUS_BUFFER_TOO_SMALL, 0);
	RtlZeroMemory(a, sizeof(*a));
	a->Length = sizeof(*a);
	a->TargetId = d->target;
	return done(irp, STATUS_SUCCESS, sizeof(*a));
}

NTSTATUS
disk_ioctl(struct disk *d, PIRP irp)
{
	switch (IoGetCurrentIrpStackLocation(irp)->
	    Parameters.DeviceIoControl.IoControlCode) {
	case IOCTL_STORAGE_QUERY_PROPERTY:
		return query_property(d, irp);
	case IOCTL_SCSI_GET_ADDRESS:
		return get_address(d, irp);
	case IOCTL_SCSI_PASS_THROUGH:
		return pass(d, irp);
	default:
		return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}
