/*
 * dispatch.c - a disk whose server is a process: requests out, answers in.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The process keeps FETCH_REQ ioctls pending; their buffers are locked as long.  The
 * disk's thread brings a fetch and a request together and copies the data.  An
 * answer is copied in the process's own thread.  Both copies are made without the
 * lock; a reset meanwhile leaves the request alone (IO_FETCHING, IO_ANSWERING), for
 * it is over in a moment.
 *
 * A handle is generation << 32 | slot, so a late answer to an aborted request finds
 * nothing.
 */
#include "driver.h"
#include "guard.h"
#include "log.h"
#include "options.h"

#define SLOTS		WNBD_ABS_MAX_IO_REQ_PER_LUN
#define NO_SLOT		UINT32_MAX

/* MdlMappingNoExecute, of wdm.h: the process's bytes are no code (HVCI wants it). */
#define MDL_MAPPING_NO_EXECUTE	0x40000000

/* ntifs.h has it, which ends ntddk.h's use. */
NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE, PEPROCESS *);

struct fetch {
	LIST_ENTRY	 link;		/* (d) dispatcher.fetches */
	struct disk	*disk;		/* referenced */
	IRP		*irp;
	MDL		*mdl;		/* the process's buffer, locked */
	uint8_t		*data;
	uint32_t	 size;
};

struct dispatcher {
	LIST_ENTRY	 fetches;	/* (d) */
	LIST_ENTRY	 queued;	/* (d) requests, IO_QUEUED */
	LIST_ENTRY	 aborted;	/* (d) requests to be completed so */
	uint32_t	 free_slot;	/* (d) or NO_SLOT */
	struct {
		struct io *io;		/* NULL: free */
		uint32_t generation, next_free;
	} slot[SLOTS];			/* (d) */
	/* (d) */
	int64_t		 submitted, replied, queued_now, pending_now;
	int64_t		 aborted_queued, aborted_submitted, aborted_done;
	uint64_t	 submitted_100ns, replied_100ns;
	nbe_time	 replied_at;	/* 0: never */
	PEPROCESS	 process;	/* (c) */
};

/* ---- slots: (d) held ------------------------------------------------------- */

static uint64_t
slot_take(struct dispatcher *p, struct io *io)
{
	uint32_t i = p->free_slot;

	p->free_slot = p->slot[i].next_free;
	p->slot[i].io = io;
	io->slot = i;
	return (uint64_t)p->slot[i].generation << 32 | i;
}

static void
slot_give(struct dispatcher *p, struct io *io)
{
	p->slot[io->slot].io = NULL;
	p->slot[io->slot].generation++;
	p->slot[io->slot].next_free = p->free_slot;
	p->free_slot = io->slot;
}

static struct io *
slot_find(struct dispatcher *p, uint64_t handle)
{
	uint32_t i = (uint32_t)handle;

	if (i >= SLOTS || p->slot[i].generation != (uint32_t)(handle >> 32))
		return NULL;
	return p->slot[i].io;
}

/* ---- requests -------------------------------------------------------------- */

/* (d) */
static void
dispatch_submit(struct disk *d, struct io *io)
{
	struct dispatcher *p = d->dispatcher;

	io->state = IO_QUEUED;
	InsertTailList(&p->queued, &io->queue);
	p->queued_now++;
	KeSetEvent(&d->wake, IO_DISK_INCREMENT, FALSE);
}

/* (d) The process does not answer any more: nobody will. */
static bool
is_stale(struct disk *d, const struct io *io)
{
	struct dispatcher *p = d->dispatcher;
	nbe_time now = time_now(), ms = NBE_SECOND / 1000;

	return option(OPTION_REMOVE_STALE) != 0 && p->replied_at != 0 &&
	    now - p->replied_at > (nbe_time)option(OPTION_STALE_CONN_MS) * ms &&
	    now - io->submitted_at > (nbe_time)option(OPTION_STALE_REQ_MS) * ms;
}

/* (d) */
static void
dispatch_abort(struct disk *d, struct io *io)
{
	struct dispatcher *p = d->dispatcher;

	if (io->state == IO_QUEUED) {
		RemoveEntryList(&io->queue);
		p->queued_now--;
		p->aborted_queued++;
	} else if (io->state == IO_SUBMITTED) {
		if (is_stale(d, io))
			disk_stop(d);
		slot_give(p, io);
		p->pending_now--;
		p->aborted_submitted++;
	} else {
		return;
	}
	io->state = IO_DONE;
	InsertTailList(&p->aborted, &io->queue);
	KeSetEvent(&d->wake, IO_DISK_INCREMENT, FALSE);
}

/* (d) */
static void
dispatch_stats(struct disk *d, WNBD_DRV_STATS *out)
{
	const struct dispatcher *p = d->dispatcher;

	out->TotalSubmittedIORequests = p->submitted;
	out->TotalReceivedIOReplies = p->replied;
	out->UnsubmittedIORequests = p->queued_now;
	out->PendingSubmittedIORequests = p->pending_now;
	out->AbortedSubmittedIORequests = p->aborted_submitted;
	out->AbortedUnsubmittedIORequests = p->aborted_queued;
	out->CompletedAbortedIORequests = p->aborted_done;
	out->LastSubmittedReqTimestamp = p->submitted_100ns;
	out->LastReplyTimestamp = p->replied_100ns;
}

static void
complete_aborted(struct io *io)
{
	io->cmd.aborted = true;
	io->cmd.transferred = 0;
	io_complete(io);
}

/* ---- a request as the process sees it -------------------------------------- */

static const WnbdRequestType type_of[] = {
	[SCSI_WORK_READ] = WnbdReqTypeRead,
	[SCSI_WORK_WRITE] = WnbdReqTypeWrite,
	[SCSI_WORK_FLUSH] = WnbdReqTypeFlush,
	[SCSI_WORK_UNMAP] = WnbdReqTypeUnmap,
	[SCSI_WORK_RESERVE_IN] = WnbdReqTypePersistResIn,
	[SCSI_WORK_RESERVE_OUT] = WnbdReqTypePersistResOut,
};

/* Bytes that go to the process with the request. */
static size_t
out_length(const struct disk *d, const struct io *io)
{
	switch (io->cmd.work) {
	case SCSI_WORK_WRITE:
		return io->cmd.count * d->unit.block_size;
	case SCSI_WORK_UNMAP:
		return io->cmd.ranges * sizeof(WNBD_UNMAP_DESCRIPTOR);
	case SCSI_WORK_RESERVE_OUT:
		return io->cmd.count;
	default:
		return 0;
	}
}

static void
copy_out(const struct disk *d, const struct io *io, uint8_t *to)
{
	WNBD_UNMAP_DESCRIPTOR one = { 0 };
	uint32_t i;

	if (io->cmd.work != SCSI_WORK_UNMAP) {
		memcpy(to, io->data, out_length(d, io));
		return;
	}
	for (i = 0; i < io->cmd.ranges; i++, to += sizeof(one)) {
		one.BlockAddress = io->ranges[i].block;
		one.BlockCount = (UINT32)io->ranges[i].count;
		memcpy(to, &one, sizeof(one));
	}
}

static void
describe(const struct io *io, WNBD_IO_REQUEST *r)
{
	const struct scsi_cmd *c = &io->cmd;

	r->RequestType = type_of[c->work];
	switch (c->work) {
	case SCSI_WORK_READ:
	case SCSI_WORK_WRITE:		/* the two are laid out alike */
		r->Cmd.Write.BlockAddress = c->block;
		r->Cmd.Write.BlockCount = (UINT32)c->count;
		r->Cmd.Write.ForceUnitAccess = c->fua;
		break;
	case SCSI_WORK_FLUSH:
		r->Cmd.Flush.BlockAddress = c->block;
		r->Cmd.Flush.BlockCount = (UINT32)c->count;
		break;
	case SCSI_WORK_UNMAP:
		r->Cmd.Unmap.Count = c->ranges;
		r->Cmd.Unmap.Anchor = c->anchor;
		break;
	case SCSI_WORK_RESERVE_IN:
		r->Cmd.PersistResIn.ServiceAction = c->action;
		r->Cmd.PersistResIn.AllocationLength = (UINT16)c->count;
		break;
	default:
		r->Cmd.PersistResOut.ServiceAction = c->action;
		r->Cmd.PersistResOut.Scope = (UINT8)(c->scope & 0x0fu);
		r->Cmd.PersistResOut.Type = (UINT8)(c->type & 0x0fu);
		r->Cmd.PersistResOut.ParameterListLength = (UINT16)c->count;
		break;
	}
}

/* ---- fetches --------------------------------------------------------------- */

static void
fetch_end(struct fetch *f, NTSTATUS status)
{
	struct disk *d = f->disk;

	MmUnlockPages(f->mdl);
	IoFreeMdl(f->mdl);
	ioctl_complete(d->adapter, f->irp, status, NT_SUCCESS(status) ?
	    sizeof(WNBD_IOCTL_FETCH_REQ_COMMAND) : 0);
	mem_free(f);
	disk_release(d);
}

static void NTAPI
fetch_cancel(DEVICE_OBJECT *device, IRP *irp)
{
	struct fetch *f = irp->Tail.Overlay.DriverContext[0];
	KIRQL irql;

	(void)device;
	IoReleaseCancelSpinLock(irp->CancelIrql);
	KeAcquireSpinLock(&f->disk->lock, &irql);
	RemoveEntryList(&f->link);	/* it may be on no list, but of itself */
	KeReleaseSpinLock(&f->disk->lock, irql);
	fetch_end(f, STATUS_CANCELLED);
}

/* (d) NULL: there is none that is not being cancelled. */
static struct fetch *
fetch_pop(struct dispatcher *p)
{
	struct fetch *f;

	while (!IsListEmpty(&p->fetches)) {
		f = CONTAINING_RECORD(RemoveHeadList(&p->fetches), struct fetch,
		    link);
		InitializeListHead(&f->link);
		if (IoSetCancelRoutine(f->irp, NULL) != NULL)
			return f;
	}
	return NULL;
}

/* (d) False: it was cancelled before. */
static bool
fetch_push(struct dispatcher *p, struct fetch *f)
{
	InsertTailList(&p->fetches, &f->link);
	IoSetCancelRoutine(f->irp, fetch_cancel);
	if (!f->irp->Cancel || IoSetCancelRoutine(f->irp, NULL) == NULL)
		return true;
	RemoveEntryList(&f->link);
	return false;
}

static NTSTATUS
lock_buffer(void *p, uint32_t size, LOCK_OPERATION operation, MDL **mdl,
    uint8_t **data)
{
	NTSTATUS status;

	*mdl = IoAllocateMdl(p, size, FALSE, FALSE, NULL);
	if (*mdl == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = user_lock(*mdl, operation);
	if (!NT_SUCCESS(status)) {
		IoFreeMdl(*mdl);
		return status;
	}
	*data = MmGetSystemAddressForMdlSafe(*mdl, NormalPagePriority |
	    MDL_MAPPING_NO_EXECUTE);
	if (*data != NULL)
		return STATUS_SUCCESS;
	MmUnlockPages(*mdl);
	IoFreeMdl(*mdl);
	return STATUS_INSUFFICIENT_RESOURCES;
}

/* No more requests will come. */
static void
fetch_disconnect(struct fetch *f)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND *out = f->irp->AssociatedIrp.SystemBuffer;

	memset(&out->Request, 0, sizeof(out->Request));
	out->Request.RequestType = WnbdReqTypeDisconnect;
	fetch_end(f, STATUS_SUCCESS);
}

/* It waits for a request; or ends at once. */
static void
fetch_enter(struct disk *d, struct fetch *f)
{
	KIRQL irql;
	bool stopping, pushed;

	KeAcquireSpinLock(&d->lock, &irql);
	stopping = d->stopping != 0;
	pushed = !stopping && fetch_push(d->dispatcher, f);
	KeReleaseSpinLock(&d->lock, irql);
	if (stopping)
		fetch_disconnect(f);
	else if (!pushed)
		fetch_end(f, STATUS_CANCELLED);
	else
		KeSetEvent(&d->wake, IO_DISK_INCREMENT, FALSE);
}

NTSTATUS
dispatch_fetch(struct disk *d, IRP *irp)
{
	const WNBD_IOCTL_FETCH_REQ_COMMAND *c = irp->AssociatedIrp.SystemBuffer;
	struct fetch *f = mem_alloc(sizeof(*f));
	NTSTATUS status;

	if (f == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	f->disk = d;
	f->irp = irp;
	f->size = c->DataBufferSize;
	status = lock_buffer(c->DataBuffer, f->size, IoWriteAccess, &f->mdl, &f->data);
	if (!NT_SUCCESS(status)) {
		mem_free(f);
		return status;
	}
	disk_hold(d);
	irp->Tail.Overlay.DriverContext[0] = f;
	fetch_enter(d, f);
	return STATUS_PENDING;
}

/* (d) The next request and a fetch for it. */
static bool
match(struct dispatcher *p, struct fetch **f, struct io **io)
{
	if (IsListEmpty(&p->queued) || p->free_slot == NO_SLOT)
		return false;
	*f = fetch_pop(p);
	if (*f == NULL)
		return false;
	*io = CONTAINING_RECORD(RemoveHeadList(&p->queued), struct io, queue);
	(*io)->state = IO_FETCHING;
	return true;
}

/* (d) The process has all of it.  False: a reset wants it back. */
static bool
hand_over(struct dispatcher *p, struct io *io, uint64_t *handle)
{
	p->queued_now--;
	if (io->aborting) {
		p->aborted_queued++;
		io->state = IO_DONE;
		InsertTailList(&p->aborted, &io->queue);
		return false;
	}
	*handle = slot_take(p, io);
	io->state = IO_SUBMITTED;
	io->submitted_at = time_now();
	p->submitted_100ns = KeQueryInterruptTime();
	p->submitted++;
	p->pending_now++;
	return true;
}

/* A buffer that is too small is a mistake of the process; the request waits for the
 * next one. */
static void
refuse_fetch(struct disk *d, struct fetch *f, struct io *io)
{
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	io->state = IO_QUEUED;
	InsertHeadList(&d->dispatcher->queued, &io->queue);
	if (io->aborting)
		dispatch_abort(d, io);
	KeReleaseSpinLock(&d->lock, irql);
	fetch_end(f, STATUS_BUFFER_TOO_SMALL);
}

static void
give(struct disk *d, struct fetch *f, struct io *io)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND *out = f->irp->AssociatedIrp.SystemBuffer;
	WNBD_IO_REQUEST request = { 0 };
	KIRQL irql;
	bool given, pushed = true;

	if (out_length(d, io) > f->size) {
		refuse_fetch(d, f, io);
		return;
	}
	copy_out(d, io, f->data);
	describe(io, &request);
	KeAcquireSpinLock(&d->lock, &irql);
	/* From here on the process may answer, so the request is not ours. */
	given = hand_over(d->dispatcher, io, &request.RequestHandle);
	if (!given)
		pushed = fetch_push(d->dispatcher, f);
	KeReleaseSpinLock(&d->lock, irql);
	if (given) {
		out->Request = request;
		fetch_end(f, STATUS_SUCCESS);
	} else if (!pushed) {
		fetch_end(f, STATUS_CANCELLED);
	}
}

/* ---- answers --------------------------------------------------------------- */

/* (d) The request, which is the caller's from now on. */
static NTSTATUS
claim(struct disk *d, const WNBD_IO_RESPONSE *r, struct io **out)
{
	struct dispatcher *p = d->dispatcher;
	struct io *io = slot_find(p, r->RequestHandle);

	if (io == NULL)
		return STATUS_NOT_FOUND;
	if (r->RequestType != type_of[io->cmd.work])
		return STATUS_INVALID_PARAMETER;
	slot_give(p, io);
	io->state = IO_ANSWERING;
	p->pending_now--;
	p->replied++;
	p->replied_at = time_now();
	p->replied_100ns = KeQueryInterruptTime();
	if (io->aborting)
		p->aborted_done++;
	*out = io;
	return STATUS_SUCCESS;
}

static void
take_status(struct io *io, const WNBD_STATUS *s)
{
	scsi_fail(&io->cmd, (enum scsi_key)(s->SenseKey & 0x0f),
	    (enum scsi_asc)(s->ASC << 8 | s->ASCQ));
	io->cmd.status = s->ScsiStatus;
	io->cmd.has_info = s->InformationValid;
	io->cmd.info = s->Information;
}

/* The answer's size bytes; what a read asked for beyond them is zeroes. */
static size_t
take_data(const struct disk *d, struct io *io, const uint8_t *data, size_t size)
{
	size_t wanted = io->cmd.count;

	if (io->cmd.work == SCSI_WORK_READ)
		wanted *= d->unit.block_size;
	else if (io->cmd.work != SCSI_WORK_RESERVE_IN)
		return out_length(d, io);
	if (size > wanted)
		size = wanted;
	if (size > 0)
		memcpy(io->data, data, size);
	if (io->cmd.work == SCSI_WORK_RESERVE_IN)
		return size;
	memset(io->data + size, 0, wanted - size);
	return wanted;
}

static void
finish(struct disk *d, struct io *io, const WNBD_STATUS *s, const uint8_t *data,
    size_t size)
{
	if (s->ScsiStatus != SCSI_GOOD)
		take_status(io, s);
	else
		io->cmd.transferred = (uint32_t)take_data(d, io, data, size);
	io_complete(io);
}

NTSTATUS
dispatch_respond(struct disk *d, const WNBD_IOCTL_SEND_RSP_COMMAND *c)
{
	struct io *io = NULL;
	MDL *mdl = NULL;
	uint8_t *data = NULL;
	NTSTATUS status = STATUS_SUCCESS;
	KIRQL irql;

	/* Before the request is claimed: with a bad buffer it stays. */
	if (c->DataBufferSize > 0)
		status = lock_buffer(c->DataBuffer, c->DataBufferSize, IoReadAccess,
		    &mdl, &data);
	if (!NT_SUCCESS(status))
		return status;
	KeAcquireSpinLock(&d->lock, &irql);
	status = claim(d, &c->Response, &io);
	KeReleaseSpinLock(&d->lock, irql);
	if (NT_SUCCESS(status))
		finish(d, io, &c->Response.Status, data, c->DataBufferSize);
	if (mdl != NULL) {
		MmUnlockPages(mdl);
		IoFreeMdl(mdl);
	}
	return status;
}

/* ---- the thread ------------------------------------------------------------ */

/* (d) NULL: none. */
static struct io *
pop_aborted(struct dispatcher *p)
{
	if (IsListEmpty(&p->aborted))
		return NULL;
	p->aborted_done++;
	return CONTAINING_RECORD(RemoveHeadList(&p->aborted), struct io, queue);
}

/* True: something was done. */
static bool
turn(struct disk *d)
{
	struct dispatcher *p = d->dispatcher;
	struct fetch *f = NULL;
	struct io *io = NULL, *aborted;
	KIRQL irql;
	bool matched;

	KeAcquireSpinLock(&d->lock, &irql);
	aborted = pop_aborted(p);
	matched = d->stopping == 0 && match(p, &f, &io);
	KeReleaseSpinLock(&d->lock, irql);
	if (aborted != NULL)
		complete_aborted(aborted);
	if (matched)
		give(d, f, io);
	return matched || aborted != NULL;
}

/* Everything that waits is ended; the fetches tell the process. */
static void
abort_all(struct disk *d)
{
	LIST_ENTRY *e, *next;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	for (e = d->ios.Flink; e != &d->ios; e = next) {
		next = e->Flink;
		dispatch_abort(d, CONTAINING_RECORD(e, struct io, link));
	}
	KeReleaseSpinLock(&d->lock, irql);
}

static void
disconnect_fetches(struct disk *d)
{
	struct fetch *f;
	KIRQL irql;

	for (;;) {
		KeAcquireSpinLock(&d->lock, &irql);
		f = fetch_pop(d->dispatcher);
		KeReleaseSpinLock(&d->lock, irql);
		if (f == NULL)
			return;
		fetch_disconnect(f);
	}
}

static bool
idle(struct disk *d)
{
	KIRQL irql;
	bool none;

	KeAcquireSpinLock(&d->lock, &irql);
	none = io_none(d);
	KeReleaseSpinLock(&d->lock, irql);
	return none;
}

static void
dispatch_run(struct disk *d)
{
	void *objects[] = { &d->wake, d->dispatcher->process };

	while (d->stopping == 0) {
		while (turn(d))
			continue;
		if (d->stopping == 0 && KeWaitForMultipleObjects(2, objects, WaitAny,
		    Executive, KernelMode, FALSE, NULL, NULL) == STATUS_WAIT_0 + 1) {
			log_warn("%s: process %d, which served it, has ended",
			    d->props.InstanceName, d->props.Pid);
			disk_stop(d);
		}
	}
	abort_all(d);
	for (;;) {
		while (turn(d))
			continue;
		if (idle(d))
			break;
		KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE, NULL);
	}
	disconnect_fetches(d);
}

static NTSTATUS
dispatch_start(struct disk *d)
{
	struct dispatcher *p = mem_alloc(sizeof(*p));
	uint32_t i;

	d->dispatcher = p;
	if (p == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	InitializeListHead(&p->fetches);
	InitializeListHead(&p->queued);
	InitializeListHead(&p->aborted);
	for (i = 0; i < SLOTS; i++) {
		p->slot[i].generation = 1;
		p->slot[i].next_free = i + 1 < SLOTS ? i + 1 : NO_SLOT;
	}
	return PsLookupProcessByProcessId((HANDLE)(ULONG_PTR)(ULONG)d->props.Pid,
	    &p->process);
}

static void
dispatch_free(struct disk *d)
{
	if (d->dispatcher == NULL)
		return;
	if (d->dispatcher->process != NULL)
		ObDereferenceObject(d->dispatcher->process);
	mem_free(d->dispatcher);
	d->dispatcher = NULL;
}

const struct backend dispatch_backend = {
	.submit = dispatch_submit,
	.abort = dispatch_abort,
	.stats = dispatch_stats,
	.start = dispatch_start,
	.run = dispatch_run,
	.free = dispatch_free,
};
