/*
 * cfgmgr32.c - a cfgmgr32.dll for tests: what Wine 8 lacks of Plug and Play.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The test port's disks as Plug and Play's devices, and a removal that can be vetoed:
 * in the directory of the program, a file "veto" with a number in it refuses so many
 * times.  Only what libwnbd calls.
 */
#include <windows.h>
#include <setupapi.h>
#include <cfgmgr32.h>
#include <devpropdef.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static const GUID wnbd_interface = {
	0x949dd17c, 0xb06c, 0x4c14,
	{ 0x8e, 0x13, 0xf1, 0xa3, 0xa4, 0xa6, 0xdb, 0xcb }
};

#define FIRST_DISK	0x1000		/* the DEVINST of disk 0 */
#define DISKS_MAX	64
#define ID		L"SCSI\\DISK&VEN_WNBD&PROD_WNBD_DISK\\1&TEST&0&%04X"
#define PATH		L"\\\\.\\PhysicalDrive%u"

#define EXPORT __declspec(dllexport)

static BOOL
is_there(unsigned number)
{
	WCHAR path[64];
	HANDLE h;

	_snwprintf(path, 64, PATH, number);
	h = CreateFileW(path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, 0, NULL);
	if (h == INVALID_HANDLE_VALUE)
		return FALSE;
	CloseHandle(h);
	return TRUE;
}

EXPORT CONFIGRET WINAPI
CM_Get_Device_Interface_ListW(GUID *class_guid, WCHAR *id, WCHAR *list, ULONG size,
    ULONG flags)
{
	ULONG used = 0;

	(void)class_guid;
	(void)id;
	(void)flags;
	for (unsigned i = 0; i < DISKS_MAX; i++) {
		if (!is_there(i))
			continue;
		if (used + 32 > size)
			return CR_BUFFER_SMALL;
		used += (ULONG)_snwprintf(list + used, 32, PATH, i) + 1;
	}
	list[used] = L'\0';
	return CR_SUCCESS;
}

EXPORT CONFIGRET WINAPI
CM_Get_Device_Interface_List_SizeW(ULONG *size, GUID *class_guid, WCHAR *id,
    ULONG flags)
{
	(void)class_guid;
	(void)id;
	(void)flags;
	*size = DISKS_MAX * 32;
	return CR_SUCCESS;
}

EXPORT CONFIGRET WINAPI
CM_Get_Device_Interface_PropertyW(const WCHAR *path, const DEVPROPKEY *key,
    DEVPROPTYPE *type, BYTE *buf, ULONG *size, ULONG flags)
{
	(void)key;
	(void)flags;
	*type = DEVPROP_TYPE_STRING;
	_snwprintf((WCHAR *)buf, *size / sizeof(WCHAR), ID,
	    (unsigned)wcstoul(path + 17, NULL, 10));
	return CR_SUCCESS;
}

EXPORT CONFIGRET WINAPI
CM_Locate_DevNodeW(DEVINST *device, WCHAR *id, ULONG flags)
{
	const WCHAR *number = wcsrchr(id, L'&');

	(void)flags;
	*device = FIRST_DISK + wcstoul(number + 1, NULL, 16);
	return is_there(*device - FIRST_DISK) ? CR_SUCCESS : CR_NO_SUCH_DEVNODE;
}

/* The adapter's, as setupapi numbers it in this process. */
static DEVINST
adapter(void)
{
	HDEVINFO set = SetupDiGetClassDevsW(&wnbd_interface, NULL, NULL,
	    DIGCF_DEVICEINTERFACE | DIGCF_PRESENT);
	SP_DEVINFO_DATA info = { .cbSize = sizeof(info) };

	SetupDiEnumDeviceInfo(set, 0, &info);
	SetupDiDestroyDeviceInfoList(set);
	return info.DevInst;
}

EXPORT CONFIGRET WINAPI
CM_Get_Parent(DEVINST *parent, DEVINST device, ULONG flags)
{
	(void)device;
	(void)flags;
	*parent = adapter();
	return CR_SUCCESS;
}

static long
vetoes_left(void)
{
	FILE *f = fopen("veto", "r+");
	long n = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%ld", &n) == 1 && n > 0) {
		rewind(f);
		fprintf(f, "%ld \n", n - 1);
	}
	fclose(f);
	return n;
}

EXPORT CONFIGRET WINAPI
CM_Query_And_Remove_SubTreeW(DEVINST device, PNP_VETO_TYPE *veto, WCHAR *name,
    ULONG size, ULONG flags)
{
	(void)device;
	(void)flags;
	if (vetoes_left() == 0)
		return CR_SUCCESS;
	*veto = PNP_VetoOutstandingOpen;
	_snwprintf(name, size, L"STORAGE\\Volume\\test");
	return CR_REMOVE_VETOED;
}

EXPORT CONFIGRET WINAPI
CM_Setup_DevNode(DEVINST device, ULONG flags)
{
	(void)device;
	(void)flags;
	return CR_SUCCESS;
}
