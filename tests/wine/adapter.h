/*
 * adapter.h - the driver's ioctls, for the test programs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Errors are Win32 numbers; 0 is success.
 */
#ifndef TEST_ADAPTER_H
#define TEST_ADAPTER_H

#include <windows.h>
#include <winioctl.h>

#include "wnbd_ioctl.h"

#include "test_ioctl.h"

HANDLE	adapter_open(void);		/* exits when there is none */
/* Any ioctl of a handle that was opened for overlapped use. */
DWORD	device_ioctl(HANDLE, DWORD code, void *in, DWORD in_len, void *out,
	    DWORD out_len, DWORD *got);
/* IOCTL_MINIPORT_PROCESS_SERVICE_IRP */
DWORD	adapter_ioctl(HANDLE, void *in, DWORD in_len, void *out, DWORD out_len,
	    DWORD *got);
/* \\.\PhysicalDriveN of an instance; INVALID_HANDLE_VALUE within ten seconds. */
HANDLE	disk_open(HANDLE adapter, const char *instance, WNBD_CONNECTION_INFO *);

#endif
