/*
 * port.c - a test-only storport.sys for a real NT kernel: what a miniport calls.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One virtual miniport at a time.
 */
#include <stdarg.h>
#include <stdio.h>

#include "port.h"

VIRTUAL_HW_INITIALIZATION_DATA hw;
PDRIVER_OBJECT hw_driver;
LONG violations;

void
violation(const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	_vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	text[sizeof(text) - 1] = '\0';
	InterlockedIncrement(&violations);
	DbgPrint("storport: VIOLATION: %s\n", text);
}

NTSTATUS
done(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

/* In front of the miniport's extension. */
static struct adapter *
adapter_of(PVOID ext)
{
	return ((struct adapter **)ext)[-2];
}

void __cdecl
StorPortNotification(SCSI_NOTIFICATION_TYPE type, PVOID ext, ...)
{
	struct adapter *a = adapter_of(ext);
	va_list args;

	va_start(args, ext);
	if (KeGetCurrentIrql() > DISPATCH_LEVEL)
		violation("StorPortNotification at IRQL %u", KeGetCurrentIrql());
	if (type == RequestComplete)
		request_ended(a, va_arg(args, PSCSI_REQUEST_BLOCK));
	else if (type == BusChangeDetected)
		KeSetEvent(&a->rescan, IO_NO_INCREMENT, FALSE);
	else
		violation("StorPortNotification(%d)", type);
	va_end(args);
}

ULONG __cdecl
StorPortExtendedFunction(ULONG code, PVOID ext, ...)
{
	struct adapter *a = adapter_of(ext);
	ULONG status = 0;
	va_list args;

	va_start(args, ext);
	if (code == ExtFunctionGetSystemAddress) {
		PSCSI_REQUEST_BLOCK srb = va_arg(args, PSCSI_REQUEST_BLOCK);

		*va_arg(args, PVOID *) = request_address(a, srb);
	} else if (code == ExtFunctionCompleteServiceIrp) {
		adapter_complete_service(a, va_arg(args, PIRP));
	} else {
		violation("StorPortExtendedFunction(%lu)", code);
		status = 0xc1000001;
	}
	va_end(args);
	return status;
}

/* ---- dispatch routines ----------------------------------------------------- */

static NTSTATUS NTAPI
on_pnp(PDEVICE_OBJECT device, PIRP irp)
{
	enum type *type = device->DeviceExtension;

	return *type == TYPE_DISK ? disk_pnp((struct disk *)type, irp) :
	    adapter_pnp((struct adapter *)type, irp);
}

static NTSTATUS NTAPI
on_ioctl(PDEVICE_OBJECT device, PIRP irp)
{
	enum type *type = device->DeviceExtension;

	return *type == TYPE_DISK ? disk_ioctl((struct disk *)type, irp) :
	    adapter_ioctl((struct adapter *)type, irp);
}

static NTSTATUS NTAPI
on_scsi(PDEVICE_OBJECT device, PIRP irp)
{
	enum type *type = device->DeviceExtension;

	return *type == TYPE_DISK ? disk_scsi((struct disk *)type, irp) :
	    done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

static NTSTATUS NTAPI
on_power(PDEVICE_OBJECT device, PIRP irp)
{
	struct adapter *a = device->DeviceExtension;

	PoStartNextPowerIrp(irp);
	if (a->type == TYPE_DISK)
		return done(irp, STATUS_SUCCESS, 0);
	IoSkipCurrentIrpStackLocation(irp);
	return PoCallDriver(a->lower, irp);
}

static NTSTATUS NTAPI
on_wmi(PDEVICE_OBJECT device, PIRP irp)
{
	struct adapter *a = device->DeviceExtension;

	if (a->type == TYPE_DISK)
		return done(irp, irp->IoStatus.Status, 0);
	IoSkipCurrentIrpStackLocation(irp);
	return IoCallDriver(a->lower, irp);
}

static NTSTATUS NTAPI
on_open(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	return done(irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI
on_unload(PDRIVER_OBJECT object)
{
	(void)object;
	DbgPrint("storport: unloaded, %ld violations\n", violations);
}

ULONG NTAPI
StorPortInitialize(PVOID driver, PVOID path, VIRTUAL_HW_INITIALIZATION_DATA *data,
    PVOID unused)
{
	PDRIVER_OBJECT object = driver;

	(void)path, (void)unused;
	if (data->HwInitializationDataSize != sizeof(*data))
		return (ULONG)STATUS_REVISION_MISMATCH;
	hw = *data;
	hw_driver = object;
	object->DriverExtension->AddDevice = adapter_add;
	object->MajorFunction[IRP_MJ_PNP] = on_pnp;
	object->MajorFunction[IRP_MJ_POWER] = on_power;
	object->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = on_wmi;
	object->MajorFunction[IRP_MJ_SCSI] = on_scsi;
	object->MajorFunction[IRP_MJ_DEVICE_CONTROL] = on_ioctl;
	object->MajorFunction[IRP_MJ_CREATE] = on_open;
	object->MajorFunction[IRP_MJ_CLOSE] = on_open;
	object->MajorFunction[IRP_MJ_CLEANUP] = on_open;
	object->DriverUnload = on_unload;
	return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING);

/* Loaded as what others import from, it is never called. */
NTSTATUS NTAPI
DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)
{
	(void)object, (void)path;
	return STATUS_SUCCESS;
}
