/*
 * port_disk.c - disks: found, and what Plug and Play wants of them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A disk that the miniport does not have any more is left out of the next answer to
 * IRP_MN_QUERY_DEVICE_RELATIONS, and its object goes with IRP_MN_REMOVE_DEVICE.
 */
#include <stdarg.h>
#include <stdio.h>

#include "port.h"

static LONG disk_count;

/* ---- the list of disks ----------------------------------------------------- */

struct disk *
disk_at(struct adapter *a, ULONG target)
{
	struct disk *d = NULL;
	LIST_ENTRY *e;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	for (e = a->disks.Flink; e != &a->disks && d == NULL; e = e->Flink) {
		d = CONTAINING_RECORD(e, struct disk, link);
		if (d->gone || d->target != target)
			d = NULL;
	}
	KeReleaseSpinLock(&a->lock, irql);
	return d;
}

static void
disk_delete(struct disk *d)
{
	KIRQL irql;

	KeAcquireSpinLock(&d->adapter->lock, &irql);
	RemoveEntryList(&d->link);
	KeReleaseSpinLock(&d->adapter->lock, irql);
	DbgPrint("storport: disk at target %u deleted\n", d->target);
	IoDeleteDevice(d->device);
}

/* With the adapter, whose disks all had their IRP_MN_REMOVE_DEVICE. */
void
disk_forget_all(struct adapter *a)
{
	while (!IsListEmpty(&a->disks))
		disk_delete(CONTAINING_RECORD(a->disks.Flink, struct disk, link));
}

/* ---- the scan -------------------------------------------------------------- */

static void
read_serial(struct disk *d)
{
	const UCHAR cdb[6] = { 0x12, 1, 0x80, 0, 255 };
	UCHAR page[256] = { 0 };

	if (request_cdb(d->adapter, d->target, cdb, 6, page, 255) ==
	    SRB_STATUS_SUCCESS || page[3] != 0)
		RtlCopyMemory(d->serial, page + 4, page[3] < SERIAL_SIZE ? page[3] : 0);
}

static void
disk_new(struct adapter *a, UCHAR target, const UCHAR *inquiry)
{
	PDEVICE_OBJECT device;
	UNICODE_STRING name;
	struct disk *d;
	WCHAR text[40];
	KIRQL irql;

	_snwprintf(text, sizeof(text) / 2, L"\\Device\\WnbdTestDisk%ld",
	    InterlockedIncrement(&disk_count) - 1);
	RtlInitUnicodeString(&name, text);
	if (!NT_SUCCESS(IoCreateDevice(hw_driver, sizeof(*d), &name, FILE_DEVICE_DISK,
	    FILE_DEVICE_SECURE_OPEN, FALSE, &device)))
		return;
	d = device->DeviceExtension;
	RtlZeroMemory(d, sizeof(*d));
	d->type = TYPE_DISK;
	d->adapter = a;
	d->device = device;
	d->target = target;
	RtlCopyMemory(d->inquiry, inquiry, INQUIRY_SIZE);
	read_serial(d);
	device->Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
	device->StackSize = 2;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	KeAcquireSpinLock(&a->lock, &irql);
	InsertTailList(&a->disks, &d->link);
	KeReleaseSpinLock(&a->lock, irql);
	DbgPrint("storport: disk at target %u\n", target);
}

/* REPORT LUNS, then INQUIRY, as Storport looks for a logical unit 0. */
static BOOLEAN
is_there(struct adapter *a, UCHAR target, UCHAR inquiry[INQUIRY_SIZE])
{
	const UCHAR luns_cdb[12] = { 0xa0, [9] = 16 };
	const UCHAR inquiry_cdb[6] = { 0x12, 0, 0, 0, INQUIRY_SIZE };
	UCHAR luns[16] = { 0 }, status;

	status = request_cdb(a, target, luns_cdb, 12, luns, sizeof(luns));
	if (status != SRB_STATUS_SUCCESS && status != SRB_STATUS_DATA_OVERRUN)
		return FALSE;
	if (luns[3] != 8)
		violation("target %u: %u bytes of LUNs", target, luns[3]);
	status = request_cdb(a, target, inquiry_cdb, 6, inquiry, INQUIRY_SIZE);
	return status == SRB_STATUS_SUCCESS || status == SRB_STATUS_DATA_OVERRUN;
}

void
disk_scan(struct adapter *a)
{
	UCHAR inquiry[INQUIRY_SIZE];
	BOOLEAN changed = FALSE, there;
	struct disk *d;
	ULONG target;

	for (target = 0; target < TARGETS_MAX && !a->stopping; target++) {
		d = disk_at(a, target);
		there = is_there(a, (UCHAR)target, inquiry);
		if (there == (d != NULL))
			continue;
		changed = TRUE;
		if (there)
			disk_new(a, (UCHAR)target, inquiry);
		else
			d->gone = TRUE;
	}
	if (changed && !a->stopping)
		IoInvalidateDeviceRelations(a->pdo, BusRelations);
}

static ULONG
list(struct adapter *a, PDEVICE_OBJECT *objects, ULONG room)
{
	ULONG n = 0;
	LIST_ENTRY *e;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	for (e = a->disks.Flink; e != &a->disks && n < room; e = e->Flink) {
		struct disk *d = CONTAINING_RECORD(e, struct disk, link);

		if (d->gone)
			continue;
		ObReferenceObject(d->device);
		objects[n++] = d->device;
	}
	KeReleaseSpinLock(&a->lock, irql);
	return n;
}

NTSTATUS
disk_relations(struct adapter *a, PIRP irp)
{
	DEVICE_RELATIONS *r = ExAllocatePoolWithTag(PagedPool, sizeof(*r) +
	    TARGETS_MAX * sizeof(r->Objects[0]), TAG);
	PDEVICE_OBJECT objects[TARGETS_MAX];

	if (r == NULL)
		return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	r->Count = list(a, objects, TARGETS_MAX);
	RtlCopyMemory(r->Objects, objects, r->Count * sizeof(objects[0]));
	irp->IoStatus.Information = (ULONG_PTR)r;
	irp->IoStatus.Status = STATUS_SUCCESS;
	IoSkipCurrentIrpStackLocation(irp);
	return IoCallDriver(a->lower, irp);
}

/* ---- identity -------------------------------------------------------------- */

/* Of the inquiry data, as in a device id: what is no letter or digit is "_". */
static void
field(const UCHAR *p, int length, char *out)
{
	int i;

	for (i = 0; i < length; i++)
		out[i] = (p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z') ||
		    (p[i] >= 'a' && p[i] <= 'z') || p[i] == '.' ? (char)p[i] : '_';
	out[length] = '\0';
}

/* Strings, each with its NUL, of a list that ends in an empty one. */
static WCHAR *
wide(const char *const *strings, ULONG count)
{
	WCHAR *text = ExAllocatePoolWithTag(PagedPool, 512 * sizeof(WCHAR), TAG);
	WCHAR *p = text;
	const char *s;
	ULONG i;

	if (text == NULL)
		return NULL;
	for (i = 0; i < count; i++) {
		for (s = strings[i]; *s != '\0'; s++)
			*p++ = (WCHAR)*s;
		*p++ = 0;
	}
	*p = 0;
	return text;
}

static WCHAR *
id_of(struct disk *d, BUS_QUERY_ID_TYPE type)
{
	char vendor[9], product[17], revision[5], device[80], instance[16];
	const char *hardware[] = { device, "GenDisk" };
	const char *compatible[] = { "SCSI\\Disk", "SCSI\\RAW" };
	const char *number[] = { instance };

	field(d->inquiry + 8, 8, vendor);
	field(d->inquiry + 16, 16, product);
	field(d->inquiry + 32, 4, revision);
	_snprintf(device, sizeof(device), "SCSI\\Disk%s%s%s", vendor, product,
	    revision);
	_snprintf(instance, sizeof(instance), "%02X0000", d->target);
	switch (type) {
	case BusQueryDeviceID:
		return wide(hardware, 1);
	case BusQueryHardwareIDs:
		return wide(hardware, 2);
	case BusQueryCompatibleIDs:
		return wide(compatible, 2);
	case BusQueryInstanceID:
		return wide(number, 1);
	default:
		return NULL;
	}
}

static NTSTATUS
query_id(struct disk *d, PIRP irp)
{
	BUS_QUERY_ID_TYPE type =
	    IoGetCurrentIrpStackLocation(irp)->Parameters.QueryId.IdType;
	WCHAR *text = id_of(d, type);

	if (text == NULL)
		return done(irp, irp->IoStatus.Status, irp->IoStatus.Information);
	return done(irp, STATUS_SUCCESS, (ULONG_PTR)text);
}

static NTSTATUS
query_text(PIRP irp)
{
	const char *text[] = { "WNBD test disk" };
	WCHAR *wide_text = wide(text, 1);

	return done(irp, wide_text != NULL ? STATUS_SUCCESS :
	    STATUS_INSUFFICIENT_RESOURCES, (ULONG_PTR)wide_text);
}

/* ---- Plug and Play --------------------------------------------------------- */

/* SRB_FUNCTION_PNP of this disk. */
static void
tell(struct disk *d, STOR_PNP_ACTION action, PVOID data, ULONG length)
{
	SCSI_REQUEST_BLOCK srb = { .Length = sizeof(srb) };
	SCSI_PNP_REQUEST_BLOCK *p = (PVOID)&srb;

	p->Function = SRB_FUNCTION_PNP;
	p->TargetId = d->target;
	p->PnPAction = action;
	p->DataBuffer = data;
	p->DataTransferLength = length;
	if (d->adapter->ext != NULL && !d->gone)
		request_run(d->adapter, &srb);
}

static NTSTATUS
query_capabilities(struct disk *d, PIRP irp)
{
	DEVICE_CAPABILITIES *c = IoGetCurrentIrpStackLocation(irp)->
	    Parameters.DeviceCapabilities.Capabilities;
	STOR_DEVICE_CAPABILITIES s = { .Removable = 1 };

	tell(d, StorQueryCapabilities, &s, sizeof(s));
	c->Removable = s.Removable;
	c->EjectSupported = s.EjectSupported;
	c->SurpriseRemovalOK = s.SurpriseRemovalOK;
	c->Address = d->target;
	c->UniqueID = FALSE;
	return done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS
query_relations(struct disk *d, PIRP irp)
{
	DEVICE_RELATIONS *r;

	if (IoGetCurrentIrpStackLocation(irp)->
	    Parameters.QueryDeviceRelations.Type != TargetDeviceRelation)
		return done(irp, irp->IoStatus.Status, irp->IoStatus.Information);
	r = ExAllocatePoolWithTag(PagedPool, sizeof(*r), TAG);
	if (r == NULL)
		return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	ObReferenceObject(d->device);
	r->Count = 1;
	r->Objects[0] = d->device;
	return done(irp, STATUS_SUCCESS, (ULONG_PTR)r);
}

static NTSTATUS
query_bus(PIRP irp)
{
	PNP_BUS_INFORMATION *bus = ExAllocatePoolWithTag(PagedPool, sizeof(*bus), TAG);

	if (bus == NULL)
		return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	RtlZeroMemory(bus, sizeof(*bus));
	bus->LegacyBusType = Internal;
	return done(irp, STATUS_SUCCESS, (ULONG_PTR)bus);
}

/* A paging file on the disk, or a file system that Windows itself needs. */
static NTSTATUS
usage(struct disk *d, PIRP irp)
{
	IoAdjustPagingPathCount(&d->paging, IoGetCurrentIrpStackLocation(irp)->
	    Parameters.UsageNotification.InPath);
	return done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS
take_away(struct disk *d, PIRP irp)
{
	BOOLEAN gone = d->gone;

	d->claimed = FALSE;
	tell(d, StorRemoveDevice, NULL, 0);
	done(irp, STATUS_SUCCESS, 0);
	if (gone)
		disk_delete(d);
	return STATUS_SUCCESS;
}

NTSTATUS
disk_pnp(struct disk *d, PIRP irp)
{
	switch (IoGetCurrentIrpStackLocation(irp)->MinorFunction) {
	case IRP_MN_QUERY_ID:
		return query_id(d, irp);
	case IRP_MN_QUERY_DEVICE_TEXT:
		return query_text(irp);
	case IRP_MN_QUERY_CAPABILITIES:
		return query_capabilities(d, irp);
	case IRP_MN_QUERY_DEVICE_RELATIONS:
		return query_relations(d, irp);
	case IRP_MN_QUERY_BUS_INFORMATION:
		return query_bus(irp);
	case IRP_MN_QUERY_PNP_DEVICE_STATE:
		return done(irp, STATUS_SUCCESS, d->leaving ? PNP_DEVICE_REMOVED : 0);
	case IRP_MN_DEVICE_USAGE_NOTIFICATION:
		return usage(d, irp);
	case IRP_MN_QUERY_REMOVE_DEVICE:
		InterlockedIncrement(&d->adapter->queries);
		return done(irp, d->paging > 0 ? STATUS_DEVICE_BUSY : STATUS_SUCCESS,
		    0);
	case IRP_MN_REMOVE_DEVICE:
		return take_away(d, irp);
	case IRP_MN_CANCEL_REMOVE_DEVICE:
		d->leaving = FALSE;
		return done(irp, STATUS_SUCCESS, 0);
	case IRP_MN_START_DEVICE:
	case IRP_MN_STOP_DEVICE:
	case IRP_MN_QUERY_STOP_DEVICE:
	case IRP_MN_CANCEL_STOP_DEVICE:
	case IRP_MN_SURPRISE_REMOVAL:
		return done(irp, STATUS_SUCCESS, 0);
	default:
		return done(irp, irp->IoStatus.Status, irp->IoStatus.Information);
	}
}
