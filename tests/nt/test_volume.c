/*
 * test_volume.c - a FAT volume on a disk of this process: partmgr, fastfat, the cache.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * volume.py makes the volume, and looks at what is on it at the end.
 */
#include "tests.h"

#include <stdio.h>
#include "tap.h"

#define NAME		"nt-volume"
#define SIZE		(32 * MIB)
#define SOURCE		L"\\SystemRoot\\volume.img"
#define TARGET		L"\\SystemRoot\\volume.out"
#define HOST_SIZE	1000003u
#define NT_SIZE		3000017u
#define SMALL_FILES	40u
#define ROOM		(4 * MIB)

static struct user_disk user;
static uint8_t *buf;			/* ROOM bytes */
static WCHAR root[64];			/* of the volume */

static const WCHAR *
path_of(const WCHAR *name)
{
	static WCHAR path[100];

	_snwprintf(path, 100, L"%ls%ls", root, name);
	return path;
}

/* As in volume.py. */
static uint8_t
byte_at(uint32_t i, uint32_t seed)
{
	return (uint8_t)(i * 7 + i / 251 + seed);
}

static NTSTATUS
write_file(const WCHAR *name, uint32_t size, uint32_t seed, bool flush)
{
	NTSTATUS status;
	uint32_t i;
	HANDLE h;

	for (i = 0; i < size; i++)
		buf[i] = byte_at(i, seed);
	status = nt_file(&h, path_of(name), true);
	if (!NT_SUCCESS(status))
		return status;
	status = nt_write(h, 0, buf, size);
	if (NT_SUCCESS(status) && flush)
		status = nt_flush(h);
	NtClose(h);
	return status;
}

static NTSTATUS
compare(HANDLE h, uint32_t size, uint32_t seed)
{
	NTSTATUS status;
	uint32_t i;

	if (nt_size(h) != size)
		return STATUS_FILE_INVALID;
	memset(buf, 0, size);
	status = nt_read(h, 0, buf, size);
	for (i = 0; NT_SUCCESS(status) && i < size; i++)
		if (buf[i] != byte_at(i, seed))
			status = STATUS_CRC_ERROR;
	return status;
}

static NTSTATUS
compare_file(const WCHAR *name, uint32_t size, uint32_t seed)
{
	NTSTATUS status;
	HANDLE h;

	status = nt_file(&h, path_of(name), false);
	if (!NT_SUCCESS(status))
		return status;
	status = compare(h, size, seed);
	NtClose(h);
	return status;
}

/* ---- the image, in a file of the boot volume ------------------------------- */

static NTSTATUS
copy_image(const WCHAR *name, uint8_t *data, bool out)
{
	NTSTATUS status;
	uint64_t at;
	HANDLE h;

	status = nt_file(&h, name, out);
	for (at = 0; NT_SUCCESS(status) && at < SIZE; at += MIB)
		status = out ? nt_write(h, at, data + at, (ULONG)MIB) :
		    nt_read(h, at, data + at, (ULONG)MIB);
	if (NT_SUCCESS(status) && out)
		status = nt_flush(h);
	NtClose(h);
	return status;
}

/* ---- tests ----------------------------------------------------------------- */

static bool
mount(HANDLE adapter)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	WNBD_CONNECTION_INFO info;
	NTSTATUS status;
	HANDLE h;

	if (!tap_is(user_disk_start(&user, NAME, user.data, SIZE), STATUS_SUCCESS,
	    "a disk with a FAT volume") || !tap_is(adapter_disk(adapter, NAME, &h,
	    &info), STATUS_SUCCESS, "the system has it"))
		return false;
	NtClose(h);
	_snwprintf(root, 64, L"\\Device\\Harddisk%d\\Partition1\\", info.DiskNumber);
	do {
		status = nt_file(&h, path_of(L"HOST.BIN"), false);
		if (NT_SUCCESS(status))
			NtClose(h);
		else
			nt_sleep(200);
	} while (!NT_SUCCESS(status) && nt_now_ms() < end);
	return tap_is(status, STATUS_SUCCESS, "partmgr.sys and the file system, too");
}

static void
test_files(void)
{
	NTSTATUS status = STATUS_SUCCESS;
	WCHAR name[16];
	unsigned i;

	tap_is(compare_file(L"HOST.BIN", HOST_SIZE, 1), STATUS_SUCCESS,
	    "a file made on Linux is right");
	tap_is(write_file(L"NT.BIN", NT_SIZE, 2, true), STATUS_SUCCESS,
	    "a file of 3 MB is written and flushed");
	tap_ok(user.writes > 0 && user.flushes > 0, "writes and flushes came: %ld, %ld",
	    user.writes, user.flushes);
	for (i = 0; i < SMALL_FILES && NT_SUCCESS(status); i++) {
		_snwprintf(name, 16, L"S%02u.TXT", i);
		status = write_file(name, i * 100 + 1, i, false);
	}
	for (i = 0; i < SMALL_FILES && NT_SUCCESS(status); i += 2) {
		_snwprintf(name, 16, L"S%02u.TXT", i);
		status = nt_delete(path_of(name));
	}
	tap_is(status, STATUS_SUCCESS, "small files are written, some are deleted");
}

static NTSTATUS
dismount(void)
{
	WCHAR path[64];
	HANDLE volume;
	NTSTATUS status;
	size_t n = wcslen(root);

	memcpy(path, root, n * sizeof(WCHAR));
	path[n - 1] = 0;			/* the volume, not its root */
	status = nt_file(&volume, path, false);
	if (!NT_SUCCESS(status))
		return status;
	status = nt_fsctl(volume, FSCTL_LOCK_VOLUME);
	if (NT_SUCCESS(status))
		status = nt_fsctl(volume, FSCTL_DISMOUNT_VOLUME);
	NtClose(volume);
	return status;
}

static void
test_remount(void)
{
	LONG before;

	tap_is(dismount(), STATUS_SUCCESS, "the volume is locked and dismounted");
	before = user.reads;
	tap_is(compare_file(L"NT.BIN", NT_SIZE, 2), STATUS_SUCCESS,
	    "mounted again, the file is right");
	tap_ok(user.reads > before, "it was read from the disk");
	tap_is(compare_file(L"S07.TXT", 701, 7), STATUS_SUCCESS, "so is a small one");
}

/*
 * A file is open: the file system refuses a soft removal, and loses a hard one.  Nobody
 * says that a removal was refused; it would follow the question at once.
 */
static void
test_open_file(HANDLE adapter)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	ULONG queries = adapter_report(adapter).queries;
	WNBD_CONNECTION_INFO info;
	HANDLE h;

	if (!tap_is(nt_file(&h, path_of(L"HOST.BIN"), false), STATUS_SUCCESS,
	    "a file is opened") || !tap_is(adapter_show(adapter, NAME, &info),
	    STATUS_SUCCESS, "on a disk that is mapped"))
		return;
	adapter_test(adapter, TEST_LEAVE, info.TargetId);
	while (adapter_report(adapter).queries == queries && nt_now_ms() < end)
		nt_sleep(50);
	tap_ok(adapter_report(adapter).queries > queries,
	    "a soft removal is asked for");
	nt_sleep(2 * SECOND_MS);
	tap_is(adapter_show(adapter, NAME, &info), STATUS_SUCCESS,
	    "and refused: the disk is mapped as before");
	tap_is(compare(h, HOST_SIZE, 1), STATUS_SUCCESS, "the file is right");
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE takes it away");
	tap_ok(user_disk_ended(&user), "its process was told");
	tap_ok(adapter_is_gone(adapter, NAME), "it is not mapped any more");
	NtClose(h);
}

void
test_volume(HANDLE adapter)
{
	buf = nt_pages(ROOM);
	user.data = nt_pages(SIZE);
	if (!tap_is(copy_image(SOURCE, user.data, false), STATUS_SUCCESS,
	    "the image of a volume is read") || !mount(adapter))
		return;
	test_files();
	test_remount();
	tap_is(dismount(), STATUS_SUCCESS, "and dismounted once more");
	tap_ok(user.bad == 0, "the process was asked for nothing strange");
	tap_is(copy_image(TARGET, user.data, true), STATUS_SUCCESS,
	    "what the process has is kept for Linux to look at");
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	tap_ok(user_disk_ended(&user), "its process was told");
	if (mount(adapter))
		test_open_file(adapter);
}
