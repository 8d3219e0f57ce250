/*
 * test_format.c - file systems of Windows on a disk: made, written, read again.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * By PowerShell's Storage module, as an administrator would do it.
 */
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "tap.h"
#include "user_disk.h"

#define NAME		SELFTEST_NAME "format"
#define SCRIPT_MS	300000
#define LETTER		"W"		/* of the volume; it must be free */

/* Its exit status; -1: it could not be run, or did not end. */
static int
powershell(const char *script)
{
	STARTUPINFOA start = { .cb = sizeof(start) };
	PROCESS_INFORMATION p;
	char line[2048];
	DWORD status = (DWORD)-1;

	snprintf(line, sizeof(line), "powershell.exe -NoProfile -NonInteractive "
	    "-Command \"$ErrorActionPreference = 'Stop'; %s\"", script);
	if (!CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &start, &p))
		return -1;
	if (WaitForSingleObject(p.hProcess, SCRIPT_MS) == WAIT_OBJECT_0)
		GetExitCodeProcess(p.hProcess, &status);
	CloseHandle(p.hThread);
	CloseHandle(p.hProcess);
	return (int)status;
}

static void
test_file_system(const char *name, DWORD number)
{
	char script[1024];
	int status;

	snprintf(script, sizeof(script), "Set-Disk -Number %lu -IsOffline $false; "
	    "Set-Disk -Number %lu -IsReadOnly $false; "
	    "Clear-Disk -Number %lu -RemoveData -RemoveOEM -Confirm:$false "
	    "-ErrorAction SilentlyContinue; "
	    "Initialize-Disk -Number %lu -PartitionStyle GPT; "
	    "New-Partition -DiskNumber %lu -UseMaximumSize -DriveLetter " LETTER
	    " | Format-Volume -FileSystem %s -Confirm:$false | Out-Null",
	    number, number, number, number, number, name);
	status = powershell(script);
	tap_ok(status == 0, "%s is made (status %d)", name, status);
	status = powershell("$b = New-Object byte[] 8388608; "
	    "(New-Object Random 7).NextBytes($b); "
	    "[IO.File]::WriteAllBytes('" LETTER ":\\test', $b); "
	    "Write-VolumeCache " LETTER "; "
	    "$c = [IO.File]::ReadAllBytes('" LETTER ":\\test'); "
	    "for ($i = 0; $i -lt $b.Length; $i += 4093) "
	    "{ if ($b[$i] -ne $c[$i]) { exit 3 } }");
	tap_ok(status == 0, "%s: a file is what was written (status %d)", name, status);
	status = powershell("Repair-Volume -DriveLetter " LETTER " -Scan | Out-Null");
	tap_ok(status == 0, "%s: the volume is found good (status %d)", name, status);
}

void
test_format(void)
{
	struct user_disk user;
	struct device device;

	tap_note("---- file systems, as volume " LETTER ":");
	if (powershell("exit 0") != 0) {
		tap_skip("NTFS and ReFS", "there is no PowerShell");
		return;
	}
	if (!tap_is(user_disk_start(&user, NAME, 4 * GIB, 4096), 0, "a disk of 4 GiB"))
		return;
	if (tap_is(device_open(&device, NAME), 0, "Windows has the disk")) {
		DWORD number = device.number;

		device_close(&device);
		test_file_system("NTFS", number);
		test_file_system("ReFS", number);
	}
	tap_is(user_disk_stop(&user, true), 0, "a soft removal, with its volume");
}
