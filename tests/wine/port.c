/*
 * port.c - a test-only storport.sys for Wine: the driver and its adapters.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Runs virtual miniports.  An adapter comes from Plug and Play, or, if the service's
 * key has a DWORD WineLegacyAdapter, at once.  Programs open \\.\ScsiN: or a device
 * interface of the miniport.
 *
 * Wine calls dispatch routines on one thread, so whatever waits has its own.
 */
#include <stdio.h>
#include <stdarg.h>

#include "port_disk.h"
#include "port_request.h"
#include "verifier.h"

#define TAG	'rotS'
#define IOCTL_REMOVE	3		/* of wnbd_ioctl.h */

static struct driver drivers[DRIVERS_MAX];
static LONG driver_count, port_count;

/* In front of the miniport's extension. */
static struct adapter *
adapter_of(PVOID ext)
{
	return ((struct adapter **)ext)[-2];
}

/* ---- what a miniport calls ------------------------------------------------- */

void __cdecl
StorPortNotification(SCSI_NOTIFICATION_TYPE type, PVOID ext, ...)
{
	struct adapter *a = adapter_of(ext);
	va_list args;

	va_start(args, ext);
	if (type == RequestComplete)
		request_completed(a, va_arg(args, PSCSI_REQUEST_BLOCK));
	else if (type == BusChangeDetected)
		KeReleaseSemaphore(&a->rescan, 0, 1, FALSE);
	else
		verifier_violation("StorPortNotification(%d)", type);
	va_end(args);
}

static void
complete_service(struct adapter *a, PIRP irp)
{
	ULONG old;

	if (irp->Tail.Overlay.DriverContext[3] != a)
		verifier_violation("service IRP %p is completed twice", irp);
	irp->Tail.Overlay.DriverContext[3] = NULL;
	InterlockedCompareExchangePointer((PVOID *)&a->removal, NULL, irp);
	InterlockedDecrement(&a->service_irps);
	old = verifier_set_irql(PASSIVE_LEVEL);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	verifier_set_irql(old);
}

ULONG __cdecl
StorPortExtendedFunction(ULONG code, PVOID ext, ...)
{
	va_list args;
	ULONG status = 0;

	va_start(args, ext);
	if (code == ExtFunctionGetSystemAddress) {
		PSCSI_REQUEST_BLOCK srb = va_arg(args, PSCSI_REQUEST_BLOCK);

		*va_arg(args, PVOID *) = srb->DataBuffer;
	} else if (code == ExtFunctionCompleteServiceIrp) {
		complete_service(adapter_of(ext), va_arg(args, PIRP));
	} else {
		verifier_violation("StorPortExtendedFunction(%u)", code);
		status = 0xc1000001;
	}
	va_end(args);
	return status;
}

/* ---- adapters -------------------------------------------------------------- */

static VOID NTAPI
scanner(PVOID arg)
{
	struct adapter *a = arg;

	for (;;) {
		KeWaitForSingleObject(&a->rescan, Executive, KernelMode, FALSE, NULL);
		if (a->stop)
			break;
		disk_scan(a);
	}
	PsTerminateSystemThread(STATUS_SUCCESS);
}

static PVOID
new_thread(PKSTART_ROUTINE run, PVOID arg)
{
	HANDLE h;
	PVOID thread;

	PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, run, arg);
	ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode, &thread,
	    NULL);
	ZwClose(h);
	return thread;
}

static BOOLEAN
adapter_find(struct adapter *a)
{
	PORT_CONFIGURATION_INFORMATION *config = (PVOID)a->config;
	BOOLEAN again = FALSE;
	ULONG found;

	RtlZeroMemory(a->config, sizeof(a->config));
	config->Length = CONFIG_LENGTH;
	verifier_set_pdo(a->pdo);
	found = a->driver->hw.HwFindAdapter(a->ext, a->pdo, a->device, a->lower, NULL,
	    config, &again);
	if (found == SP_RETURN_FOUND && a->driver->hw.HwInitialize(a->ext))
		return TRUE;
	DbgPrint("storport: HwFindAdapter %u\n", found);
	return FALSE;
}

static NTSTATUS
adapter_start(struct adapter *a)
{
	PORT_CONFIGURATION_INFORMATION *config = (PVOID)a->config;
	ULONG size = a->driver->hw.DeviceExtensionSize;
	UCHAR *memory = ExAllocatePoolWithTag(NonPagedPool, 16 + size, TAG);

	RtlZeroMemory(memory, 16 + size);
	*(struct adapter **)memory = a;
	a->ext = memory + 16;
	if (!adapter_find(a)) {
		ExFreePoolWithTag(memory, TAG);
		return STATUS_ADAPTER_HARDWARE_ERROR;
	}
	if (*(ULONG *)(a->config + CONFIG_SYNCHRONIZATION) != 1)
		verifier_violation("a virtual adapter in half duplex");
	if (config->NumberOfBuses != 1 || config->MaximumNumberOfTargets != 128 ||
	    config->MaximumNumberOfLogicalUnits != 1 ||
	    config->MaximumTransferLength != 2 * 1024 * 1024 ||
	    !a->config[CONFIG_VIRTUAL_DEVICE])
		DbgPrint("storport: an unusual adapter\n");
	a->started = TRUE;
	a->scanner = new_thread(scanner, a);
	a->clock = new_thread(request_clock, a);
	KeReleaseSemaphore(&a->rescan, 0, 1, FALSE);
	DbgPrint("storport: adapter started\n");
	return STATUS_SUCCESS;
}

static void
join(PVOID thread)
{
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(thread);
}

static void
adapter_stop(struct adapter *a)
{
	if (!a->started)
		return;
	a->started = FALSE;
	a->stop = TRUE;
	KeReleaseSemaphore(&a->rescan, 0, 1, FALSE);
	join(a->scanner);
	join(a->clock);
	if (a->driver->hw.HwCompleteServiceIrp != NULL)
		a->driver->hw.HwCompleteServiceIrp(a->ext);
	a->driver->hw.HwAdapterControl(a->ext, ScsiStopAdapter, NULL);
	a->driver->hw.HwFreeAdapterResources(a->ext);
	if (a->service_irps != 0 || a->outstanding != 0)
		verifier_violation("%d service IRPs, %d SRBs left", a->service_irps,
		    a->outstanding);
	disk_remove_all(a);
	ExFreePoolWithTag((UCHAR *)a->ext - 16, TAG);
	DbgPrint("storport: adapter stopped\n");
}

static struct driver *
driver_of(PDRIVER_OBJECT object)
{
	LONG i;

	for (i = 0; i < driver_count; i++)
		if (drivers[i].object == object)
			return &drivers[i];
	return NULL;
}

/* HwFindAdapter gets three device objects; so that it matters which it uses, there is
 * one between the other two. */
static PDEVICE_OBJECT
add_filter(PDRIVER_OBJECT object, PDEVICE_OBJECT pdo)
{
	struct filter *f;
	PDEVICE_OBJECT device;

	if (!NT_SUCCESS(IoCreateDevice(object, sizeof(*f), NULL,
	    FILE_DEVICE_CONTROLLER, 0, FALSE, &device)))
		return NULL;
	f = device->DeviceExtension;
	f->type = TYPE_FILTER;
	f->lower = pdo != NULL ? IoAttachDeviceToDeviceStack(device, pdo) : NULL;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	return device;
}

static NTSTATUS NTAPI
add_device(PDRIVER_OBJECT object, PDEVICE_OBJECT pdo)
{
	ULONG number = (ULONG)InterlockedIncrement(&port_count) - 1;
	UNICODE_STRING name, link;
	WCHAR name_text[40], link_text[40];
	PDEVICE_OBJECT device;
	struct adapter *a;
	NTSTATUS status;

	_snwprintf(name_text, sizeof(name_text) / 2, L"\\Device\\RaidPort%lu",
	    number);
	_snwprintf(link_text, sizeof(link_text) / 2, L"\\DosDevices\\Scsi%lu:",
	    number);
	RtlInitUnicodeString(&name, name_text);
	RtlInitUnicodeString(&link, link_text);
	status = IoCreateDevice(object, sizeof(*a), &name, FILE_DEVICE_CONTROLLER, 0,
	    FALSE, &device);
	if (!NT_SUCCESS(status))
		return status;
	IoCreateSymbolicLink(&link, &name);
	a = device->DeviceExtension;
	RtlZeroMemory(a, sizeof(*a));
	a->type = TYPE_ADAPTER;
	a->driver = driver_of(object);
	a->device = device;
	a->pdo = pdo;
	a->srb_timeout_s = 30;
	KeInitializeSemaphore(&a->rescan, 0, 100000);
	KeInitializeSpinLock(&a->lock);
	InitializeListHead(&a->requests);
	InitializeListHead(&a->retries);
	a->lower = add_filter(object, pdo);
	if (pdo != NULL)
		a->lower = IoAttachDeviceToDeviceStack(device, a->lower);
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}

/* ---- the tests' own ioctls ------------------------------------------------- */

static NTSTATUS
test_srb(struct adapter *a, struct test_srb *t)
{
	struct request *r = request_new(a, (UCHAR)t->target, NULL, 0, NULL, 0, 0);
	ULONG capabilities[2] = { 0 };

	r->srb.Function = (UCHAR)t->function;
	if (t->function == SRB_FUNCTION_PNP) {
		SCSI_PNP_REQUEST_BLOCK *p = (PVOID)&r->srb;

		p->PnPAction = (STOR_PNP_ACTION)t->action;
		p->SrbPnPFlags = t->flags;
		p->DataBuffer = capabilities;
		r->length = sizeof(capabilities);
	}
	t->status = request_run(r);
	t->capabilities = capabilities[1];
	request_free(r);
	return STATUS_SUCCESS;
}

static void
fill_report(struct adapter *a, struct test_report *t)
{
	t->violations = verifier_violations();
	t->allocations = verifier_blocks();
	t->max_outstanding = (ULONG)a->max_outstanding;
	t->resets = (ULONG)a->resets;
	t->max_io = *(ULONG *)(a->config + CONFIG_MAX_IO);
	t->max_io_per_lun = *(ULONG *)(a->config + CONFIG_MAX_IO_PER_LUN);
	t->failed_allocs = verifier_failed();
	t->retries = (ULONG)a->retried;
}

/* Stopped and started again by Plug and Play; reset as the last resort; a program that
 * asked for a removal is gone (which Wine does not tell). */
static NTSTATUS
test_event(struct adapter *a, ULONG event)
{
	PIRP irp = a->removal;
	BOOLEAN ok = TRUE;
	ULONG old;

	switch (event) {
	case TEST_RESTART:
		a->driver->hw.HwAdapterControl(a->ext, ScsiStopAdapter, NULL);
		ok = adapter_find(a);
		break;
	case TEST_RESET_BUS:
		old = verifier_set_irql(DISPATCH_LEVEL);
		ok = a->driver->hw.HwResetBus(a->ext, 0);
		verifier_set_irql(old);
		break;
	case TEST_CANCEL_REMOVAL:
		ok = irp != NULL && IoCancelIrp(irp);
		break;
	}
	return ok ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

static NTSTATUS
test_ioctl(struct adapter *a, PIRP irp, ULONG code)
{
	ULONG *value = irp->AssociatedIrp.SystemBuffer;
	struct disk *d;

	switch (code) {
	case TEST_DISK_NUMBER:
		d = disk_at(a, *value);
		if (d == NULL)
			return port_done(irp, STATUS_NO_SUCH_DEVICE, 0);
		*value = d->number;
		return port_done(irp, STATUS_SUCCESS, sizeof(*value));
	case TEST_SRB_TIMEOUT:
		a->srb_timeout_s = *value;
		return port_done(irp, STATUS_SUCCESS, 0);
	case TEST_FAIL_ALLOCS:
		verifier_fail_allocs(*value);
		return port_done(irp, STATUS_SUCCESS, 0);
	case TEST_SRB:
		test_srb(a, irp->AssociatedIrp.SystemBuffer);
		return port_done(irp, STATUS_SUCCESS, sizeof(struct test_srb));
	case TEST_EVENT:
		return port_done(irp, test_event(a, *value), 0);
	case TEST_REPORT:
		fill_report(a, irp->AssociatedIrp.SystemBuffer);
		return port_done(irp, STATUS_SUCCESS, sizeof(struct test_report));
	default:
		return port_done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

/* ---- dispatch routines ----------------------------------------------------- */

static NTSTATUS
filter_pnp(PDEVICE_OBJECT device, PIRP irp)
{
	struct filter *f = device->DeviceExtension;
	PDEVICE_OBJECT lower = f->lower;
	BOOLEAN remove = IoGetCurrentIrpStackLocation(irp)->MinorFunction ==
	    IRP_MN_REMOVE_DEVICE;
	NTSTATUS status;

	IoSkipCurrentIrpStackLocation(irp);
	status = IoCallDriver(lower, irp);
	if (remove) {
		IoDetachDevice(lower);
		IoDeleteDevice(device);
	}
	return status;
}

static NTSTATUS NTAPI
on_pnp(PDEVICE_OBJECT device, PIRP irp)
{
	struct adapter *a = device->DeviceExtension;
	UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
	NTSTATUS status;

	if (a->type == TYPE_FILTER)
		return filter_pnp(device, irp);
	if (a->type == TYPE_DISK)
		return port_done(irp, STATUS_SUCCESS, 0);
	if (minor == IRP_MN_START_DEVICE)
		return port_done(irp, adapter_start(a), 0);
	irp->IoStatus.Status = STATUS_SUCCESS;
	if (minor == IRP_MN_SURPRISE_REMOVAL)
		adapter_stop(a);
	if (minor != IRP_MN_REMOVE_DEVICE) {
		IoSkipCurrentIrpStackLocation(irp);
		return IoCallDriver(a->lower, irp);
	}
	adapter_stop(a);
	IoSkipCurrentIrpStackLocation(irp);
	status = IoCallDriver(a->lower, irp);
	IoDetachDevice(a->lower);
	IoDeleteDevice(device);
	return status;
}

static NTSTATUS NTAPI
on_ioctl(PDEVICE_OBJECT device, PIRP irp)
{
	struct adapter *a = device->DeviceExtension;
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG code = at->Parameters.DeviceIoControl.IoControlCode;

	if (a->type == TYPE_DISK)
		return disk_ioctl((struct disk *)a, irp);
	if (a->type != TYPE_ADAPTER)
		return port_done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	if (!a->started)
		return port_done(irp, STATUS_DEVICE_NOT_READY, 0);
	if (code != IOCTL_MINIPORT_PROCESS_SERVICE_IRP)
		return test_ioctl(a, irp, code);
	IoMarkIrpPending(irp);
	InterlockedIncrement(&a->service_irps);
	irp->Tail.Overlay.DriverContext[3] = a;
	if (at->Parameters.DeviceIoControl.InputBufferLength >= sizeof(ULONG) &&
	    *(ULONG *)irp->AssociatedIrp.SystemBuffer == IOCTL_REMOVE)
		a->removal = irp;
	a->driver->hw.HwProcessServiceRequest(a->ext, irp);
	return STATUS_PENDING;
}

static NTSTATUS NTAPI
on_read_write(PDEVICE_OBJECT device, PIRP irp)
{
	struct disk *d = device->DeviceExtension;
	UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;

	if (d->type != TYPE_DISK)
		return port_done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	return disk_read_write(d, irp, major == IRP_MJ_WRITE);
}

static NTSTATUS NTAPI
on_flush(PDEVICE_OBJECT device, PIRP irp)
{
	struct disk *d = device->DeviceExtension;

	return d->type == TYPE_DISK ? disk_flush(d, irp) :
	    port_done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI
on_open(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	return port_done(irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI
on_unload(PDRIVER_OBJECT object)
{
	PDEVICE_OBJECT device, next;

	for (device = object->DeviceObject; device != NULL; device = next) {
		struct adapter *a = device->DeviceExtension;

		next = device->NextDevice;
		if (a->type != TYPE_ADAPTER || a->pdo != NULL)
			continue;
		adapter_stop(a);
		IoDeleteDevice(a->lower);
		IoDeleteDevice(device);
		next = object->DeviceObject;
	}
	DbgPrint("storport: unloaded\n");
}

/* ---- start ----------------------------------------------------------------- */

/* DriverEntry has to return first. */
static VOID NTAPI
start_legacy(PVOID arg)
{
	LARGE_INTEGER moment = { .QuadPart = -100000 };
	PDRIVER_OBJECT object = arg;
	PDEVICE_OBJECT device;

	KeDelayExecutionThread(KernelMode, FALSE, &moment);
	if (NT_SUCCESS(add_device(object, NULL)))
		for (device = object->DeviceObject; device != NULL;
		    device = device->NextDevice)
			if (((struct adapter *)device->DeviceExtension)->type ==
			    TYPE_ADAPTER)
				adapter_start(device->DeviceExtension);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

static ULONG
legacy_wanted(PUNICODE_STRING path)
{
	RTL_QUERY_REGISTRY_TABLE query[2];
	ULONG value = 0, zero = 0;

	RtlZeroMemory(query, sizeof(query));
	query[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
	query[0].Name = L"WineLegacyAdapter";
	query[0].EntryContext = &value;
	query[0].DefaultType = REG_DWORD;
	query[0].DefaultData = &zero;
	query[0].DefaultLength = sizeof(zero);
	RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, path->Buffer, query, NULL, NULL);
	return value;
}

static void
set_routines(PDRIVER_OBJECT object)
{
	object->DriverExtension->AddDevice = add_device;
	object->MajorFunction[IRP_MJ_PNP] = on_pnp;
	object->MajorFunction[IRP_MJ_DEVICE_CONTROL] = on_ioctl;
	object->MajorFunction[IRP_MJ_READ] = on_read_write;
	object->MajorFunction[IRP_MJ_WRITE] = on_read_write;
	object->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = on_flush;
	object->MajorFunction[IRP_MJ_CREATE] = on_open;
	object->MajorFunction[IRP_MJ_CLOSE] = on_open;
	object->MajorFunction[IRP_MJ_CLEANUP] = on_open;
	object->DriverUnload = on_unload;
}

ULONG NTAPI
StorPortInitialize(PVOID driver, PVOID path, VIRTUAL_HW_INITIALIZATION_DATA *hw,
    PVOID unused)
{
	PDRIVER_OBJECT object = driver;
	LONG i = InterlockedIncrement(&driver_count) - 1;
	HANDLE h;

	(void)unused;
	if (hw->HwInitializationDataSize != sizeof(*hw) || i >= DRIVERS_MAX)
		return (ULONG)STATUS_REVISION_MISMATCH;
	drivers[i].object = object;
	drivers[i].hw = *hw;
	set_routines(object);
	if (legacy_wanted(path)) {
		PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL,
		    start_legacy, object);
		ZwClose(h);
	}
	return STATUS_SUCCESS;
}

/* ---- the importing driver -------------------------------------------------- */

struct module {
	LIST_ENTRY load, memory, init;
	UCHAR	*base;
};

static void
patch_importers(PVOID self)
{
	UCHAR *teb, *loader;
	PLIST_ENTRY head, e;

	__asm__("movq %%gs:0x30, %0" : "=r"(teb));
	loader = *(UCHAR **)(*(UCHAR **)(teb + 0x60) + 0x18);
	head = (PLIST_ENTRY)(loader + 0x10);
	for (e = head->Flink; e != head; e = e->Flink) {
		UCHAR *base = ((struct module *)e)->base;

		if (base != NULL && base != self && verifier_patch(base))
			DbgPrint("storport: imports are redirected\n");
	}
}

int NTAPI DllMain(PVOID, ULONG, PVOID);

int NTAPI
DllMain(PVOID self, ULONG reason, PVOID reserved)
{
	(void)reserved;
	if (reason == 0)
		verifier_report();
	if (reason == 1) {
		verifier_init();
		patch_importers(self);
	}
	return 1;
}
