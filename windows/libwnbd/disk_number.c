/*
 * disk_number.c - which disk of Windows is which disk of ours.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The disks below our adapter, by their SCSI addresses.  The address is unique only
 * within an adapter, so the parent must be ours.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "lib.h"

#include <ntddscsi.h>

#include <devpropdef.h>

/* Not in every header. */
CMAPI CONFIGRET WINAPI CM_Get_Device_Interface_PropertyW(LPCWSTR, const DEVPROPKEY *,
    DEVPROPTYPE *, PBYTE, PULONG, ULONG);

/* GUID_DEVINTERFACE_DISK of ntddstor.h. */
static const GUID disk_interface = {
	0x53f56307, 0xb6bf, 0x11d0,
	{ 0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b }
};

/* DEVPKEY_Device_InstanceId of devpkey.h. */
static const DEVPROPKEY instance_id_key = {
	{ 0x78c34fc8, 0x104a, 0x4aca,
	    { 0x9e, 0xa4, 0x52, 0x4d, 0x52, 0x99, 0x6e, 0x57 } }, 256
};

struct found_disk {
	SCSI_ADDRESS address;
	STORAGE_DEVICE_NUMBER number;
	WCHAR	pnp_id[WNBD_MAX_NAME_LENGTH];
};

static bool
ask_disk(const WCHAR *path, struct found_disk *found)
{
	HANDLE disk = CreateFileW(path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
	bool ok;

	if (disk == INVALID_HANDLE_VALUE)
		return false;
	ok = lib_ioctl(disk, IOCTL_SCSI_GET_ADDRESS, NULL, 0, &found->address,
	    sizeof(found->address), NULL, NULL) == 0 &&
	    lib_ioctl(disk, IOCTL_STORAGE_GET_DEVICE_NUMBER, NULL, 0, &found->number,
	    sizeof(found->number), NULL, NULL) == 0;
	CloseHandle(disk);
	return ok;
}

/* Below our adapter, and by which name Plug and Play has it. */
static bool
is_ours(WCHAR *path, DEVINST adapter, WCHAR pnp_id[WNBD_MAX_NAME_LENGTH])
{
	ULONG size = WNBD_MAX_NAME_LENGTH * sizeof(WCHAR);
	DEVINST device, parent;
	DEVPROPTYPE type;

	return CM_Get_Device_Interface_PropertyW(path, &instance_id_key, &type,
	    (BYTE *)pnp_id, &size, 0) == CR_SUCCESS && type == DEVPROP_TYPE_STRING &&
	    CM_Locate_DevNodeW(&device, pnp_id, CM_LOCATE_DEVNODE_NORMAL) ==
	    CR_SUCCESS && CM_Get_Parent(&parent, device, 0) == CR_SUCCESS &&
	    parent == adapter;
}

static void
match(WNBD_CONNECTION_INFO *info, size_t count, const struct found_disk *found)
{
	for (size_t i = 0; i < count; i++)
		if (info[i].BusNumber == found->address.PathId &&
		    info[i].TargetId == found->address.TargetId &&
		    info[i].Lun == found->address.Lun) {
			info[i].DiskNumber = (INT)found->number.DeviceNumber;
			memcpy(info[i].PNPDeviceID, found->pnp_id,
			    sizeof(found->pnp_id));
		}
}

static bool
all_known(const WNBD_CONNECTION_INFO *info, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (info[i].DiskNumber < 0 || info[i].PNPDeviceID[0] == L'\0')
			return false;
	return true;
}

/* The paths of all disks, one behind the other, an empty one at the end; to be freed.
 * There may be more of them by the second call. */
static WCHAR *
list_disks(void)
{
	GUID disk_class = disk_interface;
	WCHAR *list = NULL;
	CONFIGRET result;
	ULONG size;

	do {
		free(list);
		list = NULL;
		if (CM_Get_Device_Interface_List_SizeW(&size, &disk_class, NULL,
		    CM_GET_DEVICE_INTERFACE_LIST_PRESENT) != CR_SUCCESS)
			return NULL;
		list = calloc(size + 1, sizeof(*list));
		if (list == NULL)
			return NULL;
		result = CM_Get_Device_Interface_ListW(&disk_class, NULL, list, size,
		    CM_GET_DEVICE_INTERFACE_LIST_PRESENT);
	} while (result == CR_BUFFER_SMALL);
	if (result == CR_SUCCESS)
		return list;
	free(list);
	return NULL;
}

void
lib_find_disk(WNBD_CONNECTION_INFO *info, size_t count)
{
	DEVINST adapter;
	WCHAR *list;

	if (all_known(info, count) || WnbdGetAdapterDevInst(&adapter) != 0)
		return;
	list = list_disks();
	if (list == NULL)
		return;
	for (WCHAR *path = list; *path != L'\0'; path += wcslen(path) + 1) {
		struct found_disk found = { 0 };

		if (is_ours(path, adapter, found.pnp_id) && ask_disk(path, &found))
			match(info, count, &found);
	}
	free(list);
}
