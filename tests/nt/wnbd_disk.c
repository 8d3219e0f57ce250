/*
 * wnbd_disk.c - the adapter's commands, and a disk that this process serves.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "wnbd_disk.h"

#include <stdio.h>
#include <string.h>

#define ADAPTER	L"\\??\\Root#WNBD#0000#{949dd17c-b06c-4c14-8e13-f1a3a4a6dbcb}"
#define SLOW_MS	20
#define BUFFER	(2u << 20)

/* ---- the adapter ----------------------------------------------------------- */

NTSTATUS
adapter_open(HANDLE *h)
{
	return nt_open(h, ADAPTER);
}

NTSTATUS
adapter_command(HANDLE h, void *in, ULONG in_len, void *out, ULONG out_len)
{
	return nt_ioctl(h, ADAPTER_IOCTL, in, in_len, out, out_len, NULL);
}

NTSTATUS
adapter_test(HANDLE h, ULONG code, ULONG value)
{
	return nt_ioctl(h, code, &value, sizeof(value), NULL, 0, NULL);
}

struct test_report
adapter_report(HANDLE h)
{
	struct test_report report = { .violations = 1 };

	nt_ioctl(h, TEST_REPORT, NULL, 0, &report, sizeof(report), NULL);
	return report;
}

NTSTATUS
adapter_create(HANDLE h, const WNBD_PROPERTIES *p, WNBD_CONNECTION_INFO *info)
{
	WNBD_IOCTL_CREATE_COMMAND c = { .IoControlCode = IOCTL_WNBD_CREATE };

	c.Properties = *p;
	return adapter_command(h, &c, sizeof(c), info, sizeof(*info));
}

NTSTATUS
adapter_remove(HANDLE h, const char *name)
{
	WNBD_IOCTL_REMOVE_COMMAND c = { .IoControlCode = IOCTL_WNBD_REMOVE };

	strcpy(c.InstanceName, name);
	return adapter_command(h, &c, sizeof(c), NULL, 0);
}

NTSTATUS
adapter_show(HANDLE h, const char *name, WNBD_CONNECTION_INFO *info)
{
	WNBD_IOCTL_SHOW_COMMAND c = { .IoControlCode = IOCTL_WNBD_SHOW };

	strcpy(c.InstanceName, name);
	return adapter_command(h, &c, sizeof(c), info, sizeof(*info));
}

NTSTATUS
adapter_disk(HANDLE h, const char *name, HANDLE *disk, WNBD_CONNECTION_INFO *info)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	NTSTATUS status;
	WCHAR path[40];

	do {
		status = adapter_show(h, name, info);
		if (NT_SUCCESS(status) && info->DiskNumber >= 0) {
			/* disk.sys has a number first, then this name. */
			_snwprintf(path, 40, L"\\??\\PhysicalDrive%d",
			    info->DiskNumber);
			status = nt_open(disk, path);
			if (NT_SUCCESS(status))
				return status;
		}
		nt_sleep(100);
	} while (nt_now_ms() < end);
	return NT_SUCCESS(status) ? STATUS_TIMEOUT : status;
}

bool
adapter_is_gone(HANDLE h, const char *name)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	WNBD_CONNECTION_INFO info;

	do {
		if (adapter_show(h, name, &info) == STATUS_OBJECT_NAME_NOT_FOUND)
			return true;
		nt_sleep(100);
	} while (nt_now_ms() < end);
	return false;
}

/* ---- the server ------------------------------------------------------------ */

static NTSTATUS
respond(struct user_disk *u, HANDLE h, const WNBD_IO_REQUEST *q, void *data,
    uint32_t len)
{
	WNBD_IOCTL_SEND_RSP_COMMAND c = { .IoControlCode = IOCTL_WNBD_SEND_RSP };

	c.ConnectionId = u->id;
	c.Response.RequestHandle = q->RequestHandle;
	c.Response.RequestType = q->RequestType;
	c.DataBuffer = data;
	c.DataBufferSize = len;
	return adapter_command(h, &c, sizeof(c), NULL, 0);
}

static uint64_t
place(struct user_disk *u, uint64_t block, uint64_t count, uint64_t *len)
{
	uint64_t offset = block * 512;

	*len = count * 512;
	if (offset > u->size || *len > u->size - offset ||
	    *len > u->room - offset % u->room) {
		InterlockedIncrement(&u->bad);
		*len = 0;
		return 0;
	}
	return offset % u->room;
}

static void
do_unmap(struct user_disk *u, const WNBD_IO_REQUEST *q, const void *buf)
{
	const WNBD_UNMAP_DESCRIPTOR *d = buf;
	uint64_t offset, len;
	UINT32 i;

	InterlockedIncrement(&u->unmaps);
	for (i = 0; i < q->Cmd.Unmap.Count; i++) {
		offset = place(u, d[i].BlockAddress, d[i].BlockCount, &len);
		memset(u->data + offset, 0, len);
	}
}

/* False: there is no answer. */
static bool
carry_out(struct user_disk *u, const WNBD_IO_REQUEST *q, void *buf, uint8_t **data,
    uint64_t *len)
{
	uint64_t offset, size;

	*len = 0;
	*data = NULL;
	switch (q->RequestType) {
	case WnbdReqTypeRead:
		InterlockedIncrement(&u->reads);
		offset = place(u, q->Cmd.Read.BlockAddress, q->Cmd.Read.BlockCount,
		    len);
		*data = u->data + offset;
		return u->mood != MOOD_DEAF;
	case WnbdReqTypeWrite:
		InterlockedIncrement(&u->writes);
		InterlockedExchangeAdd(&u->fua, (LONG)q->Cmd.Write.ForceUnitAccess);
		offset = place(u, q->Cmd.Write.BlockAddress, q->Cmd.Write.BlockCount,
		    &size);
		if (u->mood == MOOD_DEAF)
			return false;
		memcpy(u->data + offset, buf, size);
		return true;
	case WnbdReqTypeFlush:
		InterlockedIncrement(&u->flushes);
		return true;
	case WnbdReqTypeUnmap:
		do_unmap(u, q, buf);
		return true;
	default:
		InterlockedIncrement(&u->bad);
		return true;
	}
}

static void
serve(void *arg)
{
	struct user_disk *u = arg;
	WNBD_IOCTL_FETCH_REQ_COMMAND c;
	void *buf = nt_pages(BUFFER);
	uint8_t *data;
	uint64_t len;
	NTSTATUS status;

	for (;;) {
		memset(&c, 0, sizeof(c));
		c.IoControlCode = IOCTL_WNBD_FETCH_REQ;
		c.ConnectionId = u->id;
		c.DataBuffer = buf;
		c.DataBufferSize = BUFFER;
		status = adapter_command(u->port, &c, sizeof(c), &c, sizeof(c));
		if (!NT_SUCCESS(status) ||
		    c.Request.RequestType == WnbdReqTypeDisconnect)
			return;
		if (!carry_out(u, &c.Request, buf, &data, &len))
			continue;
		if (u->mood == MOOD_SLOW)
			nt_sleep(SLOW_MS);
		respond(u, u->port, &c.Request, data, (uint32_t)len);
	}
}

WNBD_PROPERTIES
user_disk_properties(const char *name, uint64_t size)
{
	WNBD_PROPERTIES p = { .BlockSize = 512, .BlockCount = size / 512,
		.MaxUnmapDescCount = 8 };

	strcpy(p.InstanceName, name);
	strcpy(p.Owner, "nt");
	p.Flags.FlushSupported = p.Flags.FUASupported = p.Flags.UnmapSupported = 1;
	return p;
}

NTSTATUS
user_disk_start(struct user_disk *u, const char *name, void *data, uint64_t size)
{
	return user_disk_start_large(u, name, data, size, size);
}

NTSTATUS
user_disk_start_large(struct user_disk *u, const char *name, void *data, uint64_t room,
    uint64_t size)
{
	WNBD_PROPERTIES p = user_disk_properties(name, size);
	WNBD_CONNECTION_INFO info;
	NTSTATUS status;
	unsigned i;

	memset(u, 0, sizeof(*u));
	u->data = data;
	u->room = room;
	u->size = size;
	status = adapter_open(&u->port);
	if (NT_SUCCESS(status))
		status = adapter_create(u->port, &p, &info);
	if (!NT_SUCCESS(status))
		return status;
	u->id = info.ConnectionId;
	for (i = 0; i < SERVERS; i++)
		u->thread[i] = nt_thread(serve, u);
	return STATUS_SUCCESS;
}

bool
user_disk_ended(struct user_disk *u)
{
	bool ended = true;
	unsigned i;

	for (i = 0; i < SERVERS; i++) {
		ended &= nt_wait(u->thread[i], LONG_MS) == STATUS_SUCCESS;
		NtClose(u->thread[i]);
	}
	NtClose(u->port);
	return ended;
}
