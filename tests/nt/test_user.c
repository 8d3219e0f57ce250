/*
 * test_user.c - disks that this process serves, as the system's class driver sees them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <stddef.h>
#include <winioctl.h>

#include "tap.h"

#define NAME	"nt-user"
#define SIZE	(32 * MIB)
#define LARGE	(UINT64_C(3) << 40)

static struct user_disk user;

static uint64_t
size_of(HANDLE disk)
{
	GET_LENGTH_INFORMATION info;

	if (!NT_SUCCESS(nt_ioctl(disk, IOCTL_DISK_GET_LENGTH_INFO, NULL, 0, &info,
	    sizeof(info), NULL)))
		return 0;
	return (uint64_t)info.Length.QuadPart;
}

static void
test_io(HANDLE disk)
{
	tap_is(exercise(disk, 0, 8 * MIB, 65536, 1, 1), STATUS_SUCCESS,
	    "8 MiB written, read and compared");
	tap_is(exercise(disk, MIB, 4 * MIB, 4096, 32, 2), STATUS_SUCCESS,
	    "4 MiB, 32 requests at once");
	tap_is(exercise(disk, 0, 16 * MIB, 1 << 20, 8, 3), STATUS_SUCCESS,
	    "16 MiB in pieces of 1 MiB");
	tap_ok(user.bad == 0, "the process was asked for nothing strange");
}

static void
stop(HANDLE adapter, HANDLE disk)
{
	NtClose(disk);
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	tap_ok(adapter_is_gone(adapter, NAME), "it is not mapped any more");
	tap_ok(user_disk_ended(&user), "its process was told: DISCONNECT");
}

static void
test_large(HANDLE adapter, void *data)
{
	WNBD_CONNECTION_INFO info;
	HANDLE disk;

	if (!tap_is(user_disk_start_large(&user, NAME, data, SIZE, LARGE),
	    STATUS_SUCCESS, "a disk of 3 TiB"))
		return;
	if (tap_is(adapter_disk(adapter, NAME, &disk, &info), STATUS_SUCCESS,
	    "disk.sys has it")) {
		tap_ok(size_of(disk) == LARGE, "it has its size");
		tap_is(exercise(disk, LARGE - MIB, MIB, 65536, 8, 4), STATUS_SUCCESS,
		    "I/O at the end");
		tap_is(exercise(disk, LARGE / 3 * 2 - MIB, 2 * MIB, 65536, 8, 5),
		    STATUS_SUCCESS, "I/O across 2 TiB");
	}
	stop(adapter, disk);
}

void
test_user(HANDLE adapter)
{
	WNBD_CONNECTION_INFO info = { .DiskNumber = -1 };
	void *data = nt_pages(SIZE);
	HANDLE disk;

	if (!tap_is(user_disk_start(&user, NAME, data, SIZE), STATUS_SUCCESS,
	    "CREATE: a disk of this process"))
		return;
	if (!tap_is(adapter_disk(adapter, NAME, &disk, &info), STATUS_SUCCESS,
	    "disk.sys has it, and SHOW tells its number"))
		return;
	tap_note("disk %d, %ls", info.DiskNumber, info.PNPDeviceID);
	tap_ok(info.PNPDeviceID[0] != 0, "and its device instance id");
	tap_ok(size_of(disk) == SIZE, "it has its size");
	test_io(disk);
	stop(adapter, disk);
	test_large(adapter, data);
}
