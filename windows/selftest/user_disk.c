/*
 * user_disk.c - a disk that this process serves, through libwnbd.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "user_disk.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"

#define THREADS		8
#define SLOW_MS		20
#define SHORT_BYTES	512
#define MEDIUM_ERROR	3
#define UNRECOVERED	0x11
#define SOFT_MS		60000
#define SOFT_RETRY_MS	500

static struct user_disk *
of(PWNBD_DISK disk)
{
	void *context = NULL;

	WnbdGetUserContext(disk, &context);
	return context;
}

static void
answer(PWNBD_DISK disk, UINT64 handle, WnbdRequestType type, bool ok, void *data,
    UINT32 size)
{
	WNBD_IO_RESPONSE r = { .RequestHandle = handle, .RequestType = type };

	if (of(disk)->mood == MOOD_SLOW)
		Sleep(SLOW_MS);
	if (!ok)
		WnbdSetSense(&r.Status, MEDIUM_ERROR, UNRECOVERED);
	(void)WnbdSendResponse(disk, &r, data, size);
}

static VOID
do_read(PWNBD_DISK disk, UINT64 handle, PVOID buf, UINT64 address, UINT32 count,
    BOOLEAN fua)
{
	struct user_disk *u = of(disk);
	UINT32 size = count * disk->Properties.BlockSize;
	bool ok = u->mood != MOOD_SICK;

	(void)fua;
	InterlockedIncrement(&u->reads);
	if (u->mood == MOOD_DEAF)
		return;
	memory_read(u->memory, address * disk->Properties.BlockSize, buf, size);
	if (u->mood == MOOD_SHORT && size > SHORT_BYTES)
		size = SHORT_BYTES;
	answer(disk, handle, WnbdReqTypeRead, ok, buf, ok ? size : 0);
}

static VOID
do_write(PWNBD_DISK disk, UINT64 handle, PVOID buf, UINT64 address, UINT32 count,
    BOOLEAN fua)
{
	struct user_disk *u = of(disk);

	InterlockedIncrement(&u->writes);
	if (fua)
		InterlockedIncrement(&u->fua);
	answer(disk, handle, WnbdReqTypeWrite, u->mood != MOOD_SICK &&
	    memory_write(u->memory, address * disk->Properties.BlockSize, buf,
	    count * disk->Properties.BlockSize), NULL, 0);
}

static VOID
do_flush(PWNBD_DISK disk, UINT64 handle, UINT64 address, UINT32 count)
{
	(void)address;
	(void)count;
	InterlockedIncrement(&of(disk)->flushes);
	answer(disk, handle, WnbdReqTypeFlush, true, NULL, 0);
}

static VOID
do_unmap(PWNBD_DISK disk, UINT64 handle, PWNBD_UNMAP_DESCRIPTOR range, UINT32 count)
{
	struct user_disk *u = of(disk);
	uint64_t block = disk->Properties.BlockSize;

	InterlockedIncrement(&u->unmaps);
	for (UINT32 i = 0; i < count; i++)
		memory_zero(u->memory, range[i].BlockAddress * block,
		    range[i].BlockCount * block);
	answer(disk, handle, WnbdReqTypeUnmap, true, NULL, 0);
}

static VOID
do_reserve_in(PWNBD_DISK disk, UINT64 handle, UINT8 action)
{
	uint8_t keys[8] = { 0, 0, 0, 7, 0, 0, 0, action };

	InterlockedIncrement(&of(disk)->reserve_in);
	answer(disk, handle, WnbdReqTypePersistResIn, true, keys, sizeof(keys));
}

static VOID
do_reserve_out(PWNBD_DISK disk, UINT64 handle, UINT8 action, UINT8 scope, UINT8 type,
    PVOID buf, UINT32 len)
{
	(void)action;
	(void)scope;
	(void)type;
	(void)buf;
	InterlockedExchangeAdd(&of(disk)->reserve_out, (LONG)len);
	answer(disk, handle, WnbdReqTypePersistResOut, true, NULL, 0);
}

static const WNBD_INTERFACE interface_ = {
	.Read = do_read, .Write = do_write, .Flush = do_flush, .Unmap = do_unmap,
	.PersistResIn = do_reserve_in, .PersistResOut = do_reserve_out,
};

DWORD
user_disk_start(struct user_disk *u, const char *name, uint64_t size,
    uint32_t block_size)
{
	WNBD_PROPERTIES p = { .BlockSize = block_size, .BlockCount = size / block_size,
		.MaxUnmapDescCount = 8 };
	DWORD error;

	memset(u, 0, sizeof(*u));
	snprintf(p.InstanceName, sizeof(p.InstanceName), "%s", name);
	snprintf(p.Owner, sizeof(p.Owner), "selftest");
	p.Flags.FlushSupported = p.Flags.FUASupported = p.Flags.UnmapSupported = 1;
	p.Flags.PersistResSupported = 1;
	u->memory = memory_new();
	if (u->memory == NULL)
		return ERROR_OUTOFMEMORY;
	error = WnbdCreate(&p, (PWNBD_INTERFACE)(uintptr_t)&interface_, u, &u->disk);
	if (error == 0) {
		error = WnbdStartDispatcher(u->disk, THREADS);
		if (error == 0)
			return 0;
		WnbdClose(u->disk);
	}
	memory_free(u->memory);
	u->disk = NULL;
	return error;
}

DWORD
user_disk_stop(struct user_disk *u, bool soft)
{
	WNBD_REMOVE_OPTIONS options = {
		.Flags.HardRemove = !soft, .SoftRemoveTimeoutMs = SOFT_MS,
		.SoftRemoveRetryIntervalMs = SOFT_RETRY_MS,
	};
	DWORD error;

	if (u->disk == NULL)
		return ERROR_FILE_NOT_FOUND;
	error = WnbdStopDispatcher(u->disk, &options);
	if (error != 0 && soft) {
		options.Flags.HardRemove = 1;
		(void)WnbdStopDispatcher(u->disk, &options);
	}
	(void)WnbdWaitDispatcher(u->disk);
	WnbdClose(u->disk);
	memory_free(u->memory);
	u->disk = NULL;
	return error;
}
