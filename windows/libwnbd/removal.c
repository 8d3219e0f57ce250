/*
 * removal.c - removing disks: by Plug and Play, where those who use the disk may
 * object, or at once.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "lib.h"

#define NEVER	MAXULONGLONG

static const WNBD_REMOVE_OPTIONS default_options = {
	.Flags.HardRemoveFallback = 1,
	.SoftRemoveTimeoutMs = WNBD_DEFAULT_RM_TIMEOUT_MS,
	.SoftRemoveRetryIntervalMs = WNBD_DEFAULT_RM_RETRY_INTERVAL_MS,
};

/* It stands still while the machine sleeps. */
static ULONGLONG
now_ms(void)
{
	ULONGLONG t;

	QueryUnbiasedInterruptTime(&t);
	return t / 10000;
}

ULONGLONG
lib_deadline(DWORD timeout_ms)
{
	return timeout_ms != 0 ? now_ms() + timeout_ms : NEVER;
}

bool
lib_pause(ULONGLONG deadline_ms, DWORD retry_ms)
{
	if (deadline_ms != NEVER && now_ms() + retry_ms > deadline_ms)
		return false;
	Sleep(retry_ms);
	return true;
}

DWORD
lib_soft_remove(DEVINST device, const char *what, ULONGLONG deadline_ms,
    DWORD retry_ms)
{
	do {
		PNP_VETO_TYPE veto = PNP_VetoTypeUnknown;
		WCHAR name[MAX_PATH] = L"";
		CONFIGRET result = CM_Query_And_Remove_SubTreeW(device, &veto, name,
		    MAX_PATH, CM_REMOVE_NO_RESTART);

		if (result == CR_SUCCESS)
			return 0;
		LOG(Debug, "The removal of %s was refused (CONFIGRET %lu, veto %d) by "
		    "\"%ls\"", what, result, veto, name);
		if (result == CR_ACCESS_DENIED)
			return ERROR_ACCESS_DENIED;
	} while (lib_pause(deadline_ms, retry_ms));
	LOG(Warning, "The removal of %s timed out: something uses it. "
	    "The log level Debug tells what.", what);
	return ERROR_TIMEOUT;
}

static DWORD
hard_remove(const char *name)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlRemove(adapter, name, NULL, NULL));
}

/* A disk that Windows does not know yet can be asked nothing: wait until it does. */
static DWORD
wait_for_devinst(const char *name, WNBD_CONNECTION_INFO *info, DEVINST *device,
    ULONGLONG deadline, DWORD retry_ms)
{
	for (;;) {
		DWORD status = WnbdShow(name, info);

		if (status != 0)
			return status;
		if (info->PNPDeviceID[0] != L'\0' && CM_Locate_DevNodeW(device,
		    info->PNPDeviceID, CM_LOCATE_DEVNODE_NORMAL) == CR_SUCCESS)
			return 0;
		LOG(Debug, "%s has no device yet", name);
		if (!lib_pause(deadline, retry_ms))
			return ERROR_TIMEOUT;
	}
}

/* Plug and Play has let go of it; the driver's side of it must go, too. */
static DWORD
forget(const char *name, WNBD_CONNECTION_ID id)
{
	WNBD_CONNECTION_INFO now;
	DWORD status = WnbdShow(name, &now);

	if (status == 0 && now.ConnectionId == id)
		status = hard_remove(name);
	return status == ERROR_FILE_NOT_FOUND ? 0 : status;
}

static DWORD
soft_remove(const char *name, const WNBD_REMOVE_OPTIONS *options)
{
	ULONGLONG deadline = lib_deadline(options->SoftRemoveTimeoutMs);
	DWORD retry_ms = options->SoftRemoveRetryIntervalMs;
	WNBD_CONNECTION_INFO info;
	DEVINST device;
	DWORD status = wait_for_devinst(name, &info, &device, deadline, retry_ms);

	if (status == 0)
		status = lib_soft_remove(device, name, deadline, retry_ms);
	return status == 0 ? forget(name, info.ConnectionId) : status;
}

DWORD
WnbdRemoveEx(const char *InstanceName, PWNBD_REMOVE_OPTIONS RemoveOptions)
{
	const WNBD_REMOVE_OPTIONS *options = RemoveOptions;
	DWORD status;

	if (InstanceName == NULL)
		return ERROR_INVALID_PARAMETER;
	if (options == NULL)
		options = &default_options;
	if (options->Flags.HardRemove)
		return hard_remove(InstanceName);
	status = soft_remove(InstanceName, options);
	if (status == 0 || status == ERROR_FILE_NOT_FOUND ||
	    status == ERROR_OPEN_FAILED || !options->Flags.HardRemoveFallback)
		return status;
	LOG(Info, "Removing %s the hard way", InstanceName);
	return hard_remove(InstanceName);
}

DWORD
WnbdRemoveAllDisks(HANDLE Adapter)
{
	WNBD_OPTION_VALUE no = { .Type = WnbdOptBool };
	WNBD_CONNECTION_LIST *list = NULL;
	DWORD size = 0, room, status, first = 0;

	/* Else there might be new ones before the last one is gone. */
	status = WnbdIoctlSetDrvOpt(Adapter, "NewMappingsAllowed", &no, FALSE, NULL);
	if (status != 0)
		return status;
	do {
		room = size;
		free(list);
		list = calloc(1, room != 0 ? room : 1);
		if (list == NULL)
			return ERROR_OUTOFMEMORY;
		status = WnbdIoctlList(Adapter, room != 0 ? list : NULL, &size, NULL);
	} while (status == 0 && size > room);
	for (UINT32 i = 0; status == 0 && i < list->Count; i++) {
		DWORD one = WnbdIoctlRemove(Adapter,
		    list->Connections[i].Properties.InstanceName, NULL, NULL);

		if (one != 0 && one != ERROR_FILE_NOT_FOUND && first == 0)
			first = one;
	}
	free(list);
	return status != 0 ? status : first;
}
