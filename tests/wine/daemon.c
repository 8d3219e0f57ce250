/*
 * daemon.c - a process that serves a disk from its memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter.h"

#define THREADS		4
#define BUFFER		WNBD_DEFAULT_MAX_TRANSFER_LENGTH

struct daemon {
	HANDLE	 adapter;
	const char *mode;
	WNBD_CONNECTION_INFO info;
	UINT32	 block_size;
	UINT8	*memory;
	LONG	 requests, flushes, unmaps, fua, in, out;
};

static BOOL
is(const struct daemon *d, const char *mode)
{
	return strcmp(d->mode, mode) == 0;
}

static void
fail(WNBD_STATUS *s, UINT8 key, UINT8 asc)
{
	s->ScsiStatus = 2;
	s->SenseKey = key;
	s->ASC = asc;
}

static void
unmap(struct daemon *d, const WNBD_UNMAP_DESCRIPTOR *range, UINT32 count)
{
	UINT32 i;

	for (i = 0; i < count; i++)
		memset(d->memory + range[i].BlockAddress * d->block_size, 0,
		    (size_t)range[i].BlockCount * d->block_size);
	InterlockedIncrement(&d->unmaps);
}

/* The length of the data that goes back. */
static UINT32
serve(struct daemon *d, const WNBD_IO_REQUEST *r, UINT8 *buf, WNBD_STATUS *s)
{
	UINT64 at = r->Cmd.Read.BlockAddress * d->block_size;
	UINT32 len = r->Cmd.Read.BlockCount * d->block_size;

	switch (r->RequestType) {
	case WnbdReqTypeRead:
		memcpy(buf, d->memory + at, len);
		return len;
	case WnbdReqTypeWrite:
		InterlockedAdd(&d->fua, (LONG)r->Cmd.Write.ForceUnitAccess);
		memcpy(d->memory + at, buf, len);
		return 0;
	case WnbdReqTypeFlush:
		InterlockedIncrement(&d->flushes);
		return 0;
	case WnbdReqTypeUnmap:
		unmap(d, (WNBD_UNMAP_DESCRIPTOR *)buf, r->Cmd.Unmap.Count);
		return 0;
	case WnbdReqTypePersistResIn:
		InterlockedIncrement(&d->in);
		memset(buf, 0x5a, 8);
		return 8;
	case WnbdReqTypePersistResOut:
		InterlockedAdd(&d->out, buf[0] + r->Cmd.PersistResOut.Type);
		return 0;
	default:
		fail(s, 5, 0x20);
		return 0;
	}
}

static DWORD
respond(struct daemon *d, const WNBD_IO_REQUEST *r, UINT8 *buf)
{
	WNBD_IOCTL_SEND_RSP_COMMAND c = { .IoControlCode = IOCTL_WNBD_SEND_RSP };
	DWORD got;

	if (is(d, "errors") && r->RequestType != WnbdReqTypeFlush)
		fail(&c.Response.Status, 3, 0x11);
	else
		c.DataBufferSize = serve(d, r, buf, &c.Response.Status);
	if (is(d, "short") && r->RequestType == WnbdReqTypeRead)
		c.DataBufferSize = 8;
	if (is(d, "slow"))
		Sleep(20);
	c.Response.RequestHandle = r->RequestHandle;
	c.Response.RequestType = r->RequestType;
	c.ConnectionId = d->info.ConnectionId;
	c.DataBuffer = buf;
	return adapter_ioctl(d->adapter, &c, sizeof(c), NULL, 0, &got);
}

static void
try_fetch(struct daemon *d, const char *what, UINT64 id, void *buffer, UINT32 size)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND c = { .IoControlCode = IOCTL_WNBD_FETCH_REQ,
		.ConnectionId = id, .DataBuffer = buffer, .DataBufferSize = size };
	DWORD got;

	printf("%s %lu\n", what, adapter_ioctl(d->adapter, &c, sizeof(c), &c,
	    sizeof(c), &got));
}

static void
try_respond(struct daemon *d, const char *what, UINT64 handle, WnbdRequestType type,
    void *buffer, UINT32 size)
{
	WNBD_IOCTL_SEND_RSP_COMMAND c = { .IoControlCode = IOCTL_WNBD_SEND_RSP,
		.ConnectionId = d->info.ConnectionId, .DataBuffer = buffer,
		.DataBufferSize = size, .Response.RequestHandle = handle,
		.Response.RequestType = type };
	DWORD got;

	printf("%s %lu\n", what, adapter_ioctl(d->adapter, &c, sizeof(c), NULL, 0,
	    &got));
}

/* Nothing of this may hurt, nor end a request that is not answered. */
static void
be_hostile(struct daemon *d)
{
	static char buffer[BUFFER];
	UINT64 id = d->info.ConnectionId;
	WNBD_IOCTL_FETCH_REQ_COMMAND c = { .IoControlCode = IOCTL_WNBD_FETCH_REQ,
		.ConnectionId = id, .DataBuffer = buffer,
		.DataBufferSize = sizeof(buffer) };
	DWORD got;

	try_fetch(d, "bad-pointer", id, (void *)0x1000, 4096);
	try_fetch(d, "kernel-pointer", id, (void *)0xffff800000000000, 4096);
	try_fetch(d, "long-buffer", id, buffer, 0x40000000);
	try_fetch(d, "wrong-id", id + 1, buffer, 4096);
	try_respond(d, "no-such-handle", 12345, WnbdReqTypeRead, buffer, 4096);
	try_respond(d, "huge-handle", UINT64_MAX, WnbdReqTypeRead, buffer, 4096);
	if (adapter_ioctl(d->adapter, &c, sizeof(c), &c, sizeof(c), &got) != 0)
		return;
	try_respond(d, "wrong-type", c.Request.RequestHandle, WnbdReqTypeFlush, NULL,
	    0);
	try_respond(d, "bad-data", c.Request.RequestHandle, c.Request.RequestType,
	    (void *)0x1000, 65536);
	try_respond(d, "short-data", c.Request.RequestHandle, c.Request.RequestType,
	    buffer, 1);
	try_respond(d, "second-answer", c.Request.RequestHandle, c.Request.RequestType,
	    buffer, sizeof(buffer));
	fflush(stdout);
}

static DWORD WINAPI
loop(void *arg)
{
	struct daemon *d = arg;
	UINT8 *buf = malloc(BUFFER);
	WNBD_IOCTL_FETCH_REQ_COMMAND c;
	DWORD got, error;

	for (;;) {
		memset(&c, 0, sizeof(c));
		c.IoControlCode = IOCTL_WNBD_FETCH_REQ;
		c.ConnectionId = d->info.ConnectionId;
		c.DataBuffer = buf;
		c.DataBufferSize = is(d, "small") ? 4096 : BUFFER;
		error = adapter_ioctl(d->adapter, &c, sizeof(c), &c, sizeof(c), &got);
		if (is(d, "small") && error == ERROR_INSUFFICIENT_BUFFER) {
			d->mode = "";
			continue;
		}
		if (error != 0 || c.Request.RequestType == WnbdReqTypeDisconnect)
			break;
		if (InterlockedIncrement(&d->requests) > 20 && is(d, "die"))
			TerminateProcess(GetCurrentProcess(), 9);
		if (is(d, "deaf") && c.Request.RequestType == WnbdReqTypeRead)
			continue;
		error = respond(d, &c.Request, buf);
		if (error != 0)
			printf("response: error %lu\n", error);
	}
	free(buf);
	return error;
}

DWORD
daemon_run(HANDLE adapter, const char *instance, uint64_t blocks, UINT32 block_size,
    const char *mode)
{
	static struct daemon d;
	WNBD_IOCTL_CREATE_COMMAND c = { .IoControlCode = IOCTL_WNBD_CREATE };
	WNBD_PROPERTIES *p = &c.Properties;
	HANDLE thread[THREADS];
	DWORD got, error, i;

	d.adapter = adapter;
	d.mode = mode;
	d.block_size = block_size;
	d.memory = VirtualAlloc(NULL, blocks * block_size, MEM_COMMIT, PAGE_READWRITE);
	snprintf(p->InstanceName, sizeof(p->InstanceName), "%s", instance);
	snprintf(p->Owner, sizeof(p->Owner), "daemon");
	p->BlockCount = blocks;
	p->BlockSize = block_size;
	p->MaxUnmapDescCount = 8;
	p->Flags.FlushSupported = p->Flags.FUASupported = 1;
	p->Flags.UnmapSupported = p->Flags.PersistResSupported = 1;
	error = adapter_ioctl(adapter, &c, sizeof(c), &d.info, sizeof(d.info), &got);
	if (error != 0)
		return error;
	printf("serving %s\n", instance);
	fflush(stdout);
	if (is(&d, "hostile"))
		be_hostile(&d);
	for (i = 0; i < THREADS; i++)
		thread[i] = CreateThread(NULL, 0, loop, &d, 0, NULL);
	WaitForMultipleObjects(THREADS, thread, TRUE, INFINITE);
	printf("served %ld flushes %ld unmaps %ld fua %ld in %ld out %ld\n", d.requests,
	    d.flushes, d.unmaps, d.fua, d.in, d.out);
	return 0;
}
