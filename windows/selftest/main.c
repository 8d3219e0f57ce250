/*
 * main.c - wnbd-selftest: is this driver right on this machine?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: wnbd-selftest [--install] [--format] [--only GROUP]
 *
 *	--install	first install wnbd.inf, which is beside this program
 *	--format	make NTFS and ReFS on a disk of its own, as volume W:
 *	--only GROUP	library, user, kernel, process or format
 *
 * No other program is needed.  It speaks TAP on standard output; status 0: all is well.
 */
#include <winsock2.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "tap.h"
#include "tests.h"
#include "wnbd.h"

static const struct group {
	const char *name;
	void	(*run)(void);
} groups[] = {
	{ "library", test_library },
	{ "user", test_user },
	{ "kernel", test_kernel },
	{ "process", test_process },
	{ "format", test_format },
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

struct wishes {
	bool	install, format, child;
	const char *only;		/* NULL: all */
};

static bool
parse(struct wishes *w, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--install") == 0)
			w->install = true;
		else if (strcmp(argv[i], "--format") == 0)
			w->format = true;
		else if (strcmp(argv[i], "--child") == 0)
			w->child = true;
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			w->only = argv[++i];
		else
			return false;
	}
	return true;
}

static void
install(void)
{
	WCHAR path[MAX_PATH], *end;
	char inf[3 * MAX_PATH];
	BOOL reboot = FALSE;
	DWORD len = GetModuleFileNameW(NULL, path, MAX_PATH - 16);

	end = len > 0 ? wcsrchr(path, L'\\') : NULL;
	if (end == NULL)
		return;
	wcscpy(end + 1, L"wnbd.inf");
	WideCharToMultiByte(CP_UTF8, 0, path, -1, inf, sizeof(inf), NULL, NULL);
	tap_is(WnbdInstallDriver(inf, &reboot), 0, "the driver is installed");
	if (reboot)
		tap_note("Windows wants to be started anew first");
}

typedef LONG WINAPI version_function(OSVERSIONINFOW *);

/* What a reader of the output must know about the machine. */
static void
describe_machine(void)
{
	static const WCHAR key[] = L"SYSTEM\\CurrentControlSet\\Control\\"
	    L"Session Manager\\Memory Management";
	OSVERSIONINFOW v = { .dwOSVersionInfoSize = sizeof(v) };
	version_function *version = (version_function *)(uintptr_t)GetProcAddress(
	    GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion");
	WCHAR drivers[512] = L"";
	DWORD level = 0, size = sizeof(level);
	SYSTEM_INFO system;

	GetSystemInfo(&system);
	if (version != NULL)
		version(&v);
	tap_note("Windows %lu.%lu.%lu, %lu processors%s", v.dwMajorVersion,
	    v.dwMinorVersion, v.dwBuildNumber, system.dwNumberOfProcessors,
	    GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL ?
	    ", which is Wine" : "");
	if (RegGetValueW(HKEY_LOCAL_MACHINE, key, L"VerifyDriverLevel",
	    RRF_RT_REG_DWORD, NULL, &level, &size) == 0 && level != 0) {
		size = sizeof(drivers);
		(void)RegGetValueW(HKEY_LOCAL_MACHINE, key, L"VerifyDrivers",
		    RRF_RT_REG_SZ, NULL, drivers, &size);
		tap_note("Driver Verifier: %#lx for \"%ls\"", level, drivers);
	} else {
		tap_note("Driver Verifier is off");
	}
}

static int
run(const struct wishes *w)
{
	WNBD_VERSION version;
	bool any = false;

	WnbdSetLogLevel(WnbdLogLevelWarning);
	if (w->child)
		return child_main();
	describe_machine();
	if (w->install)
		install();
	if (!tap_ok(WnbdGetDriverVersion(&version) == 0, "the driver answers")) {
		tap_note("Install it (--install), and use an elevated prompt.");
		return tap_end();
	}
	for (size_t i = 0; i < GROUPS; i++) {
		if (w->only != NULL && strcmp(w->only, groups[i].name) != 0)
			continue;
		any = true;
		if (groups[i].run == test_format && !w->format)
			tap_skip("NTFS and ReFS", "--format is not given");
		else
			groups[i].run();
	}
	tap_ok(any, "there was something to do");
	return tap_end();
}

/* The C library's; no header of the compiler has it. */
int	_configure_narrow_argv(int mode);
#define ARGV_UNEXPANDED	1

void	selftest_start(void);

void
selftest_start(void)
{
	struct wishes w = { .only = NULL };
	WSADATA data;
	int status = 2;

	_configure_narrow_argv(ARGV_UNEXPANDED);
	if (!parse(&w, *__p___argc(), *__p___argv()))
		fprintf(stderr, "usage: wnbd-selftest [--install] [--format] "
		    "[--only library|user|kernel|process|format]\n");
	else if (WSAStartup(MAKEWORD(2, 2), &data) == 0)
		status = run(&w);
	fflush(stdout);
	ExitProcess((UINT)status);
}
