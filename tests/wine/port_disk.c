/*
 * port_disk.c - disks as programs see them: \\.\PhysicalDriveN.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "port_disk.h"
#include "port_request.h"
#include "verifier.h"

#define TAG	'rotS'
#define DISK_ID	L"SCSI\\DISK&VEN_WNBD&PROD_WNBD_DISK\\1&TEST&0&%04X"
#define IOCTL_PASS_THROUGH		0x0004d004
#define IOCTL_PASS_THROUGH_DIRECT	0x0004d014
#define IOCTL_LENGTH_INFO		0x0007405c
#define IOCTL_GET_ADDRESS		0x00041018
#define IOCTL_GET_DEVICE_NUMBER		0x002d1080
#define IOCTL_UPDATE_PROPERTIES		0x00070140

__declspec(dllimport) HANDLE NTAPI OpenProcess(ULONG, int, ULONG);
__declspec(dllimport) int NTAPI ReadProcessMemory(HANDLE, PVOID, PVOID, SIZE_T,
    SIZE_T *);

static void
put(UCHAR *p, ULONGLONG v, int bytes)
{
	while (bytes-- > 0) {
		p[bytes] = (UCHAR)v;
		v >>= 8;
	}
}

static ULONGLONG
get(const UCHAR *p, int bytes)
{
	ULONGLONG v = 0;

	while (bytes-- > 0)
		v = v << 8 | *p++;
	return v;
}

static UCHAR
ask(struct adapter *a, UCHAR target, const UCHAR *cdb, UCHAR cdb_length, UCHAR *data,
    ULONG length)
{
	struct request *r = request_new(a, target, cdb, cdb_length, data, length,
	    SRB_FLAGS_DATA_IN);
	UCHAR status = request_run(r);

	request_free(r);
	return status;
}

/* ---- coming and going ------------------------------------------------------ */

struct disk *
disk_at(struct adapter *a, ULONG target)
{
	struct disk *d;

	for (d = a->disks; d != NULL; d = d->next)
		if (!d->gone && d->target == target)
			return d;
	return NULL;
}

static void
read_capacity(struct disk *d)
{
	const UCHAR cdb[16] = { 0x9e, 0x10, [13] = 32 };
	UCHAR data[32] = { 0 }, tries, status = 0;

	/* The first command may end in a unit attention. */
	for (tries = 0; tries < 2 && status != SRB_STATUS_SUCCESS; tries++)
		status = ask(d->adapter, d->target, cdb, 16, data, sizeof(data));
	if (status != SRB_STATUS_SUCCESS)
		return;
	d->blocks = get(data, 8) + 1;
	d->block_size = (ULONG)get(data + 8, 4);
}

static void
disk_new(struct adapter *a, UCHAR target)
{
	static LONG count;
	ULONG number = (ULONG)InterlockedIncrement(&count);
	UNICODE_STRING name, link;
	PDEVICE_OBJECT device;
	struct disk *d;
	WCHAR text[64];

	_snwprintf(text, sizeof(text) / 2, L"\\Device\\WineStorDisk%lu", number);
	RtlInitUnicodeString(&name, text);
	if (!NT_SUCCESS(IoCreateDevice(a->driver->object, sizeof(*d), &name,
	    FILE_DEVICE_DISK, 0, FALSE, &device)))
		return;
	d = device->DeviceExtension;
	RtlZeroMemory(d, sizeof(*d));
	d->type = TYPE_DISK;
	d->adapter = a;
	d->device = device;
	d->target = target;
	d->number = number;
	_snwprintf(d->link, sizeof(d->link) / 2, L"\\DosDevices\\PhysicalDrive%lu",
	    number);
	RtlInitUnicodeString(&link, d->link);
	IoCreateSymbolicLink(&link, &name);
	read_capacity(d);
	device->Flags |= DO_DIRECT_IO | DO_BUS_ENUMERATED_DEVICE;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	d->next = a->disks;
	a->disks = d;
	DbgPrint("storport: disk %u at target %u\n", number, target);
}

NTSTATUS
disk_instance_id(PDEVICE_OBJECT device, PWSTR id, ULONG size, PULONG length)
{
	struct disk *d = device->DeviceExtension;
	int n = _snwprintf(id, size / sizeof(WCHAR), DISK_ID, d->number);

	*length = (ULONG)(n + 1) * sizeof(WCHAR);
	return n > 0 && *length <= size ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}

static void
disk_left(struct disk *d)
{
	UNICODE_STRING link;

	if (d->gone)
		return;
	d->gone = TRUE;
	RtlInitUnicodeString(&link, d->link);
	IoDeleteSymbolicLink(&link);
	DbgPrint("storport: disk %u is gone\n", d->number);
}

void
disk_scan(struct adapter *a)
{
	const UCHAR cdb[6] = { 0x12, 0, 0, 0, 96 };
	UCHAR inquiry[96], status;
	struct disk *d;
	ULONG target;

	for (target = 0; target < TARGETS_MAX && !a->stop; target++) {
		d = disk_at(a, target);
		status = ask(a, (UCHAR)target, cdb, 6, inquiry, sizeof(inquiry));
		if (status != SRB_STATUS_SUCCESS && d != NULL)
			disk_left(d);
		else if (status == SRB_STATUS_SUCCESS && d == NULL)
			disk_new(a, (UCHAR)target);
		else if (status == SRB_STATUS_SUCCESS)
			read_capacity(d);
	}
}

void
disk_remove_all(struct adapter *a)
{
	struct disk *d, *next;

	for (d = a->disks; d != NULL; d = next) {
		next = d->next;
		disk_left(d);
		IoDeleteDevice(d->device);
	}
	a->disks = NULL;
}

/* ---- reading and writing --------------------------------------------------- */

NTSTATUS
port_done(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, 0);
	return status;
}

static UCHAR
make_cdb(const struct disk *d, UCHAR cdb[16], BOOLEAN write, ULONGLONG block,
    ULONG count)
{
	if (d->blocks <= MAXULONG) {
		cdb[0] = write ? 0x2a : 0x28;
		put(cdb + 2, block, 4);
		put(cdb + 7, count, 2);
		return 10;
	}
	cdb[0] = write ? 0x8a : 0x88;
	put(cdb + 2, block, 8);
	put(cdb + 10, count, 4);
	return 16;
}

NTSTATUS
disk_read_write(struct disk *d, PIRP irp, BOOLEAN write)
{
	/* Read and Write are laid out alike. */
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG length = at->Parameters.Read.Length;
	ULONGLONG offset = (ULONGLONG)at->Parameters.Read.ByteOffset.QuadPart;
	UCHAR cdb[16] = { 0 }, cdb_length;
	struct request *r;

	if (d->gone)
		return port_done(irp, STATUS_NO_SUCH_DEVICE, 0);
	if (length == 0 || d->block_size == 0 || length % d->block_size != 0 ||
	    offset % d->block_size != 0 ||
	    offset / d->block_size + length / d->block_size > d->blocks)
		return port_done(irp, STATUS_INVALID_PARAMETER, 0);
	cdb_length = make_cdb(d, cdb, write, offset / d->block_size,
	    length / d->block_size);
	r = request_new(d->adapter, d->target, cdb, cdb_length,
	    MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority), length,
	    write ? SRB_FLAGS_DATA_OUT : SRB_FLAGS_DATA_IN);
	r->irp = irp;
	r->kind = KIND_READ_WRITE;
	IoMarkIrpPending(irp);
	request_issue(r);
	return STATUS_PENDING;
}

NTSTATUS
disk_flush(struct disk *d, PIRP irp)
{
	const UCHAR cdb[10] = { 0x35 };
	struct request *r;

	if (d->gone)
		return port_done(irp, STATUS_NO_SUCH_DEVICE, 0);
	r = request_new(d->adapter, d->target, cdb, 10, NULL, 0, 0);
	r->irp = irp;
	r->kind = KIND_FLUSH;
	IoMarkIrpPending(irp);
	request_issue(r);
	return STATUS_PENDING;
}

/* ---- SCSI pass-through ----------------------------------------------------- */

static BOOLEAN
take_data(struct request *r, SCSI_PASS_THROUGH *p, BOOLEAN direct)
{
	SIZE_T n;

	if (direct) {
		r->process = OpenProcess(0x438, 0,
		    (ULONG)(ULONG_PTR)PsGetCurrentProcessId());
		r->user = ((SCSI_PASS_THROUGH_DIRECT *)p)->DataBuffer;
		return p->DataIn != SCSI_IOCTL_DATA_OUT || ReadProcessMemory(
		    r->process, r->user, r->bounce, p->DataTransferLength, &n);
	}
	if (p->DataIn == SCSI_IOCTL_DATA_OUT)
		RtlCopyMemory(r->bounce, (UCHAR *)p + p->DataBufferOffset,
		    p->DataTransferLength);
	return TRUE;
}

static NTSTATUS
pass(struct disk *d, PIRP irp, BOOLEAN direct)
{
	SCSI_PASS_THROUGH *p = irp->AssociatedIrp.SystemBuffer;
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG flags = p->DataIn == SCSI_IOCTL_DATA_IN ? SRB_FLAGS_DATA_IN :
	    p->DataIn == SCSI_IOCTL_DATA_OUT ? SRB_FLAGS_DATA_OUT : 0;
	PVOID data = NULL;
	struct request *r;

	if (at->Parameters.DeviceIoControl.InputBufferLength < sizeof(*p) ||
	    p->CdbLength > 16)
		return port_done(irp, STATUS_INVALID_PARAMETER, 0);
	if (d->gone)
		return port_done(irp, STATUS_NO_SUCH_DEVICE, 0);
	if (p->DataTransferLength > 0)
		data = ExAllocatePoolWithTag(NonPagedPool, p->DataTransferLength, TAG);
	r = request_new(d->adapter, d->target, direct ?
	    ((SCSI_PASS_THROUGH_DIRECT *)p)->Cdb : p->Cdb, p->CdbLength, data,
	    p->DataTransferLength, flags);
	r->bounce = data;
	r->irp = irp;
	r->kind = direct ? KIND_PASS_DIRECT : KIND_PASS;
	r->srb.TimeOutValue = p->TimeOutValue;
	if (!take_data(r, p, direct)) {
		request_free(r);
		return port_done(irp, STATUS_ACCESS_VIOLATION, 0);
	}
	IoMarkIrpPending(irp);
	request_issue(r);
	return STATUS_PENDING;
}

NTSTATUS
disk_ioctl(struct disk *d, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	UCHAR *out = irp->AssociatedIrp.SystemBuffer;

	switch (at->Parameters.DeviceIoControl.IoControlCode) {
	case IOCTL_PASS_THROUGH:
		return pass(d, irp, FALSE);
	case IOCTL_PASS_THROUGH_DIRECT:
		return pass(d, irp, TRUE);
	case IOCTL_LENGTH_INFO:
		if (at->Parameters.DeviceIoControl.OutputBufferLength < 8)
			return port_done(irp, STATUS_BUFFER_TOO_SMALL, 0);
		*(ULONGLONG *)out = d->blocks * d->block_size;
		return port_done(irp, STATUS_SUCCESS, 8);
	case IOCTL_GET_ADDRESS:
		if (d->gone)
			return port_done(irp, STATUS_NO_SUCH_DEVICE, 0);
		if (at->Parameters.DeviceIoControl.OutputBufferLength < 8)
			return port_done(irp, STATUS_BUFFER_TOO_SMALL, 0);
		RtlZeroMemory(out, 8);
		out[0] = 8;
		out[6] = d->target;
		return port_done(irp, STATUS_SUCCESS, 8);
	case IOCTL_GET_DEVICE_NUMBER:
		if (at->Parameters.DeviceIoControl.OutputBufferLength < 12)
			return port_done(irp, STATUS_BUFFER_TOO_SMALL, 0);
		((ULONG *)out)[0] = FILE_DEVICE_DISK;
		((ULONG *)out)[1] = d->number;
		((ULONG *)out)[2] = 0;
		return port_done(irp, STATUS_SUCCESS, 12);
	case IOCTL_UPDATE_PROPERTIES:
		KeReleaseSemaphore(&d->adapter->rescan, 0, 1, FALSE);
		return port_done(irp, STATUS_SUCCESS, 0);
	default:
		return port_done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}
