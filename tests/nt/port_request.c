/*
 * port_request.c - SRBs: given to the miniport, timed, completed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * HwStartIo is called at DISPATCH_LEVEL.  The end is told to the class driver by a DPC,
 * so never from within a call of the miniport's.  A request that takes too long leads
 * to a reset of the logical unit.
 */
#include "port.h"

/* In front of the SRB extension. */
#define ROOM	(((sizeof(struct request) + 15) & ~(SIZE_T)15) + 16)

static struct request *
request_new(struct adapter *a, PSCSI_REQUEST_BLOCK srb, PIRP irp)
{
	struct request *r = ExAllocatePoolWithTag(NonPagedPool,
	    ROOM + hw.SrbExtensionSize, TAG);

	if (r == NULL)
		return NULL;
	/* What was in the extension before is the miniport's surprise. */
	RtlFillMemory(r, ROOM + hw.SrbExtensionSize, 0xa5);
	RtlZeroMemory(r, sizeof(*r));
	r->adapter = a;
	r->srb = srb;
	r->irp = irp;
	r->data = srb->DataBuffer;
	r->length = srb->DataTransferLength;
	r->extension = srb->SrbExtension;
	r->original = srb->OriginalRequest;
	srb->SrbExtension = (UCHAR *)r + ROOM;
	return r;
}

/* Where the SRB's data is for everybody. */
static PVOID
address_of(const struct request *r)
{
	PMDL mdl = r->irp != NULL ? r->irp->MdlAddress : NULL;
	UCHAR *start;

	if (mdl == NULL)
		return r->data;
	start = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	if (start == NULL)
		return NULL;
	return start + ((UCHAR *)r->data - (UCHAR *)MmGetMdlVirtualAddress(mdl));
}

/*
 * STOR_MAP_NON_READ_WRITE_BUFFERS: what is neither read nor write finds its data in
 * DataBuffer; a read or write asks StorPortGetSystemAddress.  What is in DataBuffer
 * then is of no use, and here it is an address where nothing is.
 */
static BOOLEAN
map(struct request *r)
{
	UCHAR op = r->srb->Cdb[0];
	BOOLEAN read_write = r->srb->Function == SRB_FUNCTION_EXECUTE_SCSI &&
	    (op == 0x08 || op == 0x0a || op == 0x28 || op == 0x2a || op == 0x88 ||
	    op == 0x8a || op == 0xa8 || op == 0xaa);

	if (r->data == NULL)
		return TRUE;
	r->srb->DataBuffer = read_write && r->irp != NULL ? (PVOID)(ULONG_PTR)0x10 :
	    address_of(r);
	return r->srb->DataBuffer != NULL;
}

static void
issue(struct request *r)
{
	struct adapter *a = r->adapter;
	KIRQL irql;

	r->srb->SrbStatus = SRB_STATUS_PENDING;
	KeQuerySystemTime(&r->started);
	r->timeout_s = a->srb_timeout_s != 0 ? a->srb_timeout_s :
	    r->srb->TimeOutValue;
	KeAcquireSpinLock(&a->lock, &irql);
	InsertTailList(&a->requests, &r->link);
	if (++a->outstanding > a->max_outstanding)
		a->max_outstanding = a->outstanding;
	KeReleaseSpinLock(&a->lock, irql);
	KeRaiseIrql(DISPATCH_LEVEL, &irql);
	hw.HwStartIo(a->ext, r->srb);
	if (KeGetCurrentIrql() != DISPATCH_LEVEL)
		violation("HwStartIo returned at IRQL %u", KeGetCurrentIrql());
	KeLowerIrql(irql);
}

NTSTATUS
request_start(struct disk *d, PIRP irp, PSCSI_REQUEST_BLOCK srb)
{
	struct request *r;

	srb->PathId = 0;
	srb->TargetId = d->target;
	srb->Lun = 0;
	r = request_new(d->adapter, srb, irp);
	if (r == NULL || !map(r)) {
		if (r != NULL) {
			srb->SrbExtension = r->extension;
			srb->DataBuffer = r->data;
			ExFreePoolWithTag(r, TAG);
		}
		srb->SrbStatus = SRB_STATUS_INTERNAL_ERROR;
		return done(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	}
	IoMarkIrpPending(irp);
	issue(r);
	return STATUS_PENDING;
}

UCHAR
request_run(struct adapter *a, PSCSI_REQUEST_BLOCK srb)
{
	struct request *r = request_new(a, srb, NULL);
	KEVENT event;

	if (r == NULL)
		return SRB_STATUS_INTERNAL_ERROR;
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	r->event = &event;
	issue(r);
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	return SRB_STATUS(srb->SrbStatus);
}

UCHAR
request_cdb(struct adapter *a, UCHAR target, const UCHAR *cdb, UCHAR cdb_length,
    PVOID data, ULONG length)
{
	SCSI_REQUEST_BLOCK srb = {
		.Length = sizeof(srb), .Function = SRB_FUNCTION_EXECUTE_SCSI,
		.TargetId = target, .CdbLength = cdb_length, .DataBuffer = data,
		.DataTransferLength = length, .SrbFlags = SRB_FLAGS_DATA_IN,
		.TimeOutValue = 30,
	};

	RtlCopyMemory(srb.Cdb, cdb, cdb_length);
	return request_run(a, &srb);
}

/* ---- the end --------------------------------------------------------------- */

static NTSTATUS
status_of(PSCSI_REQUEST_BLOCK srb)
{
	switch (SRB_STATUS(srb->SrbStatus)) {
	case SRB_STATUS_SUCCESS:
		return STATUS_SUCCESS;
	case SRB_STATUS_DATA_OVERRUN:
		return STATUS_BUFFER_OVERFLOW;
	case SRB_STATUS_NO_DEVICE:
		return STATUS_NO_SUCH_DEVICE;
	case SRB_STATUS_BUSY:
		return STATUS_DEVICE_BUSY;
	case SRB_STATUS_INVALID_REQUEST:
		return STATUS_INVALID_DEVICE_REQUEST;
	default:
		return STATUS_IO_DEVICE_ERROR;
	}
}

static void
finish(struct request *r)
{
	PSCSI_REQUEST_BLOCK srb = r->srb;
	PIRP irp = r->irp;
	KEVENT *event = r->event;

	srb->SrbExtension = r->extension;
	srb->DataBuffer = r->data;
	if (srb->OriginalRequest != r->original)
		violation("SRB %p: OriginalRequest was changed", srb);
	ExFreePoolWithTag(r, TAG);
	if (irp == NULL) {
		KeSetEvent(event, IO_NO_INCREMENT, FALSE);
		return;
	}
	irp->IoStatus.Information = srb->DataTransferLength;
	irp->IoStatus.Status = status_of(srb);
	IoCompleteRequest(irp, IO_DISK_INCREMENT);
}

VOID NTAPI
request_dpc(PKDPC dpc, PVOID context, PVOID a1, PVOID a2)
{
	struct adapter *a = context;
	LIST_ENTRY *e;

	(void)dpc, (void)a1, (void)a2;
	for (;;) {
		KeAcquireSpinLockAtDpcLevel(&a->lock);
		e = IsListEmpty(&a->ended) ? NULL : RemoveHeadList(&a->ended);
		KeReleaseSpinLockFromDpcLevel(&a->lock);
		if (e == NULL)
			return;
		finish(CONTAINING_RECORD(e, struct request, link));
	}
}

/* The lock is held.  NULL: the miniport does not have it. */
static struct request *
find(struct adapter *a, PSCSI_REQUEST_BLOCK srb)
{
	LIST_ENTRY *e;

	for (e = a->requests.Flink; e != &a->requests; e = e->Flink)
		if (CONTAINING_RECORD(e, struct request, link)->srb == srb)
			return CONTAINING_RECORD(e, struct request, link);
	return NULL;
}

void
request_ended(struct adapter *a, PSCSI_REQUEST_BLOCK srb)
{
	struct request *r;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	r = find(a, srb);
	if (r != NULL) {
		RemoveEntryList(&r->link);
		a->outstanding--;
		if (srb->SrbStatus == SRB_STATUS_PENDING)
			violation("SRB %p: completed as pending", srb);
		if (srb->DataTransferLength > r->length)
			violation("SRB %p: more data than asked for", srb);
		InsertTailList(&a->ended, &r->link);
		KeInsertQueueDpc(&a->dpc, NULL, NULL);
	}
	KeReleaseSpinLock(&a->lock, irql);
	if (r == NULL)
		violation("SRB %p is completed twice", srb);
}

PVOID
request_address(struct adapter *a, PSCSI_REQUEST_BLOCK srb)
{
	struct request *r;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	r = find(a, srb);
	KeReleaseSpinLock(&a->lock, irql);
	if (r != NULL)
		return address_of(r);
	violation("SRB %p: its address is asked for, and it has ended", srb);
	return NULL;
}

/* ---- time ------------------------------------------------------------------ */

/* A target with a request that is over its time, all of which are marked; or -1. */
static int
find_late(struct adapter *a)
{
	LARGE_INTEGER now;
	struct request *r;
	int target = -1;
	LIST_ENTRY *e;
	KIRQL irql;

	KeQuerySystemTime(&now);
	KeAcquireSpinLock(&a->lock, &irql);
	for (e = a->requests.Flink; e != &a->requests && target < 0; e = e->Flink) {
		r = CONTAINING_RECORD(e, struct request, link);
		if (r->srb->Function == SRB_FUNCTION_EXECUTE_SCSI && !r->resetting &&
		    r->timeout_s != 0 && now.QuadPart - r->started.QuadPart >=
		    (LONGLONG)r->timeout_s * 10000000)
			target = r->srb->TargetId;
	}
	for (e = a->requests.Flink; e != &a->requests; e = e->Flink) {
		r = CONTAINING_RECORD(e, struct request, link);
		if (r->srb->TargetId == target)
			r->resetting = TRUE;
	}
	KeReleaseSpinLock(&a->lock, irql);
	return target;
}

VOID NTAPI
request_clock(PVOID arg)
{
	LARGE_INTEGER tick = { .QuadPart = -1000000 };	/* 100 ms */
	struct adapter *a = arg;
	int target;

	while (!a->stopping) {
		SCSI_REQUEST_BLOCK srb = { .Length = sizeof(srb),
		    .Function = SRB_FUNCTION_RESET_LOGICAL_UNIT };

		KeDelayExecutionThread(KernelMode, FALSE, &tick);
		target = find_late(a);
		if (target < 0)
			continue;
		InterlockedIncrement(&a->resets);
		srb.TargetId = (UCHAR)target;
		DbgPrint("storport: reset of target %d\n", target);
		DbgPrint("storport: reset of target %d: status %u\n", target,
		    request_run(a, &srb));
	}
	PsTerminateSystemThread(STATUS_SUCCESS);
}
