/*
 * cfgmgr32.c - a cfgmgr32.dll for tests: what Wine 8 lacks of Plug and Play.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The test port's disks as Plug and Play's devices, and a removal that can be vetoed:
 * in the directory of the program, a file "veto" with a number in it refuses so many
 * times.  Only what libwnbd calls.
 */
#include <windows.h>
#include <cfgmgr32.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define FIRST_DISK	0x1000		/* the DEVINST of disk 0 */
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
CM_Locate_DevNodeW(DEVINST *device, WCHAR *id, ULONG flags)
{
	const WCHAR *number = wcsrchr(id, L'&');

	(void)flags;
	*device = FIRST_DISK + wcstoul(number + 1, NULL, 16);
	return is_there(*device - FIRST_DISK) ? CR_SUCCESS : CR_NO_SUCH_DEVNODE;
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
