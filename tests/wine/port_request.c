/*
 * port_request.c - SRBs: made, given to the miniport, timed, completed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As Storport and the class driver do: HwStartIo at DISPATCH_LEVEL; a request that is
 * not completed in time leads to a reset of the logical unit; what was aborted is
 * tried again.  A completion that comes twice, or for a request that the miniport
 * does not have, is a violation.
 */
#include "port_request.h"

#include "verifier.h"

#define TAG		'rotS'
#define TRIES		8

__declspec(dllimport) int NTAPI WriteProcessMemory(HANDLE, PVOID, PVOID, SIZE_T,
    SIZE_T *);
__declspec(dllimport) int NTAPI CloseHandle(HANDLE);

struct request *
request_new(struct adapter *a, UCHAR target, const UCHAR *cdb, UCHAR cdb_length,
    PVOID data, ULONG length, ULONG flags)
{
	ULONG extension = a->driver->hw.SrbExtensionSize;
	struct request *r = ExAllocatePoolWithTag(NonPagedPool,
	    sizeof(*r) + 16 + extension, TAG);

	RtlZeroMemory(r, sizeof(*r));
	/* What was in the extension before is the miniport's surprise. */
	RtlFillMemory(r + 1, 16 + extension, 0xa5);
	r->adapter = a;
	r->length = length;
	r->srb.Length = sizeof(r->srb);
	r->srb.Function = SRB_FUNCTION_EXECUTE_SCSI;
	r->srb.TargetId = target;
	r->srb.CdbLength = cdb_length;
	RtlCopyMemory(r->srb.Cdb, cdb, cdb_length);
	r->srb.SrbFlags = flags;
	r->srb.DataBuffer = data;
	r->srb.TimeOutValue = a->srb_timeout_s;
	r->srb.SrbExtension =
	    (PVOID)(((ULONG_PTR)(r + 1) + 15) & ~(ULONG_PTR)15);
	r->srb.OriginalRequest = r;
	return r;
}

void
request_free(struct request *r)
{
	if (r->bounce != NULL)
		ExFreePoolWithTag(r->bounce, TAG);
	if (r->process != NULL)
		CloseHandle(r->process);
	ExFreePoolWithTag(r, TAG);
}

void
request_issue(struct request *r)
{
	struct adapter *a = r->adapter;
	KIRQL irql;
	ULONG old;
	LONG n;

	r->srb.SrbStatus = SRB_STATUS_PENDING;
	r->srb.DataTransferLength = r->length;
	if (r->srb.Function == SRB_FUNCTION_EXECUTE_SCSI) {
		r->srb.SenseInfoBuffer = r->sense;
		r->srb.SenseInfoBufferLength = sizeof(r->sense);
	}
	r->resetting = FALSE;
	KeQuerySystemTime(&r->started);
	n = InterlockedIncrement(&a->outstanding);
	if (n > a->max_outstanding)
		a->max_outstanding = n;
	KeAcquireSpinLock(&a->lock, &irql);
	r->state = 1;
	InsertTailList(&a->requests, &r->link);
	KeReleaseSpinLock(&a->lock, irql);
	old = verifier_set_irql(DISPATCH_LEVEL);
	a->driver->hw.HwStartIo(a->ext, &r->srb);
	verifier_set_irql(old);
}

/* ---- the end --------------------------------------------------------------- */

static NTSTATUS
status_of(const struct request *r)
{
	switch (SRB_STATUS(r->srb.SrbStatus)) {
	case SRB_STATUS_SUCCESS:
	case SRB_STATUS_DATA_OVERRUN:
		return STATUS_SUCCESS;
	case SRB_STATUS_NO_DEVICE:
		return STATUS_NO_SUCH_DEVICE;
	case SRB_STATUS_BUSY:
		return STATUS_DEVICE_BUSY;
	case SRB_STATUS_ABORTED:
		return STATUS_IO_TIMEOUT;
	default:
		break;
	}
	if ((r->sense[2] & 0x0f) == 7)
		return STATUS_MEDIA_WRITE_PROTECTED;
	return STATUS_IO_DEVICE_ERROR;
}

static BOOLEAN
wants_retry(const struct request *r)
{
	UCHAR status = SRB_STATUS(r->srb.SrbStatus);

	if (r->adapter->stop || r->tries >= TRIES || (r->kind != KIND_READ_WRITE &&
	    r->kind != KIND_FLUSH))
		return FALSE;
	return status == SRB_STATUS_ABORTED || status == SRB_STATUS_BUSY ||
	    (status == SRB_STATUS_ERROR && (r->sense[2] & 0x0f) == 6);
}

static void
give_back_pass(struct request *r)
{
	PIRP irp = r->irp;
	SCSI_PASS_THROUGH *p = irp->AssociatedIrp.SystemBuffer;
	ULONG room = IoGetCurrentIrpStackLocation(irp)->
	    Parameters.DeviceIoControl.OutputBufferLength;
	ULONG n = r->srb.DataTransferLength, length = sizeof(*p), sense;
	SIZE_T written;

	p->ScsiStatus = r->srb.ScsiStatus;
	p->DataTransferLength = n;
	sense = r->kind == KIND_PASS ? p->SenseInfoOffset :
	    ((SCSI_PASS_THROUGH_DIRECT *)p)->SenseInfoOffset;
	if (p->SenseInfoLength > 0 && p->SenseInfoLength <= sizeof(r->sense) &&
	    sense + p->SenseInfoLength <= room) {
		RtlCopyMemory((UCHAR *)p + sense, r->sense, p->SenseInfoLength);
		length = sense + p->SenseInfoLength;
	}
	if (p->DataIn == SCSI_IOCTL_DATA_IN && r->kind == KIND_PASS &&
	    p->DataBufferOffset + n <= room) {
		RtlCopyMemory((UCHAR *)p + p->DataBufferOffset, r->bounce, n);
		length = (ULONG)p->DataBufferOffset + n;
	} else if (p->DataIn == SCSI_IOCTL_DATA_IN && n > 0) {
		WriteProcessMemory(r->process, r->user, r->bounce, n, &written);
	}
	irp->IoStatus.Information = length < room ? length : room;
}

static void
give_back(struct request *r)
{
	PIRP irp = r->irp;
	NTSTATUS status = status_of(r);
	ULONG old;

	irp->IoStatus.Information = 0;
	if (r->kind == KIND_READ_WRITE && NT_SUCCESS(status)) {
		irp->IoStatus.Information = r->srb.DataTransferLength;
	} else if (r->kind == KIND_PASS || r->kind == KIND_PASS_DIRECT) {
		give_back_pass(r);
		if (status == STATUS_IO_DEVICE_ERROR ||
		    status == STATUS_MEDIA_WRITE_PROTECTED)
			status = STATUS_SUCCESS;	/* the sense data tells */
	}
	request_free(r);
	irp->IoStatus.Status = status;
	old = verifier_set_irql(PASSIVE_LEVEL);
	IoCompleteRequest(irp, IO_DISK_INCREMENT);
	verifier_set_irql(old);
}

void
request_completed(struct adapter *a, PSCSI_REQUEST_BLOCK srb)
{
	struct request *r = CONTAINING_RECORD(srb, struct request, srb);
	BOOLEAN retry;
	KIRQL irql;
	LONG state;

	KeAcquireSpinLock(&a->lock, &irql);
	state = r->state;
	r->state = 0;
	if (state == 1)
		RemoveEntryList(&r->link);
	retry = state == 1 && wants_retry(r);
	if (retry)
		InsertTailList(&a->retries, &r->link);
	KeReleaseSpinLock(&a->lock, irql);
	if (state != 1) {
		verifier_violation("SRB %p is completed twice", srb);
		return;
	}
	if (srb->DataTransferLength > r->length)
		verifier_violation("SRB %p: more data than asked for", srb);
	if (SRB_STATUS(srb->SrbStatus) == SRB_STATUS_DATA_OVERRUN &&
	    (srb->SrbFlags & SRB_FLAGS_DATA_IN) == 0)
		verifier_violation("SRB %p: an underrun of data that was sent", srb);
	if (srb->SrbStatus == SRB_STATUS_PENDING)
		verifier_violation("SRB %p: completed as pending", srb);
	InterlockedDecrement(&a->outstanding);
	if (retry)
		return;
	if (r->kind == KIND_INTERNAL)
		KeSetEvent(r->event, 0, FALSE);
	else
		give_back(r);
}

UCHAR
request_run(struct request *r)
{
	KEVENT event;
	UCHAR status;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	r->kind = KIND_INTERNAL;
	r->event = &event;
	request_issue(r);
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	status = SRB_STATUS(r->srb.SrbStatus);
	return status;
}

/* ---- time ------------------------------------------------------------------ */

/* The first request that is over its time: its target; or -1. */
static int
find_late(struct adapter *a)
{
	LARGE_INTEGER now;
	LIST_ENTRY *e;
	int target = -1;
	KIRQL irql;

	KeQuerySystemTime(&now);
	KeAcquireSpinLock(&a->lock, &irql);
	for (e = a->requests.Flink; e != &a->requests && target < 0; e = e->Flink) {
		struct request *r = CONTAINING_RECORD(e, struct request, link);

		if (r->srb.Function != SRB_FUNCTION_EXECUTE_SCSI || r->resetting ||
		    now.QuadPart - r->started.QuadPart <
		    (LONGLONG)r->srb.TimeOutValue * 10000000)
			continue;
		target = r->srb.TargetId;
	}
	for (e = a->requests.Flink; e != &a->requests; e = e->Flink) {
		struct request *r = CONTAINING_RECORD(e, struct request, link);

		if (r->srb.TargetId == target)
			r->resetting = TRUE;
	}
	KeReleaseSpinLock(&a->lock, irql);
	return target;
}

static void
reset(struct adapter *a, int target)
{
	struct request *r = request_new(a, (UCHAR)target, NULL, 0, NULL, 0, 0);

	InterlockedIncrement(&a->resets);
	r->srb.Function = SRB_FUNCTION_RESET_LOGICAL_UNIT;
	DbgPrint("storport: reset of target %d: status %u\n", target, request_run(r));
	request_free(r);
}

static void
retry(struct adapter *a)
{
	LIST_ENTRY *e;
	KIRQL irql;

	do {
		KeAcquireSpinLock(&a->lock, &irql);
		e = IsListEmpty(&a->retries) ? NULL : RemoveHeadList(&a->retries);
		KeReleaseSpinLock(&a->lock, irql);
		if (e != NULL) {
			struct request *r = CONTAINING_RECORD(e, struct request, link);

			r->tries++;
			InterlockedIncrement(&a->retried);
			request_issue(r);
		}
	} while (e != NULL);
}

VOID NTAPI
request_clock(PVOID arg)
{
	struct adapter *a = arg;
	LARGE_INTEGER tick = { .QuadPart = -500000 };	/* 50 ms */
	int target;

	while (!a->stop || !IsListEmpty(&a->retries)) {
		KeDelayExecutionThread(KernelMode, FALSE, &tick);
		retry(a);
		target = find_late(a);
		if (target >= 0)
			reset(a, target);
	}
	PsTerminateSystemThread(STATUS_SUCCESS);
}
