/*
 * disk.c - disks: created, looked at, resized, closed.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "lib.h"

#ifndef ERROR_NO_SUCH_DEVICE		/* winerror.h */
#define ERROR_NO_SUCH_DEVICE 433
#endif

/* \\.\PhysicalDriveN */
static DWORD
open_drive(INT number, DWORD access, HANDLE *drive)
{
	char path[64];

	snprintf(path, sizeof(path), "\\\\.\\PhysicalDrive%d", number);
	*drive = CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
	return *drive != INVALID_HANDLE_VALUE ? 0 : GetLastError();
}

static bool
is_ended(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

/* What would confuse the library itself; the driver judges the rest. */
static DWORD
check_properties(const WNBD_PROPERTIES *p, const WNBD_INTERFACE *interface_)
{
	if (p->InstanceName[0] == '\0' ||
	    !is_ended(p->InstanceName, sizeof(p->InstanceName)) ||
	    !is_ended(p->SerialNumber, sizeof(p->SerialNumber)) ||
	    !is_ended(p->Owner, sizeof(p->Owner))) {
		LOG(Error, "Instance name, serial number or owner are empty or "
		    "too long");
		return ERROR_INVALID_PARAMETER;
	}
	if (!p->Flags.UseKernelNbd && interface_ == NULL) {
		LOG(Error, "%s: a disk needs an interface, or an NBD server",
		    p->InstanceName);
		return ERROR_INVALID_PARAMETER;
	}
	return 0;
}

DWORD
WnbdCreate(const PWNBD_PROPERTIES Properties, const PWNBD_INTERFACE Interface,
    PVOID Context, PWNBD_DISK *PDisk)
{
	WNBD_DISK *disk;
	DWORD status;
	char text[256];

	if (Properties == NULL || PDisk == NULL)
		return ERROR_INVALID_PARAMETER;
	status = check_properties(Properties, Interface);
	if (status != 0)
		return status;
	disk = calloc(1, sizeof(*disk));
	if (disk == NULL)
		return ERROR_OUTOFMEMORY;
	disk->Context = Context;
	disk->Interface = Interface;
	disk->Properties = *Properties;
	if (disk->Properties.Pid == 0)
		disk->Properties.Pid = (INT)GetCurrentProcessId();
	status = WnbdOpenAdapter(&disk->Handle);
	if (status != 0) {
		free(disk);
		return status;
	}
	status = WnbdIoctlCreate(disk->Handle, &disk->Properties,
	    &disk->ConnectionInfo, NULL);
	if (status != 0) {
		LOG(Error, "%s cannot be created: %s", disk->Properties.InstanceName,
		    lib_error_text(status, text, sizeof(text)));
		WnbdClose(disk);
		return status;
	}
	/* What the driver or the NBD server decided. */
	disk->Properties = disk->ConnectionInfo.Properties;
	*PDisk = disk;
	return 0;
}

DWORD
WnbdRemove(PWNBD_DISK Disk, PWNBD_REMOVE_OPTIONS RemoveOptions)
{
	DWORD status;

	if (Disk == NULL)
		return ERROR_INVALID_PARAMETER;
	/* Before the threads notice that it is gone. */
	Disk->Stopping = TRUE;
	status = WnbdRemoveEx(Disk->Properties.InstanceName, RemoveOptions);
	if (status != 0 && status != ERROR_FILE_NOT_FOUND)
		Disk->Stopping = FALSE;
	return status;
}

/* Windows asks a disk for its size when it is told to. */
static void
update_properties(WNBD_DISK *disk)
{
	WNBD_CONNECTION_INFO info;
	DWORD status = WnbdGetConnectionInfo(disk, &info);
	char text[256];
	HANDLE h;

	if (status != 0 || info.DiskNumber < 0)
		return;
	status = open_drive(info.DiskNumber, GENERIC_READ | GENERIC_WRITE, &h);
	if (status == 0) {
		status = lib_ioctl(h, IOCTL_DISK_UPDATE_PROPERTIES, NULL, 0, NULL, 0,
		    NULL, NULL);
		CloseHandle(h);
	}
	if (status != 0)
		LOG(Warning, "%s: Windows does not look at the new size: %s",
		    disk->Properties.InstanceName,
		    lib_error_text(status, text, sizeof(text)));
}

DWORD
WnbdSetDiskSize(PWNBD_DISK Disk, UINT64 BlockCount)
{
	DWORD status;

	if (Disk == NULL || BlockCount == 0)
		return ERROR_INVALID_PARAMETER;
	status = WnbdIoctlSetDiskSize(Disk->Handle, Disk->ConnectionInfo.ConnectionId,
	    BlockCount, NULL);
	if (status != 0)
		return status;
	Disk->Properties.BlockCount = BlockCount;
	update_properties(Disk);
	return 0;
}

VOID
WnbdClose(PWNBD_DISK Disk)
{
	if (Disk == NULL)
		return;
	for (UINT32 i = 0; i < Disk->DispatcherThreadsCount; i++)
		CloseHandle(Disk->DispatcherThreads[i]);
	free(Disk->DispatcherThreads);
	if (Disk->Handle != NULL)
		CloseHandle(Disk->Handle);
	free(Disk);
}

/* ---- looking ------------------------------------------------------------- */

DWORD
WnbdList(PWNBD_CONNECTION_LIST ConnectionList, PDWORD BufferSize)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlList(adapter, ConnectionList, BufferSize, NULL));
}

DWORD
WnbdShow(const char *InstanceName, PWNBD_CONNECTION_INFO ConnectionInfo)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlShow(adapter, InstanceName, ConnectionInfo, NULL));
}

DWORD
WnbdGetConnectionInfo(PWNBD_DISK Disk, PWNBD_CONNECTION_INFO ConnectionInfo)
{
	WNBD_CONNECTION_INFO now;

	if (Disk == NULL || ConnectionInfo == NULL)
		return ERROR_INVALID_PARAMETER;
	*ConnectionInfo = Disk->ConnectionInfo;
	/* The disk's number came after CREATE. */
	if (WnbdIoctlShow(Disk->Handle, Disk->Properties.InstanceName, &now, NULL) ==
	    0 && now.ConnectionId == Disk->ConnectionInfo.ConnectionId)
		*ConnectionInfo = now;
	return 0;
}

DWORD
WnbdGetDriverStats(const char *InstanceName, PWNBD_DRV_STATS Stats)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlStats(adapter, InstanceName, Stats, NULL));
}

DWORD
WnbdGetUserContext(PWNBD_DISK Disk, PVOID *Context)
{
	if (Disk == NULL || Context == NULL)
		return ERROR_INVALID_PARAMETER;
	*Context = Disk->Context;
	return 0;
}

/* ---- waiting for Windows ------------------------------------------------- */

/* It has a number before it can be opened. */
static DWORD
try_open(INT number)
{
	HANDLE disk;
	DWORD status = open_drive(number, GENERIC_READ, &disk);

	switch (status) {
	case 0:
		CloseHandle(disk);
		return 0;
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
	case ERROR_NOT_READY:
	case ERROR_NO_SUCH_DEVICE:
		return WAIT_TIMEOUT;
	default:
		return status;
	}
}

/* WAIT_TIMEOUT: not yet. */
static DWORD
poll_once(const char *name, bool expect_mapped, bool open_it, DWORD *number)
{
	WNBD_CONNECTION_INFO info;
	DWORD status = WnbdShow(name, &info);

	if (status == ERROR_FILE_NOT_FOUND)
		return expect_mapped ? status : WAIT_TIMEOUT;
	if (status != 0)
		return status;
	if (info.DiskNumber < 0)
		return WAIT_TIMEOUT;
	status = open_it ? try_open(info.DiskNumber) : 0;
	if (status == 0)
		*number = (DWORD)info.DiskNumber;
	return status;
}

DWORD
WnbdPollDiskNumber(const char *InstanceName, BOOLEAN ExpectMapped, BOOLEAN TryOpen,
    DWORD TimeoutMs, DWORD RetryIntervalMs, PDWORD DiskNumber)
{
	ULONGLONG deadline = lib_deadline(TimeoutMs);
	DWORD status;

	if (InstanceName == NULL || DiskNumber == NULL)
		return ERROR_INVALID_PARAMETER;
	do
		status = poll_once(InstanceName, ExpectMapped, TryOpen, DiskNumber);
	while (status == WAIT_TIMEOUT && lib_pause(deadline, RetryIntervalMs));
	return status;
}
