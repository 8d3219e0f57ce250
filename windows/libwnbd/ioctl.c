/*
 * ioctl.c - the driver's commands, one function each.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "lib.h"

#include <ntddscsi.h>

/* Not in every SDK's headers: (IOCTL_SCSI_BASE, 0x40e), buffered, read and write. */
#ifndef IOCTL_MINIPORT_PROCESS_SERVICE_IRP
#define IOCTL_MINIPORT_PROCESS_SERVICE_IRP \
	CTL_CODE(IOCTL_SCSI_BASE, 0x040e, METHOD_BUFFERED, \
	    FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#endif

#define LIST_HEADER_SIZE 8
WNBD_ASSERT_OFFSET(WNBD_CONNECTION_LIST, Count, 4);
WNBD_ASSERT_OFFSET(WNBD_OPTION_LIST, Count, 4);

DWORD
lib_ioctl_wait(HANDLE handle, OVERLAPPED *ov, DWORD status, DWORD *got)
{
	if (status != ERROR_IO_PENDING)
		return status;
	return GetOverlappedResult(handle, ov, got, TRUE) ? 0 : GetLastError();
}

DWORD
lib_ioctl(HANDLE handle, DWORD code, const void *in, DWORD in_size, void *out,
    DWORD out_size, DWORD *got, OVERLAPPED *ov)
{
	OVERLAPPED own = { 0 };
	DWORD status, ignored;

	if (got == NULL)
		got = &ignored;
	*got = 0;
	if (ov == NULL) {
		own.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
		if (own.hEvent == NULL)
			return GetLastError();
	}
	status = DeviceIoControl(handle, code, (void *)(uintptr_t)in, in_size, out,
	    out_size, got, ov != NULL ? ov : &own) ? 0 : GetLastError();
	if (ov == NULL) {
		status = lib_ioctl_wait(handle, &own, status, got);
		CloseHandle(own.hEvent);
	}
	return status;
}

static DWORD
command(HANDLE adapter, const void *in, DWORD in_size, void *out, DWORD out_size,
    OVERLAPPED *ov)
{
	DWORD got = 0;
	DWORD status = lib_ioctl(adapter, IOCTL_MINIPORT_PROCESS_SERVICE_IRP, in,
	    in_size, out, out_size, &got, ov);

	/* A driver of another version: its answer is not what it seems. */
	if (status == 0 && ov == NULL && got < out_size)
		return ERROR_INVALID_DATA;
	return status;
}

/* ---- commands without a body --------------------------------------------- */

static DWORD
base_command(HANDLE adapter, ULONG code, void *out, DWORD out_size, OVERLAPPED *ov)
{
	WNBD_IOCTL_BASE_COMMAND c = { code };

	return command(adapter, &c, sizeof(c), out, out_size, ov);
}

DWORD
WnbdIoctlPing(HANDLE Adapter, LPOVERLAPPED Overlapped)
{
	return base_command(Adapter, IOCTL_WNBD_PING, NULL, 0, Overlapped);
}

DWORD
WnbdIoctlReloadConfig(HANDLE Adapter, LPOVERLAPPED Overlapped)
{
	return base_command(Adapter, IOCTL_WNBD_RELOAD_CONFIG, NULL, 0, Overlapped);
}

DWORD
WnbdIoctlVersion(HANDLE Adapter, PWNBD_VERSION Version, LPOVERLAPPED Overlapped)
{
	return base_command(Adapter, IOCTL_WNBD_VERSION, Version, sizeof(*Version),
	    Overlapped);
}

/* ---- disks --------------------------------------------------------------- */

DWORD
WnbdIoctlCreate(HANDLE Adapter, PWNBD_PROPERTIES Properties,
    PWNBD_CONNECTION_INFO ConnectionInfo, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_CREATE_COMMAND c = { .IoControlCode = IOCTL_WNBD_CREATE };

	if (Properties == NULL || ConnectionInfo == NULL)
		return ERROR_INVALID_PARAMETER;
	c.Properties = *Properties;
	return command(Adapter, &c, sizeof(c), ConnectionInfo,
	    sizeof(*ConnectionInfo), Overlapped);
}

DWORD
WnbdIoctlRemove(HANDLE Adapter, const char *InstanceName,
    PWNBD_REMOVE_COMMAND_OPTIONS RemoveOptions, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_REMOVE_COMMAND c = { .IoControlCode = IOCTL_WNBD_REMOVE };

	if (!lib_copy_name(c.InstanceName, sizeof(c.InstanceName), InstanceName))
		return ERROR_INVALID_PARAMETER;
	if (RemoveOptions != NULL)
		c.Options = *RemoveOptions;
	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

/* STATS and SHOW: a name in, a structure out. */
static DWORD
named_command(HANDLE adapter, ULONG code, const char *name, void *out,
    DWORD out_size, OVERLAPPED *ov)
{
	WNBD_IOCTL_SHOW_COMMAND c = { .IoControlCode = code };

	if (out == NULL ||
	    !lib_copy_name(c.InstanceName, sizeof(c.InstanceName), name))
		return ERROR_INVALID_PARAMETER;
	return command(adapter, &c, sizeof(c), out, out_size, ov);
}

DWORD
WnbdIoctlShow(HANDLE Adapter, const char *InstanceName,
    PWNBD_CONNECTION_INFO ConnectionInfo, LPOVERLAPPED Overlapped)
{
	return named_command(Adapter, IOCTL_WNBD_SHOW, InstanceName, ConnectionInfo,
	    sizeof(*ConnectionInfo), Overlapped);
}

DWORD
WnbdIoctlStats(HANDLE Adapter, const char *InstanceName, PWNBD_DRV_STATS Stats,
    LPOVERLAPPED Overlapped)
{
	return named_command(Adapter, IOCTL_WNBD_STATS, InstanceName, Stats,
	    sizeof(*Stats), Overlapped);
}

DWORD
WnbdIoctlSetDiskSize(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
    UINT64 BlockCount, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_SET_SIZE_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_SET_DISK_SIZE,
		.ConnectionId = ConnectionId, .BlockCount = BlockCount,
	};

	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

DWORD
WnbdIoctlSetServers(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
    const NBD_SERVERS *Servers, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_SET_SERVERS_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_SET_SERVERS,
		.ConnectionId = ConnectionId, .Servers = *Servers,
	};

	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

/* ---- lists --------------------------------------------------------------- */

struct list_header {
	UINT32	element_size, count;
};

/*
 * What the driver says of a buffer that is too small is its header alone.  Then the
 * caller, who may not look at *size, must not find a Count without its elements.
 */
static DWORD
take_list(struct list_header *list, DWORD *size, const struct list_header *said,
    size_t element_size)
{
	UINT64 needed = LIST_HEADER_SIZE + (UINT64)said->count * element_size;

	if (said->element_size != element_size || needed > MAXDWORD)
		return ERROR_INVALID_DATA;
	if (needed > *size && *size >= LIST_HEADER_SIZE)
		list->count = 0;
	*size = (DWORD)needed;
	return 0;
}

static DWORD
list_command(HANDLE adapter, const void *in, DWORD in_size, void *list, DWORD *size,
    size_t element_size, OVERLAPPED *ov)
{
	struct list_header own;
	DWORD got = 0, status;
	bool has_room;

	if (size == NULL || (list == NULL && *size != 0))
		return ERROR_INVALID_PARAMETER;
	has_room = *size >= LIST_HEADER_SIZE;
	status = lib_ioctl(adapter, IOCTL_MINIPORT_PROCESS_SERVICE_IRP, in, in_size,
	    has_room ? list : &own, has_room ? *size : LIST_HEADER_SIZE, &got, ov);
	if (ov != NULL)
		status = lib_ioctl_wait(adapter, ov, status, &got);
	if (status != 0)
		return status;
	if (got < LIST_HEADER_SIZE)
		return ERROR_INVALID_DATA;
	if (has_room)
		memcpy(&own, list, sizeof(own));
	return take_list(list, size, &own, element_size);
}

DWORD
WnbdIoctlList(HANDLE Adapter, PWNBD_CONNECTION_LIST ConnectionList,
    PDWORD BufferSize, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_LIST_COMMAND c = { IOCTL_WNBD_LIST };

	return list_command(Adapter, &c, sizeof(c), ConnectionList, BufferSize,
	    sizeof(WNBD_CONNECTION_INFO), Overlapped);
}

DWORD
WnbdIoctlListDrvOpt(HANDLE Adapter, PWNBD_OPTION_LIST OptionList, PDWORD BufferSize,
    BOOLEAN Persistent, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_LIST_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_LIST_DRV_OPT, .Persistent = Persistent,
	};

	return list_command(Adapter, &c, sizeof(c), OptionList, BufferSize,
	    sizeof(WNBD_OPTION), Overlapped);
}

/* ---- driver options ------------------------------------------------------ */

DWORD
WnbdIoctlGetDrvOpt(HANDLE Adapter, const char *Name, PWNBD_OPTION_VALUE Value,
    BOOLEAN Persistent, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_GET_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_GET_DRV_OPT, .Persistent = Persistent,
	};

	if (Value == NULL || !lib_to_wide(c.Name, COUNT_OF(c.Name), Name))
		return ERROR_INVALID_PARAMETER;
	return command(Adapter, &c, sizeof(c), Value, sizeof(*Value), Overlapped);
}

DWORD
WnbdIoctlSetDrvOpt(HANDLE Adapter, const char *Name, PWNBD_OPTION_VALUE Value,
    BOOLEAN Persistent, LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_SET_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_SET_DRV_OPT, .Persistent = Persistent,
	};

	if (Value == NULL || !lib_to_wide(c.Name, COUNT_OF(c.Name), Name))
		return ERROR_INVALID_PARAMETER;
	c.Value = *Value;
	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

DWORD
WnbdIoctlResetDrvOpt(HANDLE Adapter, const char *Name, BOOLEAN Persistent,
    LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_RESET_DRV_OPT_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_RESET_DRV_OPT, .Persistent = Persistent,
	};

	if (!lib_to_wide(c.Name, COUNT_OF(c.Name), Name))
		return ERROR_INVALID_PARAMETER;
	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

/* ---- I/O ----------------------------------------------------------------- */

DWORD
WnbdIoctlFetchRequest(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
    PWNBD_IO_REQUEST Request, PVOID DataBuffer, UINT32 DataBufferSize,
    LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_FETCH_REQ, .ConnectionId = ConnectionId,
		.DataBuffer = DataBuffer, .DataBufferSize = DataBufferSize,
	};
	DWORD got = 0, status;

	if (Request == NULL)
		return ERROR_INVALID_PARAMETER;
	status = lib_ioctl(Adapter, IOCTL_MINIPORT_PROCESS_SERVICE_IRP, &c, sizeof(c),
	    &c, sizeof(c), &got, Overlapped);
	if (Overlapped != NULL)
		status = lib_ioctl_wait(Adapter, Overlapped, status, &got);
	if (status != 0)
		return status;
	if (got < sizeof(c))
		return ERROR_INVALID_DATA;
	*Request = c.Request;
	return 0;
}

DWORD
WnbdIoctlSendResponse(HANDLE Adapter, WNBD_CONNECTION_ID ConnectionId,
    PWNBD_IO_RESPONSE Response, PVOID DataBuffer, UINT32 DataBufferSize,
    LPOVERLAPPED Overlapped)
{
	WNBD_IOCTL_SEND_RSP_COMMAND c = {
		.IoControlCode = IOCTL_WNBD_SEND_RSP, .ConnectionId = ConnectionId,
		.DataBuffer = DataBuffer, .DataBufferSize = DataBufferSize,
	};

	if (Response == NULL)
		return ERROR_INVALID_PARAMETER;
	c.Response = *Response;
	return command(Adapter, &c, sizeof(c), NULL, 0, Overlapped);
}

/* ---- of a disk, from storport -------------------------------------------- */

/* In winioctl.h of newer SDKs: what StorageDeviceIoCapabilityProperty gives. */
#define IO_CAPABILITY_PROPERTY 48
struct io_capability {
	DWORD	version, size, lun_max_io_count, adapter_max_io_count;
};

DWORD
WnbdIoctlGetIOLimits(HANDLE DiskHandle, PDWORD LunMaxIoCount,
    PDWORD AdapterMaxIoCount, LPOVERLAPPED Overlapped)
{
	STORAGE_PROPERTY_QUERY query = {
		.PropertyId = (STORAGE_PROPERTY_ID)IO_CAPABILITY_PROPERTY,
		.QueryType = PropertyStandardQuery,
	};
	struct io_capability limits = { 0 };
	DWORD got = 0, status;

	if (LunMaxIoCount == NULL || AdapterMaxIoCount == NULL)
		return ERROR_INVALID_PARAMETER;
	status = lib_ioctl(DiskHandle, IOCTL_STORAGE_QUERY_PROPERTY, &query,
	    sizeof(query), &limits, sizeof(limits), &got, Overlapped);
	if (Overlapped != NULL)
		status = lib_ioctl_wait(DiskHandle, Overlapped, status, &got);
	if (status != 0)
		return status;
	if (got < sizeof(limits))
		return ERROR_INVALID_DATA;
	*LunMaxIoCount = limits.lun_max_io_count;
	*AdapterMaxIoCount = limits.adapter_max_io_count;
	return 0;
}
