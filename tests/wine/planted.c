/*
 * planted.c - a miniport with one bug of each kind, to show that they are noticed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A service IRP with a number asks for the bug of that number.
 */
#include "port_abi.h"

#define TAG	'tnlp'

__declspec(dllimport) ULONG NTAPI StorPortInitialize(PVOID, PVOID,
    VIRTUAL_HW_INITIALIZATION_DATA *, PVOID);
__declspec(dllimport) void __cdecl StorPortNotification(SCSI_NOTIFICATION_TYPE, PVOID,
    ...);
__declspec(dllimport) ULONG __cdecl StorPortExtendedFunction(ULONG, PVOID, ...);

static volatile BOOLEAN twice;

static void
overrun(void)
{
	UCHAR *p = ExAllocatePoolWithTag(NonPagedPool, 10, TAG);

	((volatile UCHAR *)p)[10] = 1;
	ExFreePoolWithTag(p, TAG);
}

static void
leak(void)
{
	if (ExAllocatePoolWithTag(NonPagedPool, 100, TAG) == NULL)
		twice = FALSE;
}

static void
wait_under_lock(void)
{
	LARGE_INTEGER moment = { .QuadPart = -10 };
	KSPIN_LOCK lock;
	KIRQL irql;

	KeInitializeSpinLock(&lock);
	KeAcquireSpinLock(&lock, &irql);
	KeDelayExecutionThread(KernelMode, FALSE, &moment);
	KeReleaseSpinLock(&lock, irql);
}

static void
free_twice(void)
{
	void *p = ExAllocatePoolWithTag(NonPagedPool, 10, TAG);

	ExFreePoolWithTag(p, TAG);
	ExFreePoolWithTag(p, TAG);
}

static void
wrong_tag(void)
{
	ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPool, 10, TAG), TAG + 1);
}

static void
use_after_free(void)
{
	volatile UCHAR *p = ExAllocatePoolWithTag(NonPagedPool, 10, TAG);
	int i;

	ExFreePoolWithTag((void *)(ULONG_PTR)p, TAG);
	p[3] = 1;
	for (i = 0; i < 300; i++)
		ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPool, 1, TAG), TAG);
}

static void
unlock_unlocked(void)
{
	MDL *mdl = IoAllocateMdl((PVOID)(ULONG_PTR)&twice, 1, FALSE, FALSE, NULL);

	MmUnlockPages(mdl);
	IoFreeMdl(mdl);
}

static void
leak_irp(void)
{
	if (IoAllocateIrp(1, FALSE) == NULL)
		twice = FALSE;
}

static VOID NTAPI
do_nothing(PVOID arg)
{
	(void)arg;
	PsTerminateSystemThread(STATUS_SUCCESS);
}

/* In the context of the program that asks: its handle, and of no type. */
static void
user_handle(void)
{
	PVOID thread;
	HANDLE h;

	PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, do_nothing, NULL);
	if (NT_SUCCESS(ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode,
	    &thread, NULL))) {
		KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
		ObDereferenceObject(thread);
	}
	ZwClose(h);
}

static void
executable_mapping(void)
{
	MDL *mdl = IoAllocateMdl((PVOID)(ULONG_PTR)&twice, 1, FALSE, FALSE, NULL);

	MmProbeAndLockPages(mdl, KernelMode, IoReadAccess);
	if (MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == NULL)
		twice = FALSE;
	MmUnlockPages(mdl);
	IoFreeMdl(mdl);
}

static PDEVICE_OBJECT lower_device;

static void
interface_of_no_pdo(void)
{
	static const GUID guid = { 1, 2, 3, { 4, 5, 6, 7, 8, 9, 10, 11 } };
	UNICODE_STRING name;

	if (NT_SUCCESS(IoRegisterDeviceInterface(lower_device, &guid, NULL, &name)))
		RtlFreeUnicodeString(&name);
}

static void
complete_twice(void)
{
	twice = TRUE;
}

static void (*const bugs[])(void) = {
	NULL, overrun, leak, wait_under_lock, free_twice, wrong_tag, use_after_free,
	unlock_unlocked, leak_irp, user_handle, executable_mapping,
	interface_of_no_pdo, complete_twice,
};

/* ---- a miniport ------------------------------------------------------------ */

static void NTAPI
service(PVOID ext, PVOID arg)
{
	IRP *irp = arg;
	ULONG number = *(ULONG *)irp->AssociatedIrp.SystemBuffer;

	if (number > 0 && number < RTL_NUMBER_OF(bugs))
		bugs[number]();
	irp->IoStatus.Status = STATUS_SUCCESS;
	irp->IoStatus.Information = 0;
	StorPortExtendedFunction(ExtFunctionCompleteServiceIrp, ext, irp);
	if (number == RTL_NUMBER_OF(bugs) - 1)
		StorPortNotification(BusChangeDetected, ext, 0);
}

static BOOLEAN NTAPI
start_io(PVOID ext, PSCSI_REQUEST_BLOCK srb)
{
	BOOLEAN again = twice && srb->TargetId == 1;

	srb->SrbStatus = SRB_STATUS_NO_DEVICE;
	StorPortNotification(RequestComplete, ext, srb);
	if (again)
		StorPortNotification(RequestComplete, ext, srb);
	twice = twice && !again;
	return TRUE;
}

static ULONG NTAPI
find(PVOID ext, PVOID hw, PVOID bus, PVOID lower, PCHAR arguments,
    PPORT_CONFIGURATION_INFORMATION config, PBOOLEAN again)
{
	(void)ext, (void)hw, (void)bus, (void)arguments;
	lower_device = lower;
	config->NumberOfBuses = 1;
	config->MaximumNumberOfTargets = 2;
	config->MaximumNumberOfLogicalUnits = 1;
	*again = FALSE;
	return SP_RETURN_FOUND;
}

static BOOLEAN NTAPI
initialize(PVOID ext)
{
	(void)ext;
	return TRUE;
}

static SCSI_ADAPTER_CONTROL_STATUS NTAPI
control(PVOID ext, SCSI_ADAPTER_CONTROL_TYPE type, PVOID parameters)
{
	(void)ext, (void)type, (void)parameters;
	return ScsiAdapterControlSuccess;
}

static VOID NTAPI
free_resources(PVOID ext)
{
	(void)ext;
}

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI
DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
	VIRTUAL_HW_INITIALIZATION_DATA hw = {
		.HwInitializationDataSize = sizeof(hw), .HwInitialize = initialize,
		.HwStartIo = start_io, .HwFindAdapter = find,
		.HwAdapterControl = control, .HwFreeAdapterResources = free_resources,
		.HwProcessServiceRequest = service, .DeviceExtensionSize = 16,
	};

	return (NTSTATUS)StorPortInitialize(driver, path, &hw, NULL);
}
