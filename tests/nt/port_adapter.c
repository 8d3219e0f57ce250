/*
 * port_adapter.c - adapters: the function device object and what Plug and Play wants.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "port.h"

static LONG adapter_count;

/* ---- start and stop -------------------------------------------------------- */

static VOID NTAPI
scanner(PVOID arg)
{
	struct adapter *a = arg;

	for (;;) {
		KeWaitForSingleObject(&a->rescan, Executive, KernelMode, FALSE, NULL);
		if (a->stopping)
			break;
		disk_scan(a);
	}
	PsTerminateSystemThread(STATUS_SUCCESS);
}

static PVOID
new_thread(PKSTART_ROUTINE run, PVOID arg)
{
	OBJECT_ATTRIBUTES attributes;
	PVOID thread = NULL;
	HANDLE h;

	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	if (!NT_SUCCESS(PsCreateSystemThread(&h, THREAD_ALL_ACCESS, &attributes, NULL,
	    NULL, run, arg)))
		return NULL;
	ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode, &thread,
	    NULL);
	ZwClose(h);
	return thread;
}

static void
join(PVOID thread)
{
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(thread);
}

static BOOLEAN
find(struct adapter *a)
{
	PORT_CONFIGURATION_INFORMATION *config = (PVOID)a->config;
	BOOLEAN again = FALSE;
	ULONG found;

	RtlZeroMemory(a->config, sizeof(a->config));
	config->Length = CONFIG_LENGTH;
	found = hw.HwFindAdapter(a->ext, a->pdo, a->device, a->lower, NULL, config,
	    &again);
	if (found != SP_RETURN_FOUND || !hw.HwInitialize(a->ext)) {
		DbgPrint("storport: HwFindAdapter %lu\n", found);
		return FALSE;
	}
	if (*(ULONG *)(a->config + CONFIG_SYNCHRONIZATION) != 1)
		violation("a virtual adapter in half duplex");
	return TRUE;
}

static NTSTATUS
start(struct adapter *a)
{
	UCHAR *memory;

	if (a->ext != NULL)
		return find(a) ? STATUS_SUCCESS : STATUS_ADAPTER_HARDWARE_ERROR;
	memory = ExAllocatePoolWithTag(NonPagedPool, 16 + hw.DeviceExtensionSize, TAG);
	if (memory == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	RtlZeroMemory(memory, 16 + hw.DeviceExtensionSize);
	*(struct adapter **)memory = a;
	a->ext = memory + 16;
	if (!find(a)) {
		ExFreePoolWithTag(memory, TAG);
		a->ext = NULL;
		return STATUS_ADAPTER_HARDWARE_ERROR;
	}
	a->stopping = FALSE;
	a->scanner = new_thread(scanner, a);
	a->clock = new_thread(request_clock, a);
	KeSetEvent(&a->rescan, IO_NO_INCREMENT, FALSE);
	DbgPrint("storport: adapter started\n");
	return STATUS_SUCCESS;
}

static void
stop(struct adapter *a)
{
	if (a->ext == NULL)
		return;
	a->stopping = TRUE;
	KeSetEvent(&a->rescan, IO_NO_INCREMENT, FALSE);
	join(a->scanner);
	join(a->clock);
	if (hw.HwCompleteServiceIrp != NULL)
		hw.HwCompleteServiceIrp(a->ext);
	hw.HwAdapterControl(a->ext, ScsiStopAdapter, NULL);
	hw.HwFreeAdapterResources(a->ext);
	KeFlushQueuedDpcs();
	if (a->service_irps != 0 || a->outstanding != 0)
		violation("%ld service IRPs, %ld SRBs are left", a->service_irps,
		    a->outstanding);
	ExFreePoolWithTag((UCHAR *)a->ext - 16, TAG);
	a->ext = NULL;
	DbgPrint("storport: adapter stopped\n");
}

/* ---- service IRPs and the tests' own ioctls -------------------------------- */

void
adapter_complete_service(struct adapter *a, PIRP irp)
{
	if (irp->Tail.Overlay.DriverContext[3] != a)
		violation("service IRP %p is completed twice", irp);
	irp->Tail.Overlay.DriverContext[3] = NULL;
	InterlockedDecrement(&a->service_irps);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static NTSTATUS
service(struct adapter *a, PIRP irp)
{
	IoMarkIrpPending(irp);
	InterlockedIncrement(&a->service_irps);
	irp->Tail.Overlay.DriverContext[3] = a;
	hw.HwProcessServiceRequest(a->ext, irp);
	return STATUS_PENDING;
}

/* Asked as Plug and Play does for a program that wants a soft removal. */
static NTSTATUS
leave(struct adapter *a, ULONG target)
{
	struct disk *d;

	if (target == TEST_ADAPTER) {
		a->leaving = TRUE;
		IoInvalidateDeviceState(a->pdo);
		return STATUS_SUCCESS;
	}
	d = disk_at(a, target);
	if (d == NULL)
		return STATUS_NO_SUCH_DEVICE;
	d->leaving = TRUE;
	IoInvalidateDeviceState(d->device);
	return STATUS_SUCCESS;
}

static NTSTATUS
event(struct adapter *a, ULONG which)
{
	KIRQL irql;

	if (which != TEST_RESET_BUS)
		return STATUS_INVALID_PARAMETER;
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	hw.HwResetBus(a->ext, 0);
	KeLowerIrql(irql);
	return STATUS_SUCCESS;
}

static NTSTATUS
report(struct adapter *a, PIRP irp, ULONG room)
{
	struct test_report *t = irp->AssociatedIrp.SystemBuffer;

	if (room < sizeof(*t))
		return done(irp, STATUS_BUFFER_TOO_SMALL, 0);
	RtlZeroMemory(t, sizeof(*t));
	t->violations = (ULONG)violations;
	t->max_outstanding = (ULONG)a->max_outstanding;
	t->resets = (ULONG)a->resets;
	t->queries = (ULONG)a->queries;
	t->max_io = *(ULONG *)(a->config + CONFIG_MAX_IO);
	t->max_io_per_lun = *(ULONG *)(a->config + CONFIG_MAX_IO_PER_LUN);
	return done(irp, STATUS_SUCCESS, sizeof(*t));
}

NTSTATUS
adapter_ioctl(struct adapter *a, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG code = at->Parameters.DeviceIoControl.IoControlCode;
	ULONG value = 0;

	if (a->ext == NULL)
		return done(irp, STATUS_DEVICE_NOT_READY, 0);
	if (code == IOCTL_MINIPORT_PROCESS_SERVICE_IRP)
		return service(a, irp);
	if (at->Parameters.DeviceIoControl.InputBufferLength >= sizeof(value))
		value = *(ULONG *)irp->AssociatedIrp.SystemBuffer;
	switch (code) {
	case TEST_SRB_TIMEOUT:
		a->srb_timeout_s = value;
		return done(irp, STATUS_SUCCESS, 0);
	case TEST_EVENT:
		return done(irp, event(a, value), 0);
	case TEST_LEAVE:
		return done(irp, leave(a, value), 0);
	case TEST_REPORT:
		return report(a, irp,
		    at->Parameters.DeviceIoControl.OutputBufferLength);
	default:
		return done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

/* ---- Plug and Play --------------------------------------------------------- */

static NTSTATUS NTAPI
set_event(PDEVICE_OBJECT device, PIRP irp, PVOID event)
{
	(void)device, (void)irp;
	KeSetEvent(event, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

/* The drivers below have the IRP first; it is ours again. */
static NTSTATUS
forward_and_wait(struct adapter *a, PIRP irp)
{
	NTSTATUS status;
	KEVENT event;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, set_event, &event, TRUE, TRUE, TRUE);
	status = IoCallDriver(a->lower, irp);
	if (status == STATUS_PENDING)
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	return irp->IoStatus.Status;
}

static NTSTATUS
forward(struct adapter *a, PIRP irp)
{
	IoSkipCurrentIrpStackLocation(irp);
	return IoCallDriver(a->lower, irp);
}

static NTSTATUS
take_away(struct adapter *a, PIRP irp)
{
	PDEVICE_OBJECT device = a->device;
	NTSTATUS status;

	stop(a);
	disk_forget_all(a);
	irp->IoStatus.Status = STATUS_SUCCESS;
	status = forward(a, irp);
	IoDetachDevice(a->lower);
	IoDeleteDevice(device);
	return status;
}

NTSTATUS
adapter_pnp(struct adapter *a, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	NTSTATUS status;

	switch (at->MinorFunction) {
	case IRP_MN_START_DEVICE:
		status = forward_and_wait(a, irp);
		return done(irp, NT_SUCCESS(status) ? start(a) : status, 0);
	case IRP_MN_STOP_DEVICE:
		hw.HwAdapterControl(a->ext, ScsiStopAdapter, NULL);
		break;
	case IRP_MN_QUERY_DEVICE_RELATIONS:
		if (at->Parameters.QueryDeviceRelations.Type != BusRelations)
			return forward(a, irp);
		return disk_relations(a, irp);
	case IRP_MN_QUERY_PNP_DEVICE_STATE:
		if (a->leaving)
			irp->IoStatus.Information |= PNP_DEVICE_REMOVED;
		break;
	case IRP_MN_SURPRISE_REMOVAL:
		stop(a);
		break;
	case IRP_MN_REMOVE_DEVICE:
		return take_away(a, irp);
	case IRP_MN_QUERY_STOP_DEVICE:
	case IRP_MN_CANCEL_STOP_DEVICE:
	case IRP_MN_QUERY_REMOVE_DEVICE:
	case IRP_MN_CANCEL_REMOVE_DEVICE:
		break;
	default:
		return forward(a, irp);
	}
	irp->IoStatus.Status = STATUS_SUCCESS;
	return forward(a, irp);
}

NTSTATUS NTAPI
adapter_add(PDRIVER_OBJECT object, PDEVICE_OBJECT pdo)
{
	UNICODE_STRING name;
	PDEVICE_OBJECT device;
	struct adapter *a;
	WCHAR text[40];
	NTSTATUS status;

	_snwprintf(text, sizeof(text) / 2, L"\\Device\\WnbdTestPort%ld",
	    InterlockedIncrement(&adapter_count) - 1);
	RtlInitUnicodeString(&name, text);
	status = IoCreateDevice(object, sizeof(*a), &name, FILE_DEVICE_CONTROLLER,
	    FILE_DEVICE_SECURE_OPEN, FALSE, &device);
	if (!NT_SUCCESS(status))
		return status;
	a = device->DeviceExtension;
	RtlZeroMemory(a, sizeof(*a));
	a->type = TYPE_ADAPTER;
	a->device = device;
	a->pdo = pdo;
	KeInitializeEvent(&a->rescan, SynchronizationEvent, FALSE);
	KeInitializeSpinLock(&a->lock);
	InitializeListHead(&a->requests);
	InitializeListHead(&a->ended);
	InitializeListHead(&a->disks);
	KeInitializeDpc(&a->dpc, request_dpc, a);
	a->lower = IoAttachDeviceToDeviceStack(device, pdo);
	device->Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}
