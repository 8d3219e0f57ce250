/*
 * test_process.c - processes that die: one that serves a disk, one that waits for one.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "device.h"
#include "server.h"
#include "tap.h"
#include "user_disk.h"

#define START_MS	20000
#define GONE_MS		60000
#define PAUSE_MS	100

int
child_main(void)
{
	static struct user_disk u;

	if (user_disk_start(&u, CHILD_NAME, 64 * MIB, 512) != 0)
		return 1;
	Sleep(INFINITE);
	return 0;
}

/* This program once more, as the child. */
static HANDLE
start_child(void)
{
	STARTUPINFOW start = { .cb = sizeof(start) };
	PROCESS_INFORMATION child;
	WCHAR path[MAX_PATH], line[MAX_PATH + 16];
	DWORD len = GetModuleFileNameW(NULL, path, MAX_PATH);

	if (len == 0 || len >= MAX_PATH)
		return NULL;
	_snwprintf(line, MAX_PATH + 16, L"\"%ls\" --child", path);
	if (!CreateProcessW(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &start,
	    &child))
		return NULL;
	CloseHandle(child.hThread);
	return child.hProcess;
}

static bool
is_mapped(bool wanted, DWORD limit_ms)
{
	WNBD_CONNECTION_INFO info;

	for (DWORD t = 0; t < limit_ms; t += PAUSE_MS) {
		if ((WnbdShow(CHILD_NAME, &info) == 0) == wanted)
			return true;
		Sleep(PAUSE_MS);
	}
	return false;
}

static DWORD WINAPI
load_thread(void *arg)
{
	return device_exercise(arg, 0, 64 * MIB, 65536, 32, 1);
}

static void
test_server_dies(void)
{
	struct device device;
	HANDLE child = start_child(), thread;
	DWORD error = 0;

	if (!tap_ok(child != NULL && is_mapped(true, START_MS),
	    "a disk of another process") ||
	    !tap_is(device_open(&device, CHILD_NAME), 0, "Windows has the disk"))
		return;
	thread = CreateThread(NULL, 0, load_thread, &device, 0, NULL);
	Sleep(50);
	TerminateProcess(child, 9);
	tap_ok(is_mapped(false, GONE_MS), "the process is killed: its disk goes");
	tap_ok(WaitForSingleObject(thread, GONE_MS) == WAIT_OBJECT_0,
	    "and all requests end");
	GetExitCodeThread(thread, &error);
	tap_note("error %lu", error);
	CloseHandle(thread);
	CloseHandle(child);
	device_close(&device);
}

/* The ioctl waits until the first connection is negotiated; this server never says a
 * word. */
static void
test_create_cancelled(void)
{
	WNBD_PROPERTIES p = { .BlockSize = 0 };
	WNBD_CONNECTION_INFO info;
	OVERLAPPED o = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	struct silent_server *silent = silent_start();
	HANDLE adapter;
	DWORD got, error;

	if (!tap_ok(silent != NULL, "a server that says nothing") ||
	    WnbdOpenAdapter(&adapter) != 0)
		return;
	snprintf(p.InstanceName, sizeof(p.InstanceName), CHILD_NAME);
	snprintf(p.NbdProperties.Hostname, sizeof(p.NbdProperties.Hostname),
	    "127.0.0.1");
	p.NbdProperties.PortNumber = silent_port(silent);
	p.Flags.UseKernelNbd = 1;
	tap_is(WnbdIoctlCreate(adapter, &p, &info, &o), ERROR_IO_PENDING,
	    "CREATE waits for it");
	Sleep(200);
	CancelIoEx(adapter, &o);
	error = WaitForSingleObject(o.hEvent, START_MS) == WAIT_OBJECT_0 ?
	    GetOverlappedResult(adapter, &o, &got, FALSE) ? 0 : GetLastError() :
	    WAIT_TIMEOUT;
	if (error == WAIT_TIMEOUT)
		tap_skip("CREATE is cancelled", "it was not (it is Wine?)");
	else
		tap_ok(error != 0, "CREATE is cancelled: %lu", error);
	silent_stop(silent);
	tap_ok(is_mapped(false, GONE_MS), "no disk is left");
	CloseHandle(adapter);
	CloseHandle(o.hEvent);
}

void
test_process(void)
{
	tap_note("---- processes that die");
	test_server_dies();
	test_create_cancelled();
}
