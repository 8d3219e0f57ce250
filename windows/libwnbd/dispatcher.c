/*
 * dispatcher.c - threads that fetch requests and call the program's functions.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each thread has one buffer and one request at a time.  They end when the driver
 * says that the disk is gone, to one of them by DISCONNECT, to the others by an
 * error.
 */
#include <stdlib.h>
#include <string.h>

#include "lib.h"

#define SENSE_ILLEGAL_REQUEST	0x05
#define ASC_INVALID_OPERATION	0x20	/* INVALID COMMAND OPERATION CODE */

#define COUNT(disk, counter) \
	InterlockedIncrement64((volatile LONG64 *)&(disk)->Stats.counter)
#define ADD(disk, counter, n) \
	InterlockedExchangeAdd64((volatile LONG64 *)&(disk)->Stats.counter, (LONG64)(n))

/* ---- requests ------------------------------------------------------------ */

/* False: the program has no function for it. */
static bool
call(WNBD_DISK *disk, const WNBD_IO_REQUEST *r, void *buffer)
{
	const WNBD_INTERFACE *i = disk->Interface;
	UINT64 handle = r->RequestHandle;

	switch (r->RequestType) {
	case WnbdReqTypeRead:
		if (i->Read == NULL)
			return false;
		i->Read(disk, handle, buffer, r->Cmd.Read.BlockAddress,
		    r->Cmd.Read.BlockCount, r->Cmd.Read.ForceUnitAccess);
		return true;
	case WnbdReqTypeWrite:
		if (i->Write == NULL)
			return false;
		i->Write(disk, handle, buffer, r->Cmd.Write.BlockAddress,
		    r->Cmd.Write.BlockCount, r->Cmd.Write.ForceUnitAccess);
		return true;
	case WnbdReqTypeFlush:
		if (i->Flush == NULL)
			return false;
		i->Flush(disk, handle, r->Cmd.Flush.BlockAddress,
		    r->Cmd.Flush.BlockCount);
		return true;
	case WnbdReqTypeUnmap:
		if (i->Unmap == NULL)
			return false;
		i->Unmap(disk, handle, buffer, r->Cmd.Unmap.Count);
		return true;
	case WnbdReqTypePersistResIn:
		if (i->PersistResIn == NULL)
			return false;
		i->PersistResIn(disk, handle, r->Cmd.PersistResIn.ServiceAction);
		return true;
	case WnbdReqTypePersistResOut:
		if (i->PersistResOut == NULL)
			return false;
		i->PersistResOut(disk, handle, r->Cmd.PersistResOut.ServiceAction,
		    r->Cmd.PersistResOut.Scope, r->Cmd.PersistResOut.Type, buffer,
		    r->Cmd.PersistResOut.ParameterListLength);
		return true;
	default:
		return false;
	}
}

/* Bytes of the buffer that a request speaks of. */
static UINT64
data_size(const WNBD_DISK *disk, const WNBD_IO_REQUEST *r)
{
	switch (r->RequestType) {
	case WnbdReqTypeRead:
		return (UINT64)r->Cmd.Read.BlockCount * disk->Properties.BlockSize;
	case WnbdReqTypeWrite:
		return (UINT64)r->Cmd.Write.BlockCount * disk->Properties.BlockSize;
	case WnbdReqTypeUnmap:
		return (UINT64)r->Cmd.Unmap.Count * sizeof(WNBD_UNMAP_DESCRIPTOR);
	case WnbdReqTypePersistResOut:
		return r->Cmd.PersistResOut.ParameterListLength;
	default:
		return 0;
	}
}

static void
refuse(WNBD_DISK *disk, const WNBD_IO_REQUEST *r)
{
	WNBD_IO_RESPONSE response = {
		.RequestHandle = r->RequestHandle, .RequestType = r->RequestType,
	};

	COUNT(disk, InvalidRequests);
	LOG(Error, "%s: request %d (%s) cannot be served",
	    disk->Properties.InstanceName, r->RequestType,
	    WnbdRequestTypeToStr(r->RequestType));
	WnbdSetSense(&response.Status, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION);
	(void)WnbdSendResponse(disk, &response, NULL, 0);
}

static void
count_request(WNBD_DISK *disk, const WNBD_IO_REQUEST *r)
{
	COUNT(disk, TotalReceivedRequests);
	COUNT(disk, TotalSubmittedRequests);
	COUNT(disk, PendingSubmittedRequests);
	if (r->RequestType == WnbdReqTypeRead) {
		COUNT(disk, TotalRWRequests);
		ADD(disk, TotalReadBlocks, r->Cmd.Read.BlockCount);
	} else if (r->RequestType == WnbdReqTypeWrite) {
		COUNT(disk, TotalRWRequests);
		ADD(disk, TotalWrittenBlocks, r->Cmd.Write.BlockCount);
	}
}

static void
serve(WNBD_DISK *disk, const WNBD_IO_REQUEST *r, void *buffer)
{
	count_request(disk, r);
	LOG(Trace, "%s: %s %llx", disk->Properties.InstanceName,
	    WnbdRequestTypeToStr(r->RequestType), r->RequestHandle);
	if (data_size(disk, r) > WNBD_DEFAULT_MAX_TRANSFER_LENGTH ||
	    !call(disk, r, buffer))
		refuse(disk, r);
}

/* ---- responses ----------------------------------------------------------- */

static void
count_error(WNBD_DISK *disk, WnbdRequestType type)
{
	switch (type) {
	case WnbdReqTypeRead:
		COUNT(disk, ReadErrors);
		break;
	case WnbdReqTypeWrite:
		COUNT(disk, WriteErrors);
		break;
	case WnbdReqTypeFlush:
		COUNT(disk, FlushErrors);
		break;
	case WnbdReqTypeUnmap:
		COUNT(disk, UnmapErrors);
		break;
	case WnbdReqTypePersistResIn:
		COUNT(disk, PersistResInErrors);
		break;
	case WnbdReqTypePersistResOut:
		COUNT(disk, PersistResOutErrors);
		break;
	default:
		break;
	}
}

DWORD
WnbdSendResponseEx(PWNBD_DISK Disk, PWNBD_IO_RESPONSE Response, PVOID DataBuffer,
    UINT32 DataBufferSize, LPOVERLAPPED Overlapped)
{
	DWORD status;

	if (Disk == NULL || Response == NULL ||
	    DataBufferSize > WNBD_DEFAULT_MAX_TRANSFER_LENGTH)
		return ERROR_INVALID_PARAMETER;
	COUNT(Disk, TotalReceivedReplies);
	COUNT(Disk, PendingReplies);
	ADD(Disk, PendingSubmittedRequests, -1);
	if (Response->Status.ScsiStatus != 0)
		count_error(Disk, Response->RequestType);
	status = WnbdIoctlSendResponse(Disk->Handle,
	    Disk->ConnectionInfo.ConnectionId, Response, DataBuffer, DataBufferSize,
	    Overlapped);
	ADD(Disk, PendingReplies, -1);
	return status;
}

DWORD
WnbdSendResponse(PWNBD_DISK Disk, PWNBD_IO_RESPONSE Response, PVOID DataBuffer,
    UINT32 DataBufferSize)
{
	return WnbdSendResponseEx(Disk, Response, DataBuffer, DataBufferSize, NULL);
}

DWORD
WnbdGetUserspaceStats(PWNBD_DISK Disk, PWNBD_USR_STATS Stats)
{
	if (Disk == NULL || Stats == NULL)
		return ERROR_INVALID_PARAMETER;
	*Stats = Disk->Stats;
	return 0;
}

/* ---- threads ------------------------------------------------------------- */

/* Removed, by whomever: no more requests will come. */
static bool
is_gone(const WNBD_DISK *disk, DWORD status)
{
	return disk->Stopping || status == ERROR_INVALID_HANDLE ||
	    status == ERROR_FILE_NOT_FOUND || status == ERROR_OPERATION_ABORTED;
}

static void
fetch_failed(WNBD_DISK *disk, DWORD status)
{
	char text[256];

	if (is_gone(disk, status)) {
		LOG(Debug, "%s: the disk is gone",
		    disk->Properties.InstanceName);
		return;
	}
	/* Nobody may be left to serve it: better no disk than one that hangs. */
	LOG(Error, "%s: cannot fetch requests: %s. The disk is removed.",
	    disk->Properties.InstanceName, lib_error_text(status, text, sizeof(text)));
	(void)WnbdIoctlRemove(disk->Handle, disk->Properties.InstanceName, NULL, NULL);
}

static void
dispatch(WNBD_DISK *disk, void *buffer, OVERLAPPED *ov)
{
	for (;;) {
		WNBD_IO_REQUEST request;
		DWORD status = WnbdIoctlFetchRequest(disk->Handle,
		    disk->ConnectionInfo.ConnectionId, &request, buffer,
		    WNBD_DEFAULT_MAX_TRANSFER_LENGTH, ov);

		if (status != 0) {
			fetch_failed(disk, status);
			return;
		}
		if (request.RequestType == WnbdReqTypeDisconnect)
			return;
		serve(disk, &request, buffer);
	}
}

static DWORD WINAPI
dispatcher_thread(void *arg)
{
	WNBD_DISK *disk = arg;
	OVERLAPPED ov = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	void *buffer = VirtualAlloc(NULL, WNBD_DEFAULT_MAX_TRANSFER_LENGTH,
	    MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);

	if (buffer != NULL && ov.hEvent != NULL)
		dispatch(disk, buffer, &ov);
	else
		fetch_failed(disk, ERROR_OUTOFMEMORY);
	disk->Stopping = TRUE;
	if (buffer != NULL)
		VirtualFree(buffer, 0, MEM_RELEASE);
	if (ov.hEvent != NULL)
		CloseHandle(ov.hEvent);
	return 0;
}

/* Not all threads could be started: ends those that could. */
static DWORD
give_up(WNBD_DISK *disk, DWORD status)
{
	WNBD_REMOVE_OPTIONS hard = { .Flags.HardRemove = 1 };

	(void)WnbdStopDispatcher(disk, &hard);
	(void)WnbdWaitDispatcher(disk);
	return status;
}

DWORD
WnbdStartDispatcher(PWNBD_DISK Disk, DWORD ThreadCount)
{
	if (Disk == NULL || Disk->Started || Disk->Interface == NULL ||
	    ThreadCount < WNBD_MIN_DISPATCHER_THREAD_COUNT ||
	    ThreadCount > WNBD_MAX_DISPATCHER_THREAD_COUNT)
		return ERROR_INVALID_PARAMETER;
	Disk->DispatcherThreads = calloc(ThreadCount, sizeof(HANDLE));
	if (Disk->DispatcherThreads == NULL)
		return ERROR_OUTOFMEMORY;
	Disk->Started = TRUE;
	for (DWORD i = 0; i < ThreadCount; i++) {
		HANDLE thread = CreateThread(NULL, 0, dispatcher_thread, Disk, 0, NULL);

		if (thread == NULL)
			return give_up(Disk, GetLastError());
		Disk->DispatcherThreads[Disk->DispatcherThreadsCount++] = thread;
	}
	return 0;
}

DWORD
WnbdStopDispatcher(PWNBD_DISK Disk, PWNBD_REMOVE_OPTIONS RemoveOptions)
{
	DWORD status;

	if (Disk == NULL)
		return ERROR_INVALID_PARAMETER;
	status = WnbdRemove(Disk, RemoveOptions);
	return status == ERROR_FILE_NOT_FOUND ? 0 : status;
}

DWORD
WnbdWaitDispatcher(PWNBD_DISK Disk)
{
	if (Disk == NULL || !Disk->Started)
		return ERROR_INVALID_PARAMETER;
	/* WaitForMultipleObjects takes 64 only. */
	for (UINT32 i = 0; i < Disk->DispatcherThreadsCount; i++)
		if (WaitForSingleObject(Disk->DispatcherThreads[i], INFINITE) ==
		    WAIT_FAILED)
			return GetLastError();
	Disk->Stopped = TRUE;
	return 0;
}
