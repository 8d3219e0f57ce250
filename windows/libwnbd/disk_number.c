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

/* GUID_DEVINTERFACE_DISK of ntddstor.h. */
static const GUID disk_interface = {
	0x53f56307, 0xb6bf, 0x11d0,
	{ 0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b }
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

static bool
is_below(DEVINST adapter, DEVINST device)
{
	DEVINST parent;

	return CM_Get_Parent(&parent, device, 0) == CR_SUCCESS && parent == adapter;
}

static bool
look_at(HDEVINFO set, SP_DEVICE_INTERFACE_DATA *data, DEVINST adapter,
    struct found_disk *found)
{
	SP_DEVINFO_DATA device = { .cbSize = sizeof(device) };
	SP_DEVICE_INTERFACE_DETAIL_DATA_W *detail;
	DWORD size = 0;
	bool ok;

	SetupDiGetDeviceInterfaceDetailW(set, data, NULL, 0, &size, NULL);
	detail = size < sizeof(*detail) ? NULL : calloc(1, size);
	if (detail == NULL)
		return false;
	detail->cbSize = sizeof(*detail);
	ok = SetupDiGetDeviceInterfaceDetailW(set, data, detail, size, NULL,
	    &device) && is_below(adapter, device.DevInst) &&
	    SetupDiGetDeviceInstanceIdW(set, &device, found->pnp_id,
	    WNBD_MAX_NAME_LENGTH, NULL) && ask_disk(detail->DevicePath, found);
	free(detail);
	return ok;
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

void
lib_find_disk(WNBD_CONNECTION_INFO *info, size_t count)
{
	SP_DEVICE_INTERFACE_DATA data = { .cbSize = sizeof(data) };
	DEVINST adapter;
	HDEVINFO set;

	if (all_known(info, count) || WnbdGetAdapterDevInst(&adapter) != 0)
		return;
	set = SetupDiGetClassDevsW(&disk_interface, NULL, NULL,
	    DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
	if (set == INVALID_HANDLE_VALUE)
		return;
	for (DWORD i = 0; SetupDiEnumDeviceInterfaces(set, NULL, &disk_interface, i,
	    &data); i++) {
		struct found_disk found = { 0 };

		if (look_at(set, &data, adapter, &found))
			match(info, count, &found);
	}
	SetupDiDestroyDeviceInfoList(set);
}
