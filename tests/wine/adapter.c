/*
 * adapter.c - the driver's ioctls, for the test programs.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_IRP	0x0004d038

HANDLE
adapter_open(void)
{
	HANDLE h = INVALID_HANDLE_VALUE;
	int tries;

	/* It comes a moment after its service was started. */
	for (tries = 0; tries < 100 && h == INVALID_HANDLE_VALUE; tries++) {
		if (tries > 0)
			Sleep(50);
		h = CreateFileA("\\\\.\\Scsi0:", GENERIC_READ | GENERIC_WRITE,
		    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
		    FILE_FLAG_OVERLAPPED, NULL);
	}
	if (h == INVALID_HANDLE_VALUE) {
		printf("no adapter: %lu\n", GetLastError());
		exit(1);
	}
	return h;
}

DWORD
device_ioctl(HANDLE h, DWORD code, void *in, DWORD in_len, void *out, DWORD out_len,
    DWORD *got)
{
	OVERLAPPED o = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	DWORD error = 0;

	*got = 0;
	if (!DeviceIoControl(h, code, in, in_len, out, out_len, got, &o)) {
		error = GetLastError();
		if (error == ERROR_IO_PENDING)
			error = GetOverlappedResult(h, &o, got, TRUE) ? 0 :
			    GetLastError();
	}
	CloseHandle(o.hEvent);
	return error;
}

DWORD
adapter_ioctl(HANDLE h, void *in, DWORD in_len, void *out, DWORD out_len, DWORD *got)
{
	return device_ioctl(h, SERVICE_IRP, in, in_len, out, out_len, got);
}

HANDLE
disk_open(HANDLE adapter, const char *instance, WNBD_CONNECTION_INFO *info)
{
	WNBD_IOCTL_SHOW_COMMAND show = { .IoControlCode = IOCTL_WNBD_SHOW };
	char path[64];
	ULONG number;
	DWORD got, error;
	int tries;

	snprintf(show.InstanceName, sizeof(show.InstanceName), "%s", instance);
	error = adapter_ioctl(adapter, &show, sizeof(show), info, sizeof(*info), &got);
	for (tries = 0; error == 0 && tries < 200; tries++) {
		HANDLE h;

		number = info->TargetId;
		if (device_ioctl(adapter, TEST_DISK_NUMBER, &number, sizeof(number),
		    &number, sizeof(number), &got) == 0) {
			snprintf(path, sizeof(path), "\\\\.\\PhysicalDrive%lu", number);
			h = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
			    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
			    FILE_FLAG_OVERLAPPED, NULL);
			if (h != INVALID_HANDLE_VALUE)
				return h;
		}
		Sleep(50);
	}
	printf("%s: no disk: %lu\n", instance, error);
	return INVALID_HANDLE_VALUE;
}
