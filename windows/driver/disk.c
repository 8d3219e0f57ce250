/*
 * disk.c - the life of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * CREATE makes it, with a slot and a thread.  The thread starts the backend, shows
 * the disk, serves it until somebody calls disk_stop, and takes it away again:
 *
 *   new --start--> up --disk_stop--> stopping --run ends--> no slot --no
 *   reference--> on adapter.gone --worker--> freed
 *
 * A request or an ioctl holds a reference while it uses the disk.  The IRPs of CREATE
 * and REMOVE are completed by the thread, when there is something to tell.
 */
#include "driver.h"
#include "log.h"

#define REVISION	"1.00"

/* The thread waits for the last one.  It looks at refs with the lock held, and so
 * cannot see it go before the event is set: d may be gone right after that. */
void
disk_release(struct disk *d)
{
	struct adapter *a = d->adapter;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	if (--d->refs == 0)
		KeSetEvent(&d->wake, IO_NO_INCREMENT, FALSE);
	KeReleaseSpinLock(&a->lock, irql);
}

void
disk_hold(struct disk *d)
{
	KIRQL irql;

	KeAcquireSpinLock(&d->adapter->lock, &irql);
	d->refs++;
	KeReleaseSpinLock(&d->adapter->lock, irql);
}

static bool
is_referenced(struct disk *d)
{
	bool referenced;
	KIRQL irql;

	KeAcquireSpinLock(&d->adapter->lock, &irql);
	referenced = d->refs != 0;
	KeReleaseSpinLock(&d->adapter->lock, irql);
	return referenced;
}

void
disk_stop(struct disk *d)
{
	InterlockedExchange(&d->stopping, 1);
	KeSetEvent(&d->wake, IO_NO_INCREMENT, FALSE);
}

void
disk_info(struct disk *d, WNBD_CONNECTION_INFO *info)
{
	KIRQL irql;

	memset(info, 0, sizeof(*info));
	KeAcquireSpinLock(&d->lock, &irql);
	info->Properties = d->props;
	info->Properties.BlockCount = d->unit.blocks;
	info->Servers = d->servers;
	KeReleaseSpinLock(&d->lock, irql);
	info->ConnectionFlags.Disconnecting = d->stopping != 0;
	info->TargetId = (USHORT)d->target;
	info->ConnectionId = d->id;
	info->DiskNumber = -1;
}

void
disk_stats(struct disk *d, WNBD_DRV_STATS *out)
{
	LIST_ENTRY *e;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	out->TotalReceivedIORequests = d->received;
	out->LastReceivedReqTimestamp = d->received_100ns;
	for (e = d->ios.Flink; e != &d->ios; e = e->Flink)
		out->OutstandingIOCount +=
		    !CONTAINING_RECORD(e, struct io, link)->aborting;
	d->backend->stats(d, out);
	KeReleaseSpinLock(&d->lock, irql);
}

/*
 * The program that asked for the removal is gone; the disk will be, too.  The IRP is
 * ours from here on: the thread finds that its cancel routine was taken.
 */
static void NTAPI
remove_cancel(DEVICE_OBJECT *device, IRP *irp)
{
	struct adapter *a = irp->Tail.Overlay.DriverContext[0];
	unsigned i;
	KIRQL irql;

	(void)device;
	IoReleaseCancelSpinLock(irp->CancelIrql);
	KeAcquireSpinLock(&a->lock, &irql);
	for (i = 0; i < WNBD_TARGETS; i++)
		if (a->slot[i] != NULL && a->slot[i]->remove == irp)
			a->slot[i]->remove = NULL;
	KeReleaseSpinLock(&a->lock, irql);
	ioctl_complete(a, irp, STATUS_CANCELLED, 0);
}

/* (a) held. */
static NTSTATUS
await_removal(struct disk *d, IRP *irp)
{
	/* Somebody else is about it. */
	if (d->remove != NULL || d->adapter->slot[d->target] != d)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	irp->Tail.Overlay.DriverContext[0] = d->adapter;
	IoSetCancelRoutine(irp, remove_cancel);
	if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL)
		return STATUS_CANCELLED;
	d->remove = irp;
	return STATUS_PENDING;
}

NTSTATUS
disk_remove(struct disk *d, IRP *irp)
{
	NTSTATUS status;
	KIRQL irql;

	KeAcquireSpinLock(&d->adapter->lock, &irql);
	status = await_removal(d, irp);
	KeReleaseSpinLock(&d->adapter->lock, irql);
	if (status == STATUS_PENDING)
		disk_stop(d);
	return status;
}

void
disk_set_blocks(struct disk *d, uint64_t blocks)
{
	d->unit.blocks = blocks;
	d->unit.attention_asc = SCSI_ASC_CAPACITY_CHANGED >> 8;
	d->unit.attention_ascq = SCSI_ASC_CAPACITY_CHANGED & 0xff;
}

void
disk_set_servers(struct disk *d, const NBD_SERVERS *servers)
{
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	d->servers = *servers;
	KeReleaseSpinLock(&d->lock, irql);
}

NTSTATUS
disk_resize(struct disk *d, uint64_t blocks)
{
	KIRQL irql;

	/* An NBD server tells itself how large it is. */
	if (d->backend != &dispatch_backend)
		return STATUS_NOT_SUPPORTED;
	if (!d->up || blocks > INT64_MAX / d->unit.block_size)
		return STATUS_INVALID_PARAMETER;
	KeAcquireSpinLock(&d->lock, &irql);
	disk_set_blocks(d, blocks);
	KeReleaseSpinLock(&d->lock, irql);
	adapter_changed(d->adapter);
	return STATUS_SUCCESS;
}

/* ---- the thread ------------------------------------------------------------ */

static void
fill_unit(struct disk *d)
{
	const WNBD_PROPERTIES *p = &d->props;
	struct scsi_unit *u = &d->unit;

	u->blocks = p->BlockCount;
	u->block_size = p->BlockSize;
	if (u->pref_size < p->BlockSize)
		u->pref_size = p->BlockSize;
	u->ranges_max = p->MaxUnmapDescCount;
	u->read_only = p->Flags.ReadOnly;
	u->flush = p->Flags.FlushSupported;
	u->fua = p->Flags.FUASupported;
	u->unmap = p->Flags.UnmapSupported && !p->Flags.ReadOnly;
	u->anchor = p->Flags.UnmapAnchorSupported;
	u->reservations = p->Flags.PersistResSupported;
	u->has_naa = p->Flags.NaaIdSpecified;
	memcpy(u->naa, p->NaaIdentifier.data, SCSI_NAA_LENGTH);
	memcpy(u->serial, p->SerialNumber, sizeof(u->serial));
	memcpy(u->revision, REVISION, sizeof(REVISION));
}

/*
 * The program that asked for the disk is gone, or lost its patience.  The IRP is the
 * thread's to complete, which first waits for this lock: so d is there.
 */
static void NTAPI
create_cancel(DEVICE_OBJECT *device, IRP *irp)
{
	(void)device;
	disk_stop(irp->Tail.Overlay.DriverContext[0]);
	IoReleaseCancelSpinLock(irp->CancelIrql);
}

static void
arm(struct disk *d, IRP *irp)
{
	irp->Tail.Overlay.DriverContext[0] = d;
	IoSetCancelRoutine(irp, create_cancel);
	if (irp->Cancel)
		disk_stop(d);
}

static void
disarm(IRP *irp)
{
	KIRQL irql;

	if (IoSetCancelRoutine(irp, NULL) != NULL)
		return;
	IoAcquireCancelSpinLock(&irql);
	IoReleaseCancelSpinLock(irql);
}

static void
tell_created(struct disk *d, NTSTATUS status)
{
	WNBD_CONNECTION_INFO *out = d->create->AssociatedIrp.SystemBuffer;
	IRP *irp = d->create;

	d->create = NULL;
	disarm(irp);
	if (NT_SUCCESS(status))
		disk_info(d, out);
	ioctl_complete(d->adapter, irp, status, NT_SUCCESS(status) ? sizeof(*out) : 0);
}

static void
show(struct disk *d)
{
	KIRQL irql;

	fill_unit(d);
	KeAcquireSpinLock(&d->adapter->lock, &irql);
	d->up = true;
	KeReleaseSpinLock(&d->adapter->lock, irql);
	log_info("%s: target %u, %llu blocks of %lu bytes", d->props.InstanceName,
	    d->target, (unsigned long long)d->unit.blocks,
	    (unsigned long)d->unit.block_size);
	adapter_changed(d->adapter);
	tell_created(d, STATUS_SUCCESS);
}

/* Nobody finds the disk any more; those that have it let it go. */
static IRP *
leave_slot(struct disk *d)
{
	struct adapter *a = d->adapter;
	IRP *remove;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	a->slot[d->target] = NULL;
	remove = d->remove;
	d->remove = NULL;
	KeReleaseSpinLock(&a->lock, irql);
	adapter_changed(a);
	disk_release(d);
	while (is_referenced(d))
		KeWaitForSingleObject(&d->wake, Executive, KernelMode, FALSE, NULL);
	return remove;
}

static void
disk_main(void *arg)
{
	struct disk *d = arg;
	struct adapter *a = d->adapter;
	NTSTATUS status = d->backend->start(d);
	IRP *remove;
	KIRQL irql;

	if (NT_SUCCESS(status)) {
		show(d);
		d->backend->run(d);
	}
	remove = leave_slot(d);
	d->backend->free(d);
	log_info("%s: gone", d->props.InstanceName);
	if (d->create != NULL)
		tell_created(d, status);
	if (remove != NULL && IoSetCancelRoutine(remove, NULL) != NULL)
		ioctl_complete(a, remove, STATUS_SUCCESS, 0);
	KeAcquireSpinLock(&a->lock, &irql);
	InsertTailList(&a->gone, &d->gone);
	/* With the lock held: after it the adapter may be gone with the disk. */
	KeSetEvent(&a->work, IO_NO_INCREMENT, FALSE);
	KeReleaseSpinLock(&a->lock, irql);
}

/* ---- made and freed -------------------------------------------------------- */

static void
complete_props(WNBD_PROPERTIES *p)
{
	if (p->SerialNumber[0] == '\0')
		memcpy(p->SerialNumber, p->InstanceName, sizeof(p->SerialNumber));
	if (p->MaxUnmapDescCount == 0)
		p->MaxUnmapDescCount = 1;
	if (p->MaxUnmapDescCount > SCSI_RANGES_MAX)
		p->MaxUnmapDescCount = SCSI_RANGES_MAX;
	if (p->Pid == 0)
		p->Pid = (INT)(ULONG_PTR)PsGetCurrentProcessId();
	if (p->Flags.UseKernelNbd) {
		p->Flags.PersistResSupported = 0;
		p->Flags.UnmapAnchorSupported = 0;
	}
}

/* The slot is given back at once: nobody has seen the disk. */
static void
undo(struct adapter *a, struct disk *d)
{
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	a->slot[d->target] = NULL;
	a->disks--;
	KeReleaseSpinLock(&a->lock, irql);
	KeSetEvent(&a->work, IO_NO_INCREMENT, FALSE);
}

NTSTATUS
disk_create(struct adapter *a, const WNBD_PROPERTIES *props, IRP *irp)
{
	struct disk *d = mem_alloc(sizeof(*d));
	NTSTATUS status;

	if (d == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	d->adapter = a;
	d->props = *props;
	complete_props(&d->props);
	d->backend = props->Flags.UseKernelNbd ? &nbd_backend : &dispatch_backend;
	d->create = irp;
	d->refs = 2;			/* the slot, and this function */
	KeInitializeSpinLock(&d->lock);
	KeInitializeEvent(&d->wake, SynchronizationEvent, FALSE);
	InitializeListHead(&d->ios);
	status = adapter_add(a, d);
	if (!NT_SUCCESS(status)) {
		mem_free(d);
		return status;
	}
	arm(d, irp);
	status = thread_start(disk_main, d, &d->thread);
	if (!NT_SUCCESS(status)) {
		disarm(irp);
		undo(a, d);
		mem_free(d);
		return status;
	}
	disk_release(d);
	return STATUS_SUCCESS;
}

void
disk_free(struct disk *d)
{
	thread_join(d->thread);
	mem_free(d);
}
