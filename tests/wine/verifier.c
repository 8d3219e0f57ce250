/*
 * verifier.c - what Wine lacks, and a small driver verifier.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Checked: pool (overrun, bad free, wrong tag, leak), IRPs and MDLs (leak, unlock
 * of what is not locked), IRQL (a wait, a pageable call or a second spin lock's
 * release at the wrong level), process references, handles that a process could
 * close, memory that could be executed, device objects taken for a PDO.
 */
#include <stdarg.h>
#include <stdio.h>

#include "port_disk.h"
#include "verifier.h"

#include <devpropdef.h>

#define KERNEL32 __declspec(dllimport)
KERNEL32 HANDLE NTAPI OpenProcess(ULONG, int, ULONG);
KERNEL32 int NTAPI ReadProcessMemory(HANDLE, PVOID, PVOID, SIZE_T, SIZE_T *);
KERNEL32 int NTAPI WriteProcessMemory(HANDLE, PVOID, PVOID, SIZE_T, SIZE_T *);
KERNEL32 int NTAPI CloseHandle(HANDLE);
KERNEL32 ULONG NTAPI GetCurrentProcessId(void);
KERNEL32 int NTAPI VirtualProtect(PVOID, SIZE_T, ULONG, ULONG *);
KERNEL32 ULONG NTAPI TlsAlloc(void);
KERNEL32 PVOID NTAPI TlsGetValue(ULONG);
KERNEL32 int NTAPI TlsSetValue(ULONG, PVOID);
KERNEL32 void NTAPI RaiseException(ULONG, ULONG, ULONG, const ULONG_PTR *);
KERNEL32 void NTAPI ExitProcess(ULONG);

#define MAPPING_NO_EXECUTE 0x40000000	/* MdlMappingNoExecute */
#define PROCESS_VM	0x438		/* query, operation, read, write */
#define MAGIC_USED	0xa110c8ed
#define MAGIC_FREED	0xdeadf4ee
#define GUARD		16

static ULONG irql_slot;
static LONG violations, blocks, irps, mdls, processes, failed;
static LONG fail_every, fail_count;

void
verifier_violation(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	_vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[sizeof(line) - 1] = '\0';
	InterlockedIncrement(&violations);
	DbgPrint("VERIFIER: %s\n", line);
}

ULONG
verifier_violations(void)
{
	return (ULONG)violations;
}

ULONG
verifier_blocks(void)
{
	return (ULONG)blocks;
}

ULONG
verifier_failed(void)
{
	return (ULONG)failed;
}

void
verifier_report(void)
{
	DbgPrint("VERIFIER: %d violations, not freed: %d blocks, %d IRPs, %d MDLs, "
	    "%d processes\n", violations, blocks, irps, mdls, processes);
}

void
verifier_fail_allocs(ULONG n)
{
	fail_count = 0;
	fail_every = (LONG)n;
}

static BOOLEAN
shall_fail(void)
{
	LONG every = fail_every;

	if (every == 0 || InterlockedIncrement(&fail_count) % every != 0)
		return FALSE;
	InterlockedIncrement(&failed);
	return TRUE;
}

/* ---- IRQL ------------------------------------------------------------------ */

static ULONG
irql(void)
{
	return (ULONG)(ULONG_PTR)TlsGetValue(irql_slot);
}

ULONG
verifier_set_irql(ULONG level)
{
	ULONG old = irql();

	TlsSetValue(irql_slot, (PVOID)(ULONG_PTR)level);
	return old;
}

static void
must_be_passive(const char *what)
{
	if (irql() > APC_LEVEL)
		verifier_violation("%s at IRQL %u", what, irql());
}

NTSTATUS NTAPI ZwYieldExecution(void);

/* Who has it may wait for a processor, or for Wine's server, which does.  Wine's own
 * spins for as long. */
static KIRQL NTAPI
v_acquire(PKSPIN_LOCK lock)
{
	ULONG old = irql();

	if (old > DISPATCH_LEVEL)
		verifier_violation("spin lock at IRQL %u", old);
	while (InterlockedExchangePointer((PVOID *)lock, lock) != NULL)
		ZwYieldExecution();
	verifier_set_irql(DISPATCH_LEVEL);
	return (KIRQL)old;
}

static void NTAPI
v_release(PKSPIN_LOCK lock, KIRQL old)
{
	if (irql() != DISPATCH_LEVEL)
		verifier_violation("spin lock released at IRQL %u", irql());
	InterlockedExchangePointer((PVOID *)lock, NULL);
	verifier_set_irql(old);
}

static NTSTATUS NTAPI
v_wait(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
    PLARGE_INTEGER timeout)
{
	if (timeout == NULL || timeout->QuadPart != 0)
		must_be_passive("KeWaitForSingleObject");
	return KeWaitForSingleObject(object, reason, mode, alertable, timeout);
}

static NTSTATUS NTAPI
v_wait_many(ULONG count, PVOID objects[], WAIT_TYPE type, KWAIT_REASON reason,
    KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER timeout,
    PKWAIT_BLOCK wait_blocks)
{
	must_be_passive("KeWaitForMultipleObjects");
	return KeWaitForMultipleObjects(count, objects, type, reason, mode, alertable,
	    timeout, wait_blocks);
}

static NTSTATUS NTAPI
v_delay(KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER timeout)
{
	must_be_passive("KeDelayExecutionThread");
	return KeDelayExecutionThread(mode, alertable, timeout);
}

/* In the context of a process a handle is that process's, if nothing else is said. */
static void
must_be_kernel_handle(const char *what, const OBJECT_ATTRIBUTES *attributes)
{
	if ((ULONG)(ULONG_PTR)PsGetCurrentProcessId() != GetCurrentProcessId() &&
	    (attributes == NULL || (attributes->Attributes & OBJ_KERNEL_HANDLE) == 0))
		verifier_violation("%s: the handle is the process's", what);
}

static NTSTATUS NTAPI
v_open_key(PHANDLE key, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes)
{
	must_be_passive("ZwOpenKey");
	must_be_kernel_handle("ZwOpenKey", attributes);
	return ZwOpenKey(key, access, attributes);
}

static NTSTATUS NTAPI
v_reference(HANDLE h, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
    PVOID *object, POBJECT_HANDLE_INFORMATION information)
{
	must_be_passive("ObReferenceObjectByHandle");
	if (type == NULL)
		verifier_violation("ObReferenceObjectByHandle of any type");
	if (shall_fail())
		return STATUS_INSUFFICIENT_RESOURCES;
	return ObReferenceObjectByHandle(h, access, type, mode, object, information);
}

static NTSTATUS NTAPI
v_thread(PHANDLE handle, ULONG access, POBJECT_ATTRIBUTES attributes, HANDLE process,
    PCLIENT_ID id, PKSTART_ROUTINE run, PVOID arg)
{
	must_be_passive("PsCreateSystemThread");
	must_be_kernel_handle("PsCreateSystemThread", attributes);
	if (shall_fail())
		return STATUS_INSUFFICIENT_RESOURCES;
	return PsCreateSystemThread(handle, access, attributes, process, id, run, arg);
}

static void NTAPI
v_bug_check(ULONG code, ULONG_PTR a, ULONG_PTR b, ULONG_PTR c, ULONG_PTR d)
{
	verifier_violation("bug check %x (%p, %p, %p, %p)", code, (PVOID)a, (PVOID)b,
	    (PVOID)c, (PVOID)d);
	ExitProcess(1);
}

/* ---- pool ------------------------------------------------------------------ */

struct block {
	SIZE_T	size;
	ULONG	tag, magic;
};

/* Freed blocks stay for a while, so that a second free, and a use, are noticed. */
static void
free_later(struct block *b)
{
	static struct block *volatile late[256];
	static LONG next;
	struct block *old;
	UCHAR *p;
	SIZE_T i;

	old = InterlockedExchangePointer((PVOID *)(ULONG_PTR)
	    &late[InterlockedIncrement(&next) & 255], b);
	if (old == NULL)
		return;
	p = (UCHAR *)(old + 1);
	for (i = 0; i < old->size && p[i] == 0xdd; i++)
		continue;
	if (i < old->size)
		verifier_violation("a freed block of %u bytes was written to",
		    (ULONG)old->size);
	ExFreePoolWithTag(old, old->tag);
}

static PVOID NTAPI
v_alloc(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	struct block *b;

	if (irql() > DISPATCH_LEVEL || (((ULONG)type & 1) != 0 && irql() > APC_LEVEL))
		verifier_violation("pool %u allocated at IRQL %u", type, irql());
	if (type == NonPagedPool || type == NonPagedPoolMustSucceed)
		verifier_violation("pool that can be executed");
	if (shall_fail())
		return NULL;
	b = ExAllocatePoolWithTag(NonPagedPool, size + sizeof(*b) + GUARD, tag);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->tag = tag;
	b->magic = MAGIC_USED;
	RtlFillMemory(b + 1, size, 0xcd);
	RtlFillMemory((UCHAR *)(b + 1) + size, GUARD, 0xfd);
	InterlockedIncrement(&blocks);
	return b + 1;
}

static void NTAPI
v_free(PVOID p, ULONG tag)
{
	struct block *b = (struct block *)p - 1;
	UCHAR *guard = (UCHAR *)p;
	ULONG i;

	if (b->magic != MAGIC_USED) {
		verifier_violation("free of a bad or freed block %p", p);
		return;
	}
	if (tag != b->tag)
		verifier_violation("freed with tag %x, allocated with %x", tag, b->tag);
	for (i = 0; i < GUARD; i++)
		if (guard[b->size + i] != 0xfd) {
			verifier_violation("overrun of a block of %u bytes",
			    (ULONG)b->size);
			break;
		}
	InterlockedDecrement(&blocks);
	b->magic = MAGIC_FREED;
	RtlFillMemory(p, b->size, 0xdd);
	free_later(b);
}

/* ---- IRPs and MDLs --------------------------------------------------------- */

static PIRP NTAPI
v_alloc_irp(CCHAR stack, BOOLEAN quota)
{
	PIRP irp = shall_fail() ? NULL : IoAllocateIrp(stack, quota);

	if (irp != NULL)
		InterlockedIncrement(&irps);
	return irp;
}

static void NTAPI
v_free_irp(PIRP irp)
{
	InterlockedDecrement(&irps);
	IoFreeIrp(irp);
}

static PMDL NTAPI
v_alloc_mdl(PVOID address, ULONG length, BOOLEAN secondary, BOOLEAN quota, PIRP irp)
{
	PMDL mdl = shall_fail() ? NULL :
	    IoAllocateMdl(address, length, secondary, quota, irp);

	if (mdl != NULL)
		InterlockedIncrement(&mdls);
	return mdl;
}

static void NTAPI
v_free_mdl(PMDL mdl)
{
	if ((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0)
		verifier_violation("an MDL is freed with its pages locked");
	InterlockedDecrement(&mdls);
	IoFreeMdl(mdl);
}

static void NTAPI
x_build_mdl(PMDL mdl)
{
	mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
	mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
}

/* The memory is another process's.  What the driver reads is copied here; what it
 * writes is copied back at the unlock, those words alone: for all of a buffer for
 * requests, 2 MiB that are locked for each of them, Wine takes milliseconds. */
static ULONGLONG
unwritten(SIZE_T word)
{
	return 0x5bd1e995c3a5c85dull ^ word * 0x9e3779b97f4a7c15ull;
}

static SIZE_T
words_of(const MDL *mdl)
{
	return (mdl->ByteCount + sizeof(ULONGLONG) - 1) / sizeof(ULONGLONG);
}

static BOOLEAN
copy_in(PMDL mdl)
{
	SIZE_T n;

	return ReadProcessMemory(mdl->Process, MmGetMdlVirtualAddress(mdl),
	    mdl->MappedSystemVa, mdl->ByteCount, &n) && n == mdl->ByteCount;
}

/* For each look the server stops a thread of the process: only the last byte is asked
 * for, which is not there if nothing is, or not so much. */
static BOOLEAN
lay_out(PMDL mdl)
{
	UCHAR *user = MmGetMdlVirtualAddress(mdl), byte;
	ULONGLONG *word = mdl->MappedSystemVa;
	SIZE_T i, n;

	if (!ReadProcessMemory(mdl->Process, user + mdl->ByteCount - 1, &byte, 1, &n))
		return FALSE;
	for (i = 0; i < words_of(mdl); i++)
		word[i] = unwritten(i);
	return TRUE;
}

static void
copy_back(PMDL mdl)
{
	const ULONGLONG *word = mdl->MappedSystemVa;
	SIZE_T first = 0, end = words_of(mdl), n;

	while (first < end && word[first] == unwritten(first))
		first++;
	while (end > first && word[end - 1] == unwritten(end - 1))
		end--;
	n = end * sizeof(*word) < mdl->ByteCount ? end * sizeof(*word) :
	    mdl->ByteCount;
	if (end > first)
		WriteProcessMemory(mdl->Process, (UCHAR *)MmGetMdlVirtualAddress(mdl) +
		    first * sizeof(*word), (PVOID)(word + first),
		    n - first * sizeof(*word), &n);
}

static void NTAPI
x_lock_pages(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
	ULONG pid = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();

	must_be_passive("MmProbeAndLockPages");
	if (mode == KernelMode || pid == GetCurrentProcessId()) {
		mdl->MdlFlags |= MDL_PAGES_LOCKED;
		return;
	}
	mdl->Process = OpenProcess(PROCESS_VM, 0, pid);
	mdl->MappedSystemVa = ExAllocatePoolWithTag(NonPagedPool,
	    words_of(mdl) * sizeof(ULONGLONG), 'mihs');
	if (!(operation == IoReadAccess ? copy_in(mdl) : lay_out(mdl))) {
		CloseHandle(mdl->Process);
		ExFreePoolWithTag(mdl->MappedSystemVa, 'mihs');
		mdl->Process = NULL;
		RaiseException(STATUS_ACCESS_VIOLATION, 0, 0, NULL);
	}
	mdl->MdlFlags |= MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA |
	    (operation != IoReadAccess ? MDL_WRITE_OPERATION : 0);
}

static void NTAPI
x_unlock_pages(PMDL mdl)
{
	if ((mdl->MdlFlags & MDL_PAGES_LOCKED) == 0)
		verifier_violation("MmUnlockPages of an MDL that is not locked");
	mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
	if (mdl->Process == NULL)
		return;
	if ((mdl->MdlFlags & MDL_WRITE_OPERATION) != 0)
		copy_back(mdl);
	CloseHandle(mdl->Process);
	ExFreePoolWithTag(mdl->MappedSystemVa, 'mihs');
	mdl->Process = NULL;
	mdl->MdlFlags &= ~MDL_MAPPED_TO_SYSTEM_VA;
}

static PVOID NTAPI
x_map_pages(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID at,
    ULONG bug_check, ULONG priority)
{
	(void)mode, (void)cache, (void)at, (void)bug_check;
	if ((priority & MAPPING_NO_EXECUTE) == 0)
		verifier_violation("a mapping that can be executed");
	if (mdl->MappedSystemVa == NULL)
		mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
	mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
	return mdl->MappedSystemVa;
}

/* ---- processes ------------------------------------------------------------- */

NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE, PEPROCESS *);

static PVOID volatile referenced[128];

static BOOLEAN
exchange(PVOID from, PVOID to)
{
	ULONG i;

	for (i = 0; i < RTL_NUMBER_OF(referenced); i++)
		if (InterlockedCompareExchangePointer((PVOID *)(ULONG_PTR)
		    &referenced[i], to, from) == from)
			return TRUE;
	return FALSE;
}

static NTSTATUS NTAPI
v_process(HANDLE pid, PEPROCESS *process)
{
	NTSTATUS status = PsLookupProcessByProcessId(pid, process);

	if (NT_SUCCESS(status) && exchange(NULL, *process))
		InterlockedIncrement(&processes);
	return status;
}

/* Of a process, or of something else. */
static LONG_PTR FASTCALL
v_dereference(PVOID object)
{
	if (exchange(object, NULL))
		InterlockedDecrement(&processes);
	return ObfDereferenceObject(object);
}

/* ---- device objects -------------------------------------------------------- */

static PDEVICE_OBJECT adapter_pdo;

void
verifier_set_pdo(PDEVICE_OBJECT pdo)
{
	adapter_pdo = pdo;
}

static NTSTATUS NTAPI
v_register_interface(PDEVICE_OBJECT device, const GUID *guid, PUNICODE_STRING reference,
    PUNICODE_STRING link)
{
	must_be_passive("IoRegisterDeviceInterface");
	if (device == adapter_pdo)
		return IoRegisterDeviceInterface(device, guid, reference, link);
	verifier_violation("IoRegisterDeviceInterface of what is no PDO");
	return STATUS_INVALID_DEVICE_REQUEST;
}

/* Wine's is a stub.  References are not counted in either. */
static NTSTATUS NTAPI
x_enumerate_devices(PDRIVER_OBJECT driver, PDEVICE_OBJECT *list, ULONG size,
    PULONG count)
{
	ULONG room = size / sizeof(*list), n = 0;
	PDEVICE_OBJECT d;

	must_be_passive("IoEnumerateDeviceObjectList");
	for (d = driver->DeviceObject; d != NULL; d = d->NextDevice, n++)
		if (n < room) {
			ObReferenceObject(d);
			list[n] = d;
		}
	*count = n;
	return n <= room ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}

static NTSTATUS NTAPI
built_ended(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device, (void)context;
	*irp->UserIosb = irp->IoStatus;
	return STATUS_SUCCESS;
}

/* Wine's crashes without input.  The buffer is its own copy. */
static PIRP NTAPI
x_build_ioctl(ULONG code, PDEVICE_OBJECT device, PVOID in, ULONG in_size, PVOID out,
    ULONG out_size, BOOLEAN internal, PKEVENT event, PIO_STATUS_BLOCK io)
{
	PIRP irp = shall_fail() ? NULL : IoAllocateIrp(device->StackSize, FALSE);
	PIO_STACK_LOCATION next;

	(void)in, (void)internal;
	must_be_passive("IoBuildDeviceIoControlRequest");
	if (irp == NULL)
		return NULL;
	irp->UserIosb = io;
	irp->UserEvent = event;
	irp->AssociatedIrp.SystemBuffer = out;
	next = IoGetNextIrpStackLocation(irp);
	next->MajorFunction = IRP_MJ_DEVICE_CONTROL;
	next->Parameters.DeviceIoControl.IoControlCode = code;
	next->Parameters.DeviceIoControl.InputBufferLength = in_size;
	next->Parameters.DeviceIoControl.OutputBufferLength = out_size;
	IoSetCompletionRoutine(irp, built_ended, NULL, TRUE, TRUE, TRUE);
	return irp;
}

static NTSTATUS NTAPI
x_device_property(PDEVICE_OBJECT pdo, const DEVPROPKEY *key, LCID locale, ULONG flags,
    ULONG size, PVOID data, PULONG length, DEVPROPTYPE *type)
{
	(void)key, (void)locale, (void)flags;
	if ((pdo->Flags & DO_BUS_ENUMERATED_DEVICE) == 0)
		verifier_violation("IoGetDevicePropertyData of what is no PDO");
	*type = DEVPROP_TYPE_STRING;
	return disk_instance_id(pdo, data, size, length);
}

/* ---- events of ETW are printed --------------------------------------------- */

struct event_data { ULONG64 address; ULONG size, reserved; };

static NTSTATUS NTAPI
x_etw_register(const GUID *guid, PVOID callback, PVOID context, ULONG64 *handle)
{
	(void)callback, (void)context;
	*handle = guid->Data1;
	DbgPrint("ETW: provider %08x\n", guid->Data1);
	return STATUS_SUCCESS;
}

static NTSTATUS NTAPI
x_etw_unregister(ULONG64 handle)
{
	DbgPrint("ETW: %08x unregistered\n", (ULONG)handle);
	return STATUS_SUCCESS;
}

static NTSTATUS NTAPI
x_etw_write(ULONG64 handle, const USHORT *event, const GUID *activity, ULONG n,
    const struct event_data *data)
{
	(void)activity;
	DbgPrint("ETW: %08x event %u fields %u: %s\n", (ULONG)handle, event[0], n,
	    (const char *)(ULONG_PTR)data[n - 1].address);
	return STATUS_SUCCESS;
}

static PVOID NTAPI
x_routine(PUNICODE_STRING name)
{
	if (wcscmp(name->Buffer, L"EtwRegister") == 0)
		return x_etw_register;
	if (wcscmp(name->Buffer, L"EtwUnregister") == 0)
		return x_etw_unregister;
	if (wcscmp(name->Buffer, L"EtwWrite") == 0)
		return x_etw_write;
	return NULL;
}

/* ---- time ------------------------------------------------------------------ */

/* Wine has none, and does not sleep. */
static ULONGLONG NTAPI
x_unbiased_time(void)
{
	LARGE_INTEGER hz, t = KeQueryPerformanceCounter(&hz);

	return (ULONGLONG)t.QuadPart / hz.QuadPart * 10000000 +
	    (ULONGLONG)t.QuadPart % hz.QuadPart * 10000000 / hz.QuadPart;
}

/* ---- the import table ------------------------------------------------------ */

static const struct replacement replacements[] = {
	{ "ExAllocatePoolWithTag", v_alloc },
	{ "ExFreePoolWithTag", v_free },
	{ "IoAllocateIrp", v_alloc_irp },
	{ "IoFreeIrp", v_free_irp },
	{ "IoAllocateMdl", v_alloc_mdl },
	{ "IoFreeMdl", v_free_mdl },
	{ "KeAcquireSpinLockRaiseToDpc", v_acquire },
	{ "KeReleaseSpinLock", v_release },
	{ "KeWaitForSingleObject", v_wait },
	{ "KeWaitForMultipleObjects", v_wait_many },
	{ "KeDelayExecutionThread", v_delay },
	{ "KeBugCheckEx", v_bug_check },
	{ "PsCreateSystemThread", v_thread },
	{ "PsLookupProcessByProcessId", v_process },
	{ "ObfDereferenceObject", v_dereference },
	{ "ObReferenceObjectByHandle", v_reference },
	{ "ZwOpenKey", v_open_key },
	{ "IoRegisterDeviceInterface", v_register_interface },
	{ "IoEnumerateDeviceObjectList", x_enumerate_devices },
	{ "IoGetDevicePropertyData", x_device_property },
	{ "IoBuildDeviceIoControlRequest", x_build_ioctl },
	{ "MmBuildMdlForNonPagedPool", x_build_mdl },
	{ "MmProbeAndLockPages", x_lock_pages },
	{ "MmUnlockPages", x_unlock_pages },
	{ "MmMapLockedPagesSpecifyCache", x_map_pages },
	{ "MmGetSystemRoutineAddress", x_routine },
	{ "KeQueryUnbiasedInterruptTime", x_unbiased_time },
	{ NULL, NULL }
};

struct import {
	ULONG	names, time, chain, dll, addresses;
};

static struct import *
imports(UCHAR *module)
{
	ULONG pe = *(ULONG *)(module + 0x3c);
	ULONG rva = *(ULONG *)(module + pe + 24 + 112 + 8);

	if (*(USHORT *)(module + pe + 24) != 0x20b || rva == 0)
		return NULL;
	return (struct import *)(module + rva);
}

static void *
find(const struct replacement *r, const char *name)
{
	for (; r->name != NULL; r++)
		if (strcmp(r->name, name) == 0)
			return r->function;
	return NULL;
}

static void
patch(UCHAR *module, const struct import *i)
{
	ULONG64 *name = (ULONG64 *)(module + i->names);
	PVOID *address = (PVOID *)(module + i->addresses), function;
	ULONG old;

	for (; *name != 0; name++, address++) {
		if ((*name >> 63) != 0)
			continue;
		function = find(replacements, (char *)module + (ULONG)*name + 2);
		if (function == NULL)
			function = find(wsk_replacements,
			    (char *)module + (ULONG)*name + 2);
		if (function == NULL)
			continue;
		VirtualProtect(address, sizeof(*address), 4, &old);
		*address = function;
		VirtualProtect(address, sizeof(*address), old, &old);
	}
}

BOOLEAN
verifier_patch(UCHAR *module)
{
	struct import *first = imports(module), *i;

	for (i = first; i != NULL && i->dll != 0; i++)
		if (_stricmp((char *)module + i->dll, "storport.sys") == 0)
			break;
	if (i == NULL || i->dll == 0)
		return FALSE;
	for (i = first; i->dll != 0; i++)
		patch(module, i);
	return TRUE;
}

void
verifier_init(void)
{
	irql_slot = TlsAlloc();
}
