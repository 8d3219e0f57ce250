/*
 * adapter.c - the 128 slots of the virtual bus, and the end of disks.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A disk's last act is its thread's: it leaves its slot and the list that the worker
 * reads.  The worker joins the thread and frees the disk, for neither can be done
 * by the thread itself.
 */
#include "driver.h"
#include "log.h"

static void
reap(struct adapter *a)
{
	struct disk *d;
	KIRQL irql;

	for (;;) {
		d = NULL;
		KeAcquireSpinLock(&a->lock, &irql);
		if (!IsListEmpty(&a->gone))
			d = CONTAINING_RECORD(RemoveHeadList(&a->gone), struct disk,
			    gone);
		KeReleaseSpinLock(&a->lock, irql);
		if (d == NULL)
			return;
		disk_free(d);
		KeAcquireSpinLock(&a->lock, &irql);
		a->disks--;
		KeReleaseSpinLock(&a->lock, irql);
	}
}

static bool
is_over(struct adapter *a)
{
	KIRQL irql;
	bool over;

	KeAcquireSpinLock(&a->lock, &irql);
	over = a->stopping && a->disks == 0;
	KeReleaseSpinLock(&a->lock, irql);
	return over;
}

static void
worker_main(void *arg)
{
	struct adapter *a = arg;

	while (!is_over(a)) {
		KeWaitForSingleObject(&a->work, Executive, KernelMode, FALSE, NULL);
		reap(a);
	}
}

/* Where programs find the adapter.  Without one they cannot; the disks could still
 * be used, so this is no failure.  It must be the PDO: for any other device object
 * IoRegisterDeviceInterface stops the machine (0xCA). */
static void
offer_interface(struct adapter *a, DEVICE_OBJECT *pdo)
{
	NTSTATUS status;

	if (pdo == NULL)
		return;
	status = IoRegisterDeviceInterface(pdo, &WNBD_GUID, NULL, &a->device_interface);
	if (NT_SUCCESS(status))
		status = IoSetDeviceInterfaceState(&a->device_interface, TRUE);
	if (!NT_SUCCESS(status))
		log_error("the device interface cannot be offered: %08lx",
		    (unsigned long)status);
}

NTSTATUS
adapter_start(struct adapter *a, DEVICE_OBJECT *pdo)
{
	NTSTATUS status;

	/* Stopped by Plug and Play and started again, it is found as it was. */
	if (a->started)
		return STATUS_SUCCESS;
	memset(a, 0, sizeof(*a));
	KeInitializeSpinLock(&a->lock);
	KeInitializeEvent(&a->work, SynchronizationEvent, FALSE);
	InitializeListHead(&a->gone);
	a->next_id = 1;
	status = thread_start(worker_main, a, &a->worker);
	if (!NT_SUCCESS(status))
		return status;
	a->started = true;
	offer_interface(a, pdo);
	return STATUS_SUCCESS;
}

void
adapter_stop_disks(struct adapter *a)
{
	unsigned i;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	for (i = 0; i < WNBD_TARGETS; i++)
		if (a->slot[i] != NULL)
			disk_stop(a->slot[i]);
	KeReleaseSpinLock(&a->lock, irql);
}

void
adapter_stop(struct adapter *a)
{
	KIRQL irql;

	if (!a->started)
		return;
	if (a->device_interface.Buffer != NULL) {
		IoSetDeviceInterfaceState(&a->device_interface, FALSE);
		RtlFreeUnicodeString(&a->device_interface);
	}
	KeAcquireSpinLock(&a->lock, &irql);
	a->stopping = true;
	KeReleaseSpinLock(&a->lock, irql);
	adapter_stop_disks(a);
	KeSetEvent(&a->work, IO_NO_INCREMENT, FALSE);
	thread_join(a->worker);
	a->started = false;
}

void
adapter_changed(struct adapter *a)
{
	StorPortNotification(BusChangeDetected, a, 0);
}

/* ---- slots ----------------------------------------------------------------- */

/* (a) held. */
static struct disk *
find_name(struct adapter *a, const char *instance)
{
	unsigned i;

	for (i = 0; i < WNBD_TARGETS; i++)
		if (a->slot[i] != NULL &&
		    strcmp(a->slot[i]->props.InstanceName, instance) == 0)
			return a->slot[i];
	return NULL;
}

/* (a) held. */
static NTSTATUS
take_slot(struct adapter *a, struct disk *d)
{
	unsigned i, target;

	if (a->stopping)
		return STATUS_DELETE_PENDING;
	if (find_name(a, d->props.InstanceName) != NULL)
		return STATUS_OBJECT_NAME_COLLISION;
	for (i = 0; i < WNBD_TARGETS; i++) {
		target = (a->next_target + i) % WNBD_TARGETS;
		if (a->slot[target] != NULL)
			continue;
		d->target = target;
		d->id = a->next_id++;
		a->slot[target] = d;
		a->next_target = target + 1;
		a->disks++;
		return STATUS_SUCCESS;
	}
	return STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS
adapter_add(struct adapter *a, struct disk *d)
{
	NTSTATUS status;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	status = take_slot(a, d);
	KeReleaseSpinLock(&a->lock, irql);
	return status;
}

/* (a) held. */
static struct disk *
hold(struct disk *d)
{
	if (d != NULL)
		d->refs++;
	return d;
}

struct disk *
adapter_at(struct adapter *a, unsigned path, unsigned target, unsigned lun)
{
	struct disk *d;
	KIRQL irql;

	if (path != 0 || lun != 0 || target >= WNBD_TARGETS)
		return NULL;
	KeAcquireSpinLock(&a->lock, &irql);
	d = a->slot[target];
	d = hold(d != NULL && d->up ? d : NULL);
	KeReleaseSpinLock(&a->lock, irql);
	return d;
}

struct disk *
adapter_named(struct adapter *a, const char *instance)
{
	struct disk *d;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	d = hold(find_name(a, instance));
	KeReleaseSpinLock(&a->lock, irql);
	return d;
}

struct disk *
adapter_by_id(struct adapter *a, uint64_t id)
{
	struct disk *d = NULL;
	unsigned i;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	for (i = 0; i < WNBD_TARGETS && d == NULL; i++)
		if (a->slot[i] != NULL && a->slot[i]->id == id)
			d = hold(a->slot[i]);
	KeReleaseSpinLock(&a->lock, irql);
	return d;
}

struct disk *
adapter_next(struct adapter *a, unsigned *at)
{
	struct disk *d = NULL;
	KIRQL irql;

	KeAcquireSpinLock(&a->lock, &irql);
	for (; *at < WNBD_TARGETS && d == NULL; ++*at)
		if (a->slot[*at] != NULL && a->slot[*at]->up)
			d = hold(a->slot[*at]);
	KeReleaseSpinLock(&a->lock, irql);
	return d;
}
