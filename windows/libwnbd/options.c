/*
 * options.c - the driver's options.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "lib.h"

DWORD
WnbdGetDrvOpt(const char *Name, PWNBD_OPTION_VALUE Value, BOOLEAN Persistent)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlGetDrvOpt(adapter, Name, Value, Persistent, NULL));
}

DWORD
WnbdSetDrvOpt(const char *Name, PWNBD_OPTION_VALUE Value, BOOLEAN Persistent)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlSetDrvOpt(adapter, Name, Value, Persistent, NULL));
}

DWORD
WnbdResetDrvOpt(const char *Name, BOOLEAN Persistent)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlResetDrvOpt(adapter, Name, Persistent, NULL));
}

DWORD
WnbdListDrvOpt(PWNBD_OPTION_LIST OptionList, PDWORD BufferSize, BOOLEAN Persistent)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	return status != 0 ? status : lib_done(adapter,
	    WnbdIoctlListDrvOpt(adapter, OptionList, BufferSize, Persistent, NULL));
}
