/*
 * test_user.c - disks that this process serves.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "tap.h"
#include "user_disk.h"

#define NAME		SELFTEST_NAME "user"
#define GONE_MS		30000

static struct user_disk user;
static struct device device;
static uint8_t *buf;			/* 64 KiB, aligned */
#define BUF_SIZE	65536u
/* Of writes: Wine cannot have more under way in a process whose memory the driver reads
 * meanwhile.  test_kernel.c writes larger ones. */
#define PIECE		32768u

static bool
start(uint64_t size, uint32_t block_size, const char *what)
{
	device.h = INVALID_HANDLE_VALUE;
	return tap_is(user_disk_start(&user, NAME, size, block_size), 0, what) &&
	    tap_is(device_open(&device, NAME), 0, "Windows has the disk");
}

static void
stop(bool soft, const char *what)
{
	WNBD_CONNECTION_INFO info;

	device_close(&device);
	tap_is(user_disk_stop(&user, soft), 0, what);
	tap_is(WnbdShow(NAME, &info), ERROR_FILE_NOT_FOUND,
	    "it is not mapped any more");
}

/* ---- one disk, in many ways ------------------------------------------------ */

static void
test_names(void)
{
	WNBD_CONNECTION_INFO info = { .DiskNumber = -1 };

	tap_is(WnbdShow(NAME, &info), 0, "WnbdShow");
	tap_ok(info.DiskNumber == (INT)device.number && info.PNPDeviceID[0] != L'\0',
	    "which tells the disk's number and device id");
	tap_ok(info.Properties.Pid == (INT)GetCurrentProcessId() &&
	    strcmp(info.Properties.Owner, "selftest") == 0,
	    "the process and the owner");
	info.DiskNumber = -1;
	tap_is(WnbdGetConnectionInfo(user.disk, &info), 0, "WnbdGetConnectionInfo");
	tap_ok(info.DiskNumber == (INT)device.number, "which tells the number, too");
	tap_ok(device_size(&device) == 64 * MIB, "the disk has its size");
}

static void
test_io(void)
{
	DWORD lun, adapter, error;
	WNBD_DRV_STATS s = { 0 };
	WNBD_USR_STATS u = { 0 };

	tap_is(device_exercise(&device, 0, 16 * MIB, PIECE, 1, 1), 0,
	    "16 MiB written, read and compared");
	tap_is(device_exercise(&device, MIB, 8 * MIB, 4096, 32, 2), 0,
	    "the same, 32 requests at once");
	tap_is(device_exercise(&device, 0, 16 * MIB, PIECE, 32, 3), 0,
	    "the same, in larger pieces");
	tap_is(device_compare(&device, 0, 16 * MIB, 1 << 20, 3), 0,
	    "read by the MiB");
	tap_is(device_flush(&device), 0, "a flush");
	tap_ok(user.flushes > 0, "which reached the process");
	tap_is(WnbdGetDriverStats(NAME, &s), 0, "WnbdGetDriverStats");
	tap_ok(s.TotalReceivedIORequests > 0 && s.OutstandingIOCount == 0 &&
	    s.TotalSubmittedIORequests == s.TotalReceivedIOReplies &&
	    s.LastReplyTimestamp != 0, "its counters add up");
	tap_is(WnbdGetUserspaceStats(user.disk, &u), 0, "WnbdGetUserspaceStats");
	tap_ok(u.TotalReceivedRequests == u.TotalReceivedReplies &&
	    u.TotalRWRequests == (UINT64)(user.reads + user.writes), "its own, too");
	error = WnbdIoctlGetIOLimits(device.h, &lun, &adapter, NULL);
	if (error == ERROR_INVALID_FUNCTION)
		tap_skip("WnbdIoctlGetIOLimits", "Windows does not tell (it is Wine?)");
	else
		tap_is(error, 0, "WnbdIoctlGetIOLimits");
}

static bool
scsi_is(const char *cdb, unsigned len, uint32_t data_len, bool in, uint8_t want,
    const char *what)
{
	uint8_t status = 0xff, sense[18] = { 0 };
	DWORD error = device_scsi(&device, cdb, len, buf, data_len, in, &status, sense);

	if (error != 0)
		return tap_is(error, 0, what);
	return tap_ok(status == want, "%s: status %u, sense %x/%02x/%02x", what, status,
	    sense[2] & 15, sense[12], sense[13]);
}
#define SCSI(cdb, data_len, in, want, what) \
	scsi_is(cdb, sizeof(cdb) - 1, data_len, in, want, what)

static void
test_scsi(void)
{
	memset(buf, 0x11, BUF_SIZE);
	SCSI("\x2a\x08\x00\x00\x00\x08\x00\x00\x08\x00", 4096, false, 0,
	    "WRITE (10) with FUA");
	tap_ok(user.fua > 0, "which reached the process");
	memset(buf, 0, 24);
	buf[1] = 22;
	buf[3] = 16;
	buf[15] = 8;
	buf[19] = 8;
	SCSI("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", 24, false, 0, "UNMAP");
	tap_ok(user.unmaps > 0 && device_read(&device, 4096, buf, 4096) == 0 &&
	    buf[0] == 0 && buf[4095] == 0, "which reached the process");
	SCSI("\x5e\x00\x00\x00\x00\x00\x00\x00\x08\x00", 8, true, 0,
	    "PERSISTENT RESERVE IN");
	tap_ok(user.reserve_in > 0 && buf[3] == 7, "whose answer came");
	SCSI("\x5f\x00\x01\x00\x00\x00\x00\x00\x18\x00", 24, false, 0,
	    "PERSISTENT RESERVE OUT");
	tap_ok(user.reserve_out == 24, "whose parameters came");
	SCSI("\x12\x01\x83\x00\xff\x00", 255, true, 0, "INQUIRY, VPD page 83h");
	SCSI("\xff\x00\x00\x00\x00\x00", 0, true, 2, "a command that there is not");
	SCSI("\x28\x00\x7f\xff\xff\xff\x00\x00\x08\x00", 4096, true, 2,
	    "READ (10) beyond the end");
}

static void
test_moods(void)
{
	tap_is(device_exercise(&device, 0, MIB, 4096, 32, 4), 0, "a pattern");
	user.mood = MOOD_SLOW;
	tap_is(device_exercise(&device, 0, MIB, PIECE, 8, 5), 0, "slow answers");
	user.mood = MOOD_SHORT;
	memset(buf, 0xee, BUF_SIZE);
	tap_ok(device_read(&device, 0, buf, 4096) == 0 && buf[511] != 0 &&
	    buf[512] == 0 && buf[4095] == 0, "short answers: the rest is zeroes");
	user.mood = MOOD_SICK;
	tap_ok(device_read(&device, 32 * MIB, buf, 4096) != 0, "an error is an error");
	user.mood = MOOD_WELL;
	tap_is(device_compare(&device, 0, MIB, 65536, 5), 0, "and the data is right");
}

static bool
has_size(uint64_t size)
{
	for (DWORD i = 0; i < GONE_MS / 100; i++) {
		if (device_size(&device) == size)
			return true;
		Sleep(100);
	}
	return false;
}

static void
test_resize(void)
{
	tap_is(WnbdSetDiskSize(user.disk, 128 * MIB / 512), 0, "WnbdSetDiskSize");
	tap_ok(has_size(128 * MIB), "Windows has the new size");
	tap_is(device_exercise(&device, 127 * MIB, MIB, PIECE, 8, 6), 0,
	    "I/O at the new end");
	tap_is(WnbdSetDiskSize(user.disk, 64 * MIB / 512), 0, "and smaller again");
	tap_ok(has_size(64 * MIB), "Windows has that size");
}

static DWORD WINAPI
load_thread(void *arg)
{
	volatile LONG *error = arg;

	*error = (LONG)device_exercise(&device, 0, 32 * MIB, PIECE, 64, 7);
	return 0;
}

static void
test_removal_under_load(void)
{
	WNBD_REMOVE_OPTIONS hard = { .Flags.HardRemove = 1 };
	volatile LONG error = 0;
	HANDLE thread;

	if (!start(64 * MIB, 512, "a disk to be removed under load"))
		return;
	user.mood = MOOD_SLOW;
	thread = CreateThread(NULL, 0, load_thread, (void *)(uintptr_t)&error, 0, NULL);
	while (user.writes < 16)
		Sleep(10);
	tap_is(WnbdRemoveEx(NAME, &hard), 0, "WnbdRemoveEx, hard, under load");
	tap_ok(WaitForSingleObject(thread, GONE_MS) == WAIT_OBJECT_0 && error != 0,
	    "the requests under way end, with an error");
	CloseHandle(thread);
	stop(false, "the dispatcher ends");
}

static void
test_sizes(void)
{
	static const uint32_t sectors[] = { 512, 4096 };

	for (unsigned i = 0; i < 2; i++) {
		if (start(3072 * GIB, sectors[i], "3 TiB")) {
			tap_ok(device_size(&device) == 3072 * GIB,
			    "of sectors of %lu bytes", (unsigned long)sectors[i]);
			tap_is(device_exercise(&device, 3072 * GIB - MIB, MIB, PIECE, 8,
			    8), 0, "I/O at the end");
			tap_is(device_exercise(&device, 2048 * GIB - MIB / 2, MIB,
			    PIECE, 8, 9), 0, "I/O across 2 TiB");
		}
		stop(false, "removed");
	}
}

void
test_user(void)
{
	struct user_disk second;

	tap_note("---- disks that this process serves");
	buf = VirtualAlloc(NULL, BUF_SIZE, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	if (buf == NULL || !start(64 * MIB, 512, "a disk of this process"))
		return;
	tap_is(user_disk_start(&second, NAME, MIB, 512), ERROR_ALREADY_EXISTS,
	    "its name is not used twice");
	test_names();
	test_io();
	test_scsi();
	test_moods();
	test_resize();
	stop(true, "a soft removal");
	test_removal_under_load();
	test_sizes();
	VirtualFree(buf, 0, MEM_RELEASE);
}
