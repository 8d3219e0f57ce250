/*
 * test_library.c - versions, options, and the calls that need no disk.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "wnbd.h"

static void
test_versions(void)
{
	WNBD_VERSION lib = { 0 }, driver = { 0 };

	tap_is(WnbdGetLibVersion(&lib), 0, "WnbdGetLibVersion");
	tap_is(WnbdGetDriverVersion(&driver), 0, "WnbdGetDriverVersion");
	tap_note("libwnbd.dll %s, wnbd.sys %s", lib.Description, driver.Description);
	tap_ok(lib.Major == driver.Major && lib.Minor == driver.Minor,
	    "library and driver are of one version");
	tap_is(WnbdGetLibVersion(NULL), ERROR_INVALID_PARAMETER,
	    "a NULL pointer is refused");
}

static void
test_adapter(void)
{
	HANDLE adapter = INVALID_HANDLE_VALUE;
	WNBD_VERSION version = { 0 };
	WNBD_CONNECTION_INFO info;
	WNBD_DRV_STATS stats;
	DEVINST device = 0;

	tap_is(WnbdGetAdapterDevInst(&device), 0, "WnbdGetAdapterDevInst");
	tap_is(WnbdOpenAdapterCMDeviceInstance(&device), 0,
	    "WnbdOpenAdapterCMDeviceInstance");
	if (tap_is(WnbdOpenAdapterEx(&adapter, &device), 0, "WnbdOpenAdapterEx"))
		CloseHandle(adapter);
	if (!tap_is(WnbdOpenAdapter(&adapter), 0, "WnbdOpenAdapter"))
		return;
	tap_is(WnbdIoctlPing(adapter, NULL), 0, "WnbdIoctlPing");
	tap_is(WnbdIoctlVersion(adapter, &version, NULL), 0, "WnbdIoctlVersion");
	tap_is(WnbdIoctlReloadConfig(adapter, NULL), 0, "WnbdIoctlReloadConfig");
	tap_is(WnbdIoctlShow(adapter, SELFTEST_NAME "nothing", &info, NULL),
	    ERROR_FILE_NOT_FOUND, "WnbdIoctlShow of no disk");
	tap_is(WnbdIoctlStats(adapter, SELFTEST_NAME "nothing", &stats, NULL),
	    ERROR_FILE_NOT_FOUND, "WnbdIoctlStats of no disk");
	tap_is(WnbdIoctlRemove(adapter, SELFTEST_NAME "nothing", NULL, NULL),
	    ERROR_FILE_NOT_FOUND, "WnbdIoctlRemove of no disk");
	tap_is(WnbdIoctlSetDiskSize(adapter, UINT64_MAX, 1, NULL),
	    ERROR_INVALID_HANDLE, "WnbdIoctlSetDiskSize of no disk");
	CloseHandle(adapter);
}

static void
test_lists(void)
{
	DWORD size = 0, needed;
	WNBD_OPTION_LIST *list;

	tap_is(WnbdList(NULL, &size), 0, "WnbdList tells how much room it needs");
	tap_ok(size >= 8, "which is 8 bytes at least");
	size = 0;
	tap_is(WnbdListDrvOpt(NULL, &size, FALSE), 0, "WnbdListDrvOpt, too");
	needed = size;
	list = calloc(1, size + 1);
	if (list == NULL)
		return;
	tap_is(WnbdListDrvOpt(list, &size, FALSE), 0, "WnbdListDrvOpt");
	tap_ok(list->Count == 10 && size == needed &&
	    list->ElementSize == sizeof(WNBD_OPTION), "lists ten options");
	free(list);
}

static INT64
number_of(const char *name, BOOLEAN persistent)
{
	WNBD_OPTION_VALUE v = { 0 };

	return WnbdGetDrvOpt(name, &v, persistent) == 0 ? v.Data.AsInt64 : -1;
}

static void
test_options(void)
{
	static const char name[] = "StaleReqTimeoutMs";
	WNBD_OPTION_VALUE v = { .Type = WnbdOptInt64, .Data.AsInt64 = 12345 };
	INT64 was = number_of(name, FALSE), stored = number_of(name, TRUE);

	tap_is(WnbdSetDrvOpt(name, &v, FALSE), 0, "WnbdSetDrvOpt");
	tap_ok(number_of(name, FALSE) == 12345, "WnbdGetDrvOpt has the new value");
	tap_ok(number_of("sTALErEQtIMEOUTmS", FALSE) == 12345, "in any case");
	tap_is(WnbdSetDrvOpt(name, &v, TRUE), 0, "WnbdSetDrvOpt, persistent");
	tap_ok(number_of(name, TRUE) == 12345, "it is stored");
	tap_is(WnbdResetDrvOpt(name, TRUE), 0, "WnbdResetDrvOpt, persistent");
	tap_is(WnbdGetDrvOpt(name, &v, TRUE), ERROR_FILE_NOT_FOUND,
	    "and is not stored any more");
	v = (WNBD_OPTION_VALUE){ .Type = WnbdOptInt64, .Data.AsInt64 = -1 };
	tap_is(WnbdSetDrvOpt(name, &v, FALSE), ERROR_INVALID_PARAMETER,
	    "a value out of range is refused");
	tap_is(WnbdGetDrvOpt("NoSuchOption", &v, FALSE), ERROR_FILE_NOT_FOUND,
	    "an option that there is not");
	/* As it was. */
	v.Data.AsInt64 = stored != -1 ? stored : was;
	if (stored != -1 || v.Data.AsInt64 != number_of(name, FALSE))
		(void)WnbdSetDrvOpt(name, &v, stored != -1);
}

static void
test_refusals(void)
{
	WNBD_PROPERTIES p = { .BlockCount = 1000, .BlockSize = 512 };
	WNBD_INTERFACE none = { .Read = NULL };
	PWNBD_DISK disk;

	tap_is(WnbdCreate(&p, &none, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "a disk without a name is refused");
	memcpy(p.InstanceName, SELFTEST_NAME "x", sizeof(SELFTEST_NAME "x"));
	tap_is(WnbdCreate(&p, NULL, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "a disk that nobody serves is refused");
	p.BlockSize = 513;
	tap_is(WnbdCreate(&p, &none, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "sectors of 513 bytes are refused");
	p.BlockSize = 512;
	p.BlockCount = UINT64_MAX / 512;
	tap_is(WnbdCreate(&p, &none, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "a disk beyond 2^63 bytes is refused");
	p.BlockCount = 0;
	p.Flags.UseKernelNbd = 1;
	memcpy(p.NbdProperties.Hostname, "127.0.0.1", 10);
	tap_is(WnbdCreate(&p, NULL, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "port 0 is refused");
	p.NbdProperties.PortNumber = 65536;
	tap_is(WnbdCreate(&p, NULL, NULL, &disk), ERROR_INVALID_PARAMETER,
	    "port 65536 is refused");
}

void
test_library(void)
{
	tap_note("---- library and driver");
	test_versions();
	test_adapter();
	test_lists();
	test_options();
	test_refusals();
}
