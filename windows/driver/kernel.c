/*
 * kernel.c - memory, threads and time.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * ExAllocatePoolWithTag and not its successors, which Windows 10 1809 does not
 * export.
 */
#include "kernel.h"

#include "log.h"

#define TAG	0x64626e57	/* "Wnbd" */
#define HOUR_S	3600

#ifndef STATUS_ASSERTION_FAILURE	/* ntstatus.h */
#define STATUS_ASSERTION_FAILURE ((NTSTATUS)0xc0000420)
#endif

/* ntifs.h has it, which ends ntddk.h's use. */
NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE, BOOLEAN, LARGE_INTEGER *);

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

/* A new thread waits in front of it until its starter holds the thread. */
struct gate {
	void	(*run)(void *);		/* NULL: it shall not run */
	void	*arg;
	KEVENT	 open;
};

static void NTAPI
thread_main(void *arg)
{
	struct gate *gate = arg, g;

	KeWaitForSingleObject(&gate->open, Executive, KernelMode, FALSE, NULL);
	g = *gate;
	mem_free(gate);
	if (g.run != NULL)
		g.run(g.arg);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

/* The kernel exports a variable.  To the WDK its name is the import's slot, to
 * mingw-w64, which declares it as imported, the variable. */
static POBJECT_TYPE
thread_type(void)
{
#ifdef __MINGW32__
	return (POBJECT_TYPE)PsThreadType;
#else
	return *PsThreadType;
#endif
}

/*
 * OBJ_KERNEL_HANDLE, for the caller may be in a process's context, where the handle
 * would be that process's to close (PsCreateSystemThread; Driver Verifier stops with
 * 0xC4, 0xF6 for such a handle that the kernel uses).
 */
NTSTATUS
thread_start(void (*run)(void *), void *arg, void **thread)
{
	struct gate *gate = mem_alloc(sizeof(*gate));
	OBJECT_ATTRIBUTES attributes;
	NTSTATUS status;
	HANDLE h;

	if (gate == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	gate->arg = arg;
	KeInitializeEvent(&gate->open, NotificationEvent, FALSE);
	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	status = PsCreateSystemThread(&h, THREAD_ALL_ACCESS, &attributes, NULL, NULL,
	    thread_main, gate);
	if (!NT_SUCCESS(status)) {
		mem_free(gate);
		return status;
	}
	status = ObReferenceObjectByHandle(h, THREAD_ALL_ACCESS, thread_type(),
	    KernelMode, thread, NULL);
	/* Page-outs wait for our threads; no program may starve them. */
	if (NT_SUCCESS(status))
		KeSetPriorityThread(*thread, LOW_REALTIME_PRIORITY);
	gate->run = NT_SUCCESS(status) ? run : NULL;
	KeSetEvent(&gate->open, IO_NO_INCREMENT, FALSE);
	if (!NT_SUCCESS(status))
		ZwWaitForSingleObject(h, FALSE, NULL);
	ZwClose(h);
	return status;
}

void
thread_join(void *thread)
{
	KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(thread);
}

/* Unbiased: while the machine sleeps it stands still, and no time-out goes on. */
nbe_time
time_now(void)
{
	return KeQueryUnbiasedInterruptTime() * 100;
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

void
wnbd_stop(const char *what, const char *file, int line)
{
	DbgPrint("wnbd: assertion failed: %s, %s:%d\n", what, file, line);
	KeBugCheckEx(0xdead0bdu, (ULONG_PTR)what, (ULONG_PTR)file, (ULONG_PTR)line,
	    0);
}

#ifndef NDEBUG
void
wnbd_assert_failed(const char *what, const char *file, int line)
{
	log_error("assertion failed: %s, %s:%d", what, file, line);
	ExRaiseStatus(STATUS_ASSERTION_FAILURE);
}
#endif
