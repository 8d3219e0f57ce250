/*
 * kernel.c - memory, threads and time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * ExAllocatePoolWithTag and not its successors, which Windows 10 1809 does not
 * export.
 */
#include "kernel.h"

#define TAG	0x64626e57	/* "Wnbd" */
#define HOUR_S	3600

void *
mem_alloc(size_t size)
{
	void *p = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG);

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

void
mem_free(void *p)
{
	if (p != NULL)
		ExFreePoolWithTag(p, TAG);
}

NTSTATUS
thread_start(KSTART_ROUTINE *run, void *arg, void **thread)
{
	HANDLE h;
	NTSTATUS status;

	status = PsCreateSystemThread(&h, THREAD_ALL_ACCESS, NULL, NULL, NULL, run,
	    arg);
	if (!NT_SUCCESS(status))
		return status;
	/* It cannot fail: the handle is ours and has all access. */
	status = ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, NULL, KernelMode,
	    thread, NULL);
	NBE_ASSERT(NT_SUCCESS(status));
	ZwClose(h);
	return STATUS_SUCCESS;
}

void
thread_join(void *thread)
{
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(thread);
}

nbe_time
time_now(void)
{
	LARGE_INTEGER hz, t = KeQueryPerformanceCounter(&hz);
	uint64_t seconds = (uint64_t)t.QuadPart / (uint64_t)hz.QuadPart;
	uint64_t rest = (uint64_t)t.QuadPart % (uint64_t)hz.QuadPart;

	return seconds * NBE_SECOND + rest * NBE_SECOND / (uint64_t)hz.QuadPart;
}

LARGE_INTEGER
time_left(nbe_time now, nbe_time until)
{
	LARGE_INTEGER t;
	uint64_t ns = until > now ? until - now : 0;

	if (ns > HOUR_S * NBE_SECOND)
		ns = HOUR_S * NBE_SECOND;
	/* Rounded up: a wait that ends too early would be repeated at once. */
	t.QuadPart = -(int64_t)((ns + 99) / 100);
	return t;
}

#ifndef NDEBUG
void
wnbd_assert_failed(const char *what, const char *file, int line)
{
	DbgPrint("wnbd: assertion failed: %s, %s:%d\n", what, file, line);
	KeBugCheckEx(0xdead0bdu, (ULONG_PTR)what, (ULONG_PTR)file, (ULONG_PTR)line,
	    0);
}
#endif
