/*
 * main.c - the test program, started by the session manager at boot.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <wchar.h>

#include "tap.h"

void NTAPI NtProcessStartup(void *peb);

static HANDLE
find_adapter(void)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	HANDLE adapter = NULL;
	NTSTATUS status;

	do {
		status = adapter_open(&adapter);
		if (NT_SUCCESS(status))
			break;
		nt_sleep(100);
	} while (nt_now_ms() < end);
	tap_is(status, STATUS_SUCCESS, "the adapter is started, its interface opens");
	return NT_SUCCESS(status) ? adapter : NULL;
}

static void
test_version(HANDLE adapter)
{
	WNBD_IOCTL_VERSION_COMMAND c = { .IoControlCode = IOCTL_WNBD_VERSION };
	WNBD_VERSION v = { 0 };

	tap_is(adapter_command(adapter, &c, sizeof(c), &v, sizeof(v)), STATUS_SUCCESS,
	    "VERSION");
	tap_note("wnbd.sys %s", v.Description);
}

/* In the registry, under the service's key. */
static void
test_options(HANDLE adapter)
{
	WNBD_IOCTL_SET_DRV_OPT_COMMAND set = {
	    .IoControlCode = IOCTL_WNBD_SET_DRV_OPT, .Name = L"StaleReqTimeoutMs",
	    .Value = { .Type = WnbdOptInt64, .Data.AsInt64 = 20000 },
	    .Persistent = TRUE };
	WNBD_IOCTL_GET_DRV_OPT_COMMAND get = {
	    .IoControlCode = IOCTL_WNBD_GET_DRV_OPT, .Name = L"StaleReqTimeoutMs",
	    .Persistent = TRUE };
	WNBD_OPTION_VALUE value = { 0 };

	tap_is(adapter_command(adapter, &set, sizeof(set), NULL, 0), STATUS_SUCCESS,
	    "an option is stored");
	tap_is(adapter_command(adapter, &get, sizeof(get), &value, sizeof(value)),
	    STATUS_SUCCESS, "and read");
	tap_ok(value.Data.AsInt64 == 20000, "with its value");
	get.IoControlCode = IOCTL_WNBD_RESET_DRV_OPT;
	tap_is(adapter_command(adapter, &get, sizeof(get), NULL, 0), STATUS_SUCCESS,
	    "it is forgotten");
	tap_is(adapter_command(adapter, &get, sizeof(get), NULL, 0),
	    STATUS_OBJECT_NAME_NOT_FOUND, "which cannot be done twice");
}

void NTAPI
NtProcessStartup(void *peb)
{
	const PEB *p = peb;
	HANDLE adapter;

	if (wcsstr(p->ProcessParameters->CommandLine.Buffer, L" child") != NULL)
		child_main();
	if (wcsstr(p->ProcessParameters->CommandLine.Buffer, L" create") != NULL)
		child_create();
	adapter = find_adapter();
	if (adapter != NULL) {
		test_version(adapter);
		test_options(adapter);
		test_user(adapter);
		test_process(adapter);
		test_removal(adapter);
		test_volume(adapter);
		test_nbd(adapter);
		test_unload(adapter);
	}
	tap_end();
	nt_power_off();
	for (;;)
		nt_sleep(LONG_MS);
}
