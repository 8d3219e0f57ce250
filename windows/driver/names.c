/*
 * names.c - what Windows calls the disks: their numbers and device instance ids.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Storport makes a device object (PDO) of our driver for each disk that it found, and
 * Windows puts its own drivers on top.  The PDOs are asked which SCSI address they
 * have, and the drivers on top for the number, by the requests that a program would
 * send.  There is one adapter on a machine, so an address is one disk's.
 */
#include "driver.h"
#include "names.h"

#include <devpropdef.h>
#include <ntddstor.h>

/* ntifs.h has it, which ends ntddk.h's use. */
NTSTATUS NTAPI IoEnumerateDeviceObjectList(DRIVER_OBJECT *, DEVICE_OBJECT **,
    ULONG size, ULONG *count);

/* DEVPKEY_Device_InstanceId of devpkey.h. */
static const DEVPROPKEY instance_id_key = {
	{ 0x78c34fc8, 0x104a, 0x4aca,
	    { 0x9e, 0xa4, 0x52, 0x4d, 0x52, 0x99, 0x6e, 0x57 } }, 256
};

static DRIVER_OBJECT *driver;

void
names_load(DRIVER_OBJECT *object)
{
	driver = object;
}

/* A question without input; exactly size bytes are the answer. */
static bool
ask(DEVICE_OBJECT *device, ULONG code, void *answer, ULONG size)
{
	IO_STATUS_BLOCK io = { 0 };
	NTSTATUS status;
	KEVENT ended;
	IRP *irp;

	KeInitializeEvent(&ended, NotificationEvent, FALSE);
	irp = IoBuildDeviceIoControlRequest(code, device, NULL, 0, answer, size, FALSE,
	    &ended, &io);
	if (irp == NULL)
		return false;
	status = IoCallDriver(device, irp);
	if (status == STATUS_PENDING) {
		KeWaitForSingleObject(&ended, Executive, KernelMode, FALSE, NULL);
		status = io.Status;
	}
	return NT_SUCCESS(status) && io.Information == size;
}

static bool
ask_top(DEVICE_OBJECT *pdo, SCSI_ADDRESS *address, STORAGE_DEVICE_NUMBER *number)
{
	DEVICE_OBJECT *top = IoGetAttachedDeviceReference(pdo);
	bool ok = ask(top, IOCTL_SCSI_GET_ADDRESS, address, sizeof(*address)) &&
	    ask(top, IOCTL_STORAGE_GET_DEVICE_NUMBER, number, sizeof(*number));

	ObDereferenceObject(top);
	return ok;
}

static void
name_disk(DEVICE_OBJECT *pdo, WNBD_CONNECTION_INFO *info, size_t count)
{
	STORAGE_DEVICE_NUMBER number;
	SCSI_ADDRESS address;
	DEVPROPTYPE type;
	ULONG length;
	size_t i;

	if (!ask_top(pdo, &address, &number))
		return;
	for (i = 0; i < count; i++)
		if (info[i].BusNumber == address.PathId &&
		    info[i].TargetId == address.TargetId && info[i].Lun == address.Lun)
			break;
	if (i == count)
		return;
	info[i].DiskNumber = (INT)number.DeviceNumber;
	if (!NT_SUCCESS(IoGetDevicePropertyData(pdo, &instance_id_key, 0, 0,
	    sizeof(info[i].PNPDeviceID), info[i].PNPDeviceID, &length, &type)) ||
	    type != DEVPROP_TYPE_STRING)
		info[i].PNPDeviceID[0] = L'\0';
}

/* To be freed, each object to be dereferenced; NULL: none.  There may be more of them
 * by the second call; then these are for the next question. */
static DEVICE_OBJECT **
list_objects(ULONG *count)
{
	DEVICE_OBJECT **list;
	ULONG room;

	*count = 0;
	(void)IoEnumerateDeviceObjectList(driver, NULL, 0, &room);
	list = mem_alloc(room * sizeof(*list) + 1);
	if (list != NULL)
		(void)IoEnumerateDeviceObjectList(driver, list, room * sizeof(*list),
		    count);
	if (*count > room)
		*count = room;
	return list;
}

void
names_find(WNBD_CONNECTION_INFO *info, size_t count)
{
	DEVICE_OBJECT **list;
	ULONG n, i;

	list = list_objects(&n);
	for (i = 0; i < n; i++) {
		/* Only a PDO may be asked for a property; the adapter is none. */
		if ((list[i]->Flags & DO_BUS_ENUMERATED_DEVICE) != 0)
			name_disk(list[i], info, count);
		ObDereferenceObject(list[i]);
	}
	mem_free(list);
}
