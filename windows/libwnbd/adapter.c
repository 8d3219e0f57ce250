/*
 * adapter.c - the WNBD adapter: found by its interface, opened, reset.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "lib.h"

#define RESET_TIMEOUT_MS 10000
#define RESET_RETRY_MS	1000

/* To be freed; NULL: none is there. */
static SP_DEVICE_INTERFACE_DETAIL_DATA_W *
interface_detail(HDEVINFO set, DWORD index, SP_DEVINFO_DATA *device)
{
	SP_DEVICE_INTERFACE_DATA interface_data = { .cbSize = sizeof(interface_data) };
	SP_DEVICE_INTERFACE_DETAIL_DATA_W *detail;
	DWORD size = 0;

	if (!SetupDiEnumDeviceInterfaces(set, NULL, &WNBD_GUID, index,
	    &interface_data))
		return NULL;
	SetupDiGetDeviceInterfaceDetailW(set, &interface_data, NULL, 0, &size, NULL);
	if (size < sizeof(*detail))
		return NULL;
	detail = calloc(1, size);
	if (detail == NULL)
		return NULL;
	detail->cbSize = sizeof(*detail);
	if (SetupDiGetDeviceInterfaceDetailW(set, &interface_data, detail, size, NULL,
	    device))
		return detail;
	free(detail);
	return NULL;
}

/* handle or device may be NULL when it is not wanted. */
static DWORD
open_first(HDEVINFO set, HANDLE *handle, DEVINST *device)
{
	SP_DEVINFO_DATA info = { .cbSize = sizeof(info) };
	SP_DEVICE_INTERFACE_DETAIL_DATA_W *detail = interface_detail(set, 0, &info);
	DWORD status = 0;

	if (detail == NULL)
		return ERROR_OPEN_FAILED;
	if (handle != NULL) {
		*handle = CreateFileW(detail->DevicePath, GENERIC_READ | GENERIC_WRITE,
		    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
		    FILE_FLAG_OVERLAPPED, NULL);
		if (*handle == INVALID_HANDLE_VALUE)
			status = GetLastError();
	}
	if (device != NULL)
		*device = info.DevInst;
	free(detail);
	return status;
}

static DWORD
find_adapter(HANDLE *handle, DEVINST *device)
{
	HDEVINFO set = SetupDiGetClassDevsW(&WNBD_GUID, NULL, NULL,
	    DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
	DWORD status = ERROR_OPEN_FAILED;
	char text[256];

	if (set != INVALID_HANDLE_VALUE) {
		status = open_first(set, handle, device);
		SetupDiDestroyDeviceInfoList(set);
	}
	if (status == 0)
		return 0;
	if (status == ERROR_OPEN_FAILED)
		LOG(Error, "There is no WNBD adapter. Is the driver installed?");
	else if (status == ERROR_ACCESS_DENIED)
		LOG(Error, "The WNBD adapter cannot be opened: access denied. "
		    "Use an elevated command prompt.");
	else
		LOG(Error, "The WNBD adapter cannot be opened: %s",
		    lib_error_text(status, text, sizeof(text)));
	return ERROR_OPEN_FAILED;	/* whatever it was: programs look for this */
}

DWORD
WnbdOpenAdapterEx(PHANDLE Handle, PDEVINST DeviceInstance)
{
	if (Handle == NULL || DeviceInstance == NULL)
		return ERROR_INVALID_PARAMETER;
	return find_adapter(Handle, DeviceInstance);
}

DWORD
WnbdOpenAdapter(PHANDLE Handle)
{
	return Handle == NULL ? ERROR_INVALID_PARAMETER : find_adapter(Handle, NULL);
}

DWORD
WnbdGetAdapterDevInst(PDEVINST DeviceInstance)
{
	return DeviceInstance == NULL ? ERROR_INVALID_PARAMETER :
	    find_adapter(NULL, DeviceInstance);
}

DWORD
WnbdOpenAdapterCMDeviceInstance(PDEVINST DeviceInstance)
{
	return WnbdGetAdapterDevInst(DeviceInstance);
}

DWORD
lib_done(HANDLE adapter, DWORD status)
{
	CloseHandle(adapter);
	return status;
}

DWORD
WnbdResetAdapterEx(DWORD TimeoutMs, DWORD RetryIntervalMs)
{
	ULONGLONG deadline = lib_deadline(TimeoutMs);
	DEVINST device;
	CONFIGRET result;
	DWORD status = WnbdGetAdapterDevInst(&device);

	if (status == 0)
		status = lib_soft_remove(device, "the adapter", deadline,
		    RetryIntervalMs);
	if (status != 0)
		return status;
	result = CM_Setup_DevNode(device, CM_SETUP_DEVNODE_READY);
	if (result == CR_SUCCESS)
		return 0;
	LOG(Error, "The adapter was stopped, but does not start: CONFIGRET %lu",
	    result);
	return ERROR_DEVICE_NOT_AVAILABLE;
}

DWORD
WnbdResetAdapter(VOID)
{
	return WnbdResetAdapterEx(RESET_TIMEOUT_MS, RESET_RETRY_MS);
}
