/*
 * nt.c - NT's own calls, for a program that has neither Win32 nor a C library.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nt.h"

#include <wchar.h>

#define POOL_TAGS	22		/* SystemPoolTagInformation */
#define POWER_OFF	2
#define PROGRAM		L"\\SystemRoot\\system32\\nt_test.exe"

/* What winternl.h does not declare. */
NTSTATUS NTAPI NtReadFile(HANDLE, HANDLE, PIO_APC_ROUTINE, PVOID, PIO_STATUS_BLOCK,
    PVOID, ULONG, PLARGE_INTEGER, PULONG);
NTSTATUS NTAPI NtWriteFile(HANDLE, HANDLE, PIO_APC_ROUTINE, PVOID, PIO_STATUS_BLOCK,
    PVOID, ULONG, PLARGE_INTEGER, PULONG);
NTSTATUS NTAPI NtFlushBuffersFile(HANDLE, PIO_STATUS_BLOCK);
NTSTATUS NTAPI NtQueryInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG,
    FILE_INFORMATION_CLASS);
NTSTATUS NTAPI NtFsControlFile(HANDLE, HANDLE, PIO_APC_ROUTINE, PVOID,
    PIO_STATUS_BLOCK, ULONG, PVOID, ULONG, PVOID, ULONG);
NTSTATUS NTAPI NtDeleteFile(POBJECT_ATTRIBUTES);
NTSTATUS NTAPI NtCreateEvent(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, ULONG, BOOLEAN);
NTSTATUS NTAPI NtDelayExecution(BOOLEAN, PLARGE_INTEGER);
NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER);
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE, PVOID *, ULONG_PTR, PSIZE_T, ULONG,
    ULONG);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE, PVOID *, PSIZE_T, ULONG, PULONG);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE, PVOID *, PSIZE_T, ULONG);
NTSTATUS NTAPI NtTerminateProcess(HANDLE, NTSTATUS);
NTSTATUS NTAPI NtTerminateThread(HANDLE, NTSTATUS);
NTSTATUS NTAPI NtResumeThread(HANDLE, PULONG);
NTSTATUS NTAPI NtShutdownSystem(ULONG);
NTSTATUS NTAPI RtlAdjustPrivilege(ULONG, BOOLEAN, BOOLEAN, PBOOLEAN);
NTSTATUS NTAPI RtlCreateUserThread(HANDLE, PSECURITY_DESCRIPTOR, BOOLEAN, ULONG, SIZE_T,
    SIZE_T, PVOID, PVOID, PHANDLE, CLIENT_ID *);
NTSTATUS NTAPI RtlCreateProcessParameters(PVOID *, PUNICODE_STRING, PUNICODE_STRING,
    PUNICODE_STRING, PUNICODE_STRING, PVOID, PUNICODE_STRING, PUNICODE_STRING,
    PUNICODE_STRING, PUNICODE_STRING);
struct process_information {
	ULONG	size;
	HANDLE	process, thread;
	CLIENT_ID id;
	UCHAR	image[64];		/* SECTION_IMAGE_INFORMATION */
};
NTSTATUS NTAPI RtlCreateUserProcess(PUNICODE_STRING, ULONG, PVOID, PSECURITY_DESCRIPTOR,
    PSECURITY_DESCRIPTOR, HANDLE, BOOLEAN, HANDLE, HANDLE,
    struct process_information *);

/* ---- operations ------------------------------------------------------------ */

NTSTATUS
nt_open(HANDLE *h, const WCHAR *name)
{
	OBJECT_ATTRIBUTES attributes;
	IO_STATUS_BLOCK io;
	UNICODE_STRING s;

	RtlInitUnicodeString(&s, name);
	InitializeObjectAttributes(&attributes, &s, OBJ_CASE_INSENSITIVE, NULL, NULL);
	return NtOpenFile(h, GENERIC_READ | GENERIC_WRITE, &attributes, &io,
	    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, 0);
}

NTSTATUS
nt_io_init(struct nt_io *o)
{
	return NtCreateEvent(&o->event, EVENT_ALL_ACCESS, NULL, 0, FALSE);
}

void
nt_io_free(struct nt_io *o)
{
	NtClose(o->event);
}

NTSTATUS
nt_io_ioctl(struct nt_io *o, HANDLE h, ULONG code, void *in, ULONG in_len, void *out,
    ULONG out_len)
{
	NTSTATUS status;

	o->status.Status = STATUS_PENDING;
	o->status.Information = 0;
	status = NtDeviceIoControlFile(h, o->event, NULL, NULL, &o->status, code, in,
	    in_len, out, out_len);
	if (NT_ERROR(status))
		o->status.Status = status;
	return status;
}

NTSTATUS
nt_io_move(struct nt_io *o, HANDLE h, bool write, uint64_t offset, void *p, ULONG len)
{
	LARGE_INTEGER at = { .QuadPart = (LONGLONG)offset };
	NTSTATUS status;

	o->status.Status = STATUS_PENDING;
	o->status.Information = 0;
	status = (write ? NtWriteFile : NtReadFile)(h, o->event, NULL, NULL,
	    &o->status, p, len, &at, NULL);
	if (NT_ERROR(status))
		o->status.Status = status;
	return status;
}

NTSTATUS
nt_end(struct nt_io *o, unsigned ms)
{
	if (o->status.Status == STATUS_PENDING &&
	    nt_wait(o->event, ms) == STATUS_TIMEOUT)
		return STATUS_TIMEOUT;
	return o->status.Status;
}

NTSTATUS
nt_ioctl(HANDLE h, ULONG code, void *in, ULONG in_len, void *out, ULONG out_len,
    ULONG_PTR *information)
{
	struct nt_io o;
	NTSTATUS status = nt_io_init(&o);

	if (!NT_SUCCESS(status))
		return status;
	nt_io_ioctl(&o, h, code, in, in_len, out, out_len);
	do
		status = nt_end(&o, LONG_MS);
	while (status == STATUS_TIMEOUT);
	if (information != NULL)
		*information = o.status.Information;
	nt_io_free(&o);
	return status;
}

static NTSTATUS
move(HANDLE h, bool write, uint64_t offset, void *p, ULONG len)
{
	struct nt_io o;
	NTSTATUS status = nt_io_init(&o);

	if (!NT_SUCCESS(status))
		return status;
	nt_io_move(&o, h, write, offset, p, len);
	status = nt_end(&o, LONG_MS);
	nt_io_free(&o);
	if (NT_SUCCESS(status) && o.status.Information != len)
		return STATUS_END_OF_FILE;
	return status;
}

NTSTATUS
nt_read(HANDLE h, uint64_t offset, void *p, ULONG len)
{
	return move(h, false, offset, p, len);
}

NTSTATUS
nt_write(HANDLE h, uint64_t offset, const void *p, ULONG len)
{
	return move(h, true, offset, (void *)(uintptr_t)p, len);
}

NTSTATUS
nt_flush(HANDLE h)
{
	IO_STATUS_BLOCK io;
	NTSTATUS status = NtFlushBuffersFile(h, &io);

	if (status == STATUS_PENDING) {
		nt_wait(h, LONG_MS);
		status = io.Status;
	}
	return status;
}

/* ---- files ----------------------------------------------------------------- */

NTSTATUS
nt_file(HANDLE *h, const WCHAR *name, bool make)
{
	OBJECT_ATTRIBUTES attributes;
	IO_STATUS_BLOCK io;
	UNICODE_STRING s;

	RtlInitUnicodeString(&s, name);
	InitializeObjectAttributes(&attributes, &s, OBJ_CASE_INSENSITIVE, NULL, NULL);
	return NtCreateFile(h, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes,
	    &io, NULL, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ,
	    make ? FILE_OVERWRITE_IF : FILE_OPEN,
	    FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, NULL, 0);
}

NTSTATUS
nt_delete(const WCHAR *name)
{
	OBJECT_ATTRIBUTES attributes;
	UNICODE_STRING s;

	RtlInitUnicodeString(&s, name);
	InitializeObjectAttributes(&attributes, &s, OBJ_CASE_INSENSITIVE, NULL, NULL);
	return NtDeleteFile(&attributes);
}

NTSTATUS
nt_fsctl(HANDLE h, ULONG code)
{
	IO_STATUS_BLOCK io;

	return NtFsControlFile(h, NULL, NULL, NULL, &io, code, NULL, 0, NULL, 0);
}

uint64_t
nt_size(HANDLE h)
{
	struct {			/* FILE_STANDARD_INFORMATION */
		LARGE_INTEGER allocated, end;
		ULONG	links;
		BOOLEAN	delete_pending, directory;
	} info;
	IO_STATUS_BLOCK io;

	if (!NT_SUCCESS(NtQueryInformationFile(h, &io, &info, sizeof(info), 5)))
		return 0;
	return (uint64_t)info.end.QuadPart;
}

/* ---- threads, processes, time ---------------------------------------------- */

struct start {
	thread_main *run;
	void	*arg;
};

static ULONG NTAPI
thread_start(void *arg)
{
	struct start s = *(struct start *)arg;

	s.run(s.arg);
	NtTerminateThread((HANDLE)(LONG_PTR)-2, STATUS_SUCCESS);
	return 0;
}

HANDLE
nt_thread(thread_main *run, void *arg)
{
	struct start *s = nt_pages(sizeof(*s));
	HANDLE h = NULL;

	s->run = run;
	s->arg = arg;
	if (!NT_SUCCESS(RtlCreateUserThread((HANDLE)(LONG_PTR)-1, NULL, FALSE, 0, 0, 0,
	    (PVOID)(uintptr_t)thread_start, s, &h, NULL)))
		return NULL;
	return h;
}

NTSTATUS
nt_wait(HANDLE h, unsigned ms)
{
	LARGE_INTEGER t = { .QuadPart = -(LONGLONG)ms * 10000 };

	return NtWaitForSingleObject(h, FALSE, &t);
}

void
nt_sleep(unsigned ms)
{
	LARGE_INTEGER t = { .QuadPart = -(LONGLONG)ms * 10000 };

	NtDelayExecution(FALSE, &t);
}

uint64_t
nt_now_ms(void)
{
	LARGE_INTEGER t;

	NtQuerySystemTime(&t);
	return (uint64_t)t.QuadPart / 10000;
}

void *
nt_pages(SIZE_T size)
{
	void *p = NULL;

	if (!NT_SUCCESS(NtAllocateVirtualMemory((HANDLE)(LONG_PTR)-1, &p, 0, &size,
	    MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE)))
		return NULL;
	return p;
}

void
nt_protect(void *p, SIZE_T size, ULONG protection)
{
	ULONG old;

	NtProtectVirtualMemory((HANDLE)(LONG_PTR)-1, &p, &size, protection, &old);
}

void
nt_free_page(void *p)
{
	SIZE_T size = 4096;

	NtFreeVirtualMemory((HANDLE)(LONG_PTR)-1, &p, &size, MEM_DECOMMIT);
}

NTSTATUS
nt_child(const WCHAR *argument, HANDLE *process)
{
	struct process_information info = { .size = sizeof(info) };
	UNICODE_STRING image, line;
	PVOID parameters;
	NTSTATUS status;

	RtlInitUnicodeString(&image, PROGRAM);
	RtlInitUnicodeString(&line, argument);
	status = RtlCreateProcessParameters(&parameters, &image, NULL, NULL, &line,
	    NULL, NULL, NULL, NULL, NULL);
	if (!NT_SUCCESS(status))
		return status;
	status = RtlCreateUserProcess(&image, OBJ_CASE_INSENSITIVE, parameters, NULL,
	    NULL, NULL, FALSE, NULL, NULL, &info);
	if (!NT_SUCCESS(status))
		return status;
	NtResumeThread(info.thread, NULL);
	NtClose(info.thread);
	*process = info.process;
	return STATUS_SUCCESS;
}

void
nt_kill(HANDLE process)
{
	NtTerminateProcess(process, STATUS_CANCELLED);
	nt_wait(process, LONG_MS);
	NtClose(process);
}

/* ---- the system ------------------------------------------------------------ */

int64_t
nt_pool(const char tag[4])
{
	struct tag {			/* SYSTEM_POOLTAG */
		UCHAR	name[4];
		ULONG	paged_allocs, paged_frees;
		SIZE_T	paged;
		ULONG	allocs, frees;
		SIZE_T	bytes;
	} *t;
	static ULONG *list;		/* a count, then these */
	const ULONG size = 1 << 20;
	ULONG i;

	if (list == NULL)
		list = nt_pages(size);
	if (list == NULL || !NT_SUCCESS(NtQuerySystemInformation(POOL_TAGS, list, size,
	    NULL)))
		return -1;
	t = (void *)((UCHAR *)list + sizeof(void *));
	for (i = 0; i < list[0]; i++)
		if (memcmp(t[i].name, tag, 4) == 0)
			return (int64_t)(t[i].paged + t[i].bytes);
	return 0;
}

void
nt_power_off(void)
{
	BOOLEAN old;

	RtlAdjustPrivilege(19, TRUE, FALSE, &old);	/* SE_SHUTDOWN_PRIVILEGE */
	NtShutdownSystem(POWER_OFF);
}
