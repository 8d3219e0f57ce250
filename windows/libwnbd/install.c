/*
 * install.c - the driver, put on a machine and taken off it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "lib.h"

#include <newdev.h>

#define HARDWARE_ID	L"root\\wnbd"
#define SERVICE		L"wnbd"
#define UNLOAD_TRIES	20
#define UNLOAD_PAUSE_MS	100

static DWORD
log_failure(const char *what)
{
	DWORD status = GetLastError();
	char text[256];

	if (status == 0)
		status = ERROR_GEN_FAILURE;
	LOG(Error, "%s: %s", what, lib_error_text(status, text, sizeof(text)));
	return status;
}

/* ---- devices with our hardware id ---------------------------------------- */

static bool
is_ours(HDEVINFO set, SP_DEVINFO_DATA *device)
{
	WCHAR ids[512] = L"";
	const WCHAR *id;

	/* Room is left for the two NULs that end a list of strings. */
	if (!SetupDiGetDeviceRegistryPropertyW(set, device, SPDRP_HARDWAREID, NULL,
	    (BYTE *)ids, sizeof(ids) - 2 * sizeof(WCHAR), NULL))
		return false;
	for (id = ids; *id != L'\0'; id += wcslen(id) + 1)
		if (_wcsicmp(id, HARDWARE_ID) == 0)
			return true;
	return false;
}

/* Calls each for our devices, until one is not 0. */
static DWORD
for_each_device(DWORD (*each)(HDEVINFO, SP_DEVINFO_DATA *, void *), void *arg)
{
	HDEVINFO set = SetupDiGetClassDevsW(NULL, NULL, NULL, DIGCF_ALLCLASSES);
	SP_DEVINFO_DATA device = { .cbSize = sizeof(device) };
	DWORD status = 0;

	if (set == INVALID_HANDLE_VALUE)
		return log_failure("The devices cannot be listed");
	for (DWORD i = 0; status == 0 && SetupDiEnumDeviceInfo(set, i, &device); i++)
		if (is_ours(set, &device))
			status = each(set, &device, arg);
	SetupDiDestroyDeviceInfoList(set);
	return status;
}

static DWORD
count_device(HDEVINFO set, SP_DEVINFO_DATA *device, void *arg)
{
	unsigned *count = arg;

	(void)set;
	(void)device;
	(*count)++;
	return 0;
}

/* ---- install ------------------------------------------------------------- */

static DWORD
register_device(HDEVINFO set, const WCHAR *class_name, const GUID *class_guid,
    SP_DEVINFO_DATA *device)
{
	static const WCHAR ids[] = HARDWARE_ID L"\0";	/* ended by two NULs */

	if (!SetupDiCreateDeviceInfoW(set, class_name, class_guid, NULL, NULL,
	    DICD_GENERATE_ID, device))
		return log_failure("The adapter cannot be created");
	if (!SetupDiSetDeviceRegistryPropertyW(set, device, SPDRP_HARDWAREID,
	    (const BYTE *)ids, sizeof(ids)))
		return log_failure("The adapter cannot be given its hardware id");
	if (!SetupDiCallClassInstaller(DIF_REGISTERDEVICE, set, device))
		return log_failure("The adapter cannot be registered");
	return 0;
}

static DWORD
update_driver(const WCHAR *inf, BOOL *reboot)
{
	if (!UpdateDriverForPlugAndPlayDevicesW(NULL, HARDWARE_ID, inf,
	    INSTALLFLAG_FORCE, reboot))
		return log_failure("The driver cannot be installed");
	return 0;
}

/* A device without a driver must not stay behind. */
static DWORD
install_first(const WCHAR *inf, BOOL *reboot)
{
	SP_DEVINFO_DATA device = { .cbSize = sizeof(device) };
	WCHAR class_name[MAX_CLASS_NAME_LEN];
	GUID class_guid;
	HDEVINFO set;
	DWORD status;

	if (!SetupDiGetINFClassW(inf, &class_guid, class_name, MAX_CLASS_NAME_LEN,
	    NULL))
		return log_failure("The INF file cannot be read");
	set = SetupDiCreateDeviceInfoList(&class_guid, NULL);
	if (set == INVALID_HANDLE_VALUE)
		return log_failure("The adapter cannot be created");
	status = register_device(set, class_name, &class_guid, &device);
	if (status == 0) {
		status = update_driver(inf, reboot);
		if (status != 0)
			SetupDiCallClassInstaller(DIF_REMOVE, set, &device);
	}
	SetupDiDestroyDeviceInfoList(set);
	return status;
}

DWORD
WnbdInstallDriver(const CHAR *FileName, PBOOL RebootRequired)
{
	WCHAR name[MAX_PATH], inf[MAX_PATH];
	unsigned count = 0;
	DWORD len, status;
	BOOL reboot = FALSE;

	if (RebootRequired == NULL || !lib_to_wide(name, MAX_PATH, FileName))
		return ERROR_INVALID_PARAMETER;
	len = GetFullPathNameW(name, MAX_PATH, inf, NULL);
	if (len == 0 || len >= MAX_PATH)
		return ERROR_INVALID_PARAMETER;
	if (GetFileAttributesW(inf) == INVALID_FILE_ATTRIBUTES) {
		LOG(Error, "%s: no such file", FileName);
		return ERROR_FILE_NOT_FOUND;
	}
	status = for_each_device(count_device, &count);
	if (status == 0)
		status = count == 0 ? install_first(inf, &reboot) :
		    update_driver(inf, &reboot);
	*RebootRequired = reboot;
	return status;
}

/* ---- uninstall ----------------------------------------------------------- */

static DWORD
remove_device(HDEVINFO set, SP_DEVINFO_DATA *device, void *arg)
{
	SP_DEVINSTALL_PARAMS_W params = { .cbSize = sizeof(params) };
	BOOL *reboot = arg;

	if (!SetupDiCallClassInstaller(DIF_REMOVE, set, device))
		return log_failure("The adapter cannot be removed");
	if (SetupDiGetDeviceInstallParamsW(set, device, &params) &&
	    (params.Flags & (DI_NEEDREBOOT | DI_NEEDRESTART)) != 0)
		*reboot = TRUE;
	return 0;
}

/* A model's line is "description = install section, hardware id, ...". */
static bool
section_has_id(HINF inf, const WCHAR *section)
{
	INFCONTEXT line;
	WCHAR id[256];
	BOOL more;

	for (more = SetupFindFirstLineW(inf, section, NULL, &line); more;
	    more = SetupFindNextLine(&line, &line))
		if (SetupGetStringFieldW(&line, 2, id, COUNT_OF(id), NULL) &&
		    _wcsicmp(id, HARDWARE_ID) == 0)
			return true;
	return false;
}

/* A manufacturer's line is "name = section, platform, ..."; the models of a platform
 * are in the section "section.platform". */
static bool
manufacturer_has_id(INFCONTEXT *line, HINF inf)
{
	WCHAR section[512], platform[128];
	DWORD fields = SetupGetFieldCount(line);
	size_t len;

	if (!SetupGetStringFieldW(line, 1, section, 256, NULL))
		return false;
	if (section_has_id(inf, section))
		return true;
	len = wcslen(section);
	for (DWORD i = 2; i <= fields; i++) {
		if (!SetupGetStringFieldW(line, i, platform, COUNT_OF(platform), NULL))
			continue;
		section[len] = L'.';
		wcscpy(section + len + 1, platform);
		if (section_has_id(inf, section))
			return true;
	}
	return false;
}

static bool
inf_is_ours(const WCHAR *path)
{
	HINF inf = SetupOpenInfFileW(path, NULL, INF_STYLE_WIN4, NULL);
	INFCONTEXT line;
	bool ours = false;
	BOOL more;

	if (inf == INVALID_HANDLE_VALUE)
		return false;
	for (more = SetupFindFirstLineW(inf, L"Manufacturer", NULL, &line);
	    more && !ours; more = SetupFindNextLine(&line, &line))
		ours = manufacturer_has_id(&line, inf);
	SetupCloseInfFile(inf);
	return ours;
}

static DWORD
remove_packages(void)
{
	WCHAR dir[MAX_PATH], path[MAX_PATH];
	UINT len = GetWindowsDirectoryW(dir, MAX_PATH - 32);
	WIN32_FIND_DATAW found;
	HANDLE search;
	DWORD status = 0;

	if (len == 0 || len >= MAX_PATH - 32)
		return log_failure("The directory of Windows is not known");
	wcscat(dir, L"\\inf\\");
	wcscpy(path, dir);
	wcscat(path, L"oem*.inf");
	search = FindFirstFileW(path, &found);
	if (search == INVALID_HANDLE_VALUE)
		return 0;
	do {
		if (wcslen(dir) + wcslen(found.cFileName) >= MAX_PATH)
			continue;
		wcscpy(path, dir);
		wcscat(path, found.cFileName);
		if (inf_is_ours(path) && !SetupUninstallOEMInfW(found.cFileName,
		    SUOI_FORCEDELETE, NULL))
			status = log_failure("A driver package cannot be removed");
	} while (FindNextFileW(search, &found));
	FindClose(search);
	return status;
}

/* Plug and Play leaves the service behind, and sometimes running. */
static DWORD
remove_service(void)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
	SERVICE_STATUS ignored;
	SC_HANDLE service;
	DWORD status = 0;

	if (manager == NULL)
		return log_failure("The service manager cannot be opened");
	service = OpenServiceW(manager, SERVICE, DELETE | SERVICE_STOP);
	if (service == NULL) {
		if (GetLastError() != ERROR_SERVICE_DOES_NOT_EXIST)
			status = log_failure("The service cannot be opened");
	} else {
		(void)ControlService(service, SERVICE_CONTROL_STOP, &ignored);
		if (!DeleteService(service) &&
		    GetLastError() != ERROR_SERVICE_MARKED_FOR_DELETE)
			status = log_failure("The service cannot be removed");
		CloseServiceHandle(service);
	}
	CloseServiceHandle(manager);
	return status;
}

/* It is in use for a moment after the last device went. */
static void
remove_file(BOOL *reboot)
{
	WCHAR path[MAX_PATH];
	UINT len = GetSystemDirectoryW(path, MAX_PATH - 32);
	bool gone = false;

	if (len == 0 || len >= MAX_PATH - 32)
		return;
	wcscat(path, L"\\drivers\\wnbd.sys");
	for (unsigned i = 0; i < UNLOAD_TRIES && !gone; i++) {
		if (i > 0)
			Sleep(UNLOAD_PAUSE_MS);
		gone = DeleteFileW(path) || GetLastError() == ERROR_FILE_NOT_FOUND;
	}
	if (!gone && MoveFileExW(path, NULL, MOVEFILE_DELAY_UNTIL_REBOOT))
		*reboot = TRUE;
}

static void
remove_disks(void)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);
	char text[256];

	if (status != 0)
		return;
	status = lib_done(adapter, WnbdRemoveAllDisks(adapter));
	if (status != 0)
		LOG(Warning, "Not all disks could be removed: %s",
		    lib_error_text(status, text, sizeof(text)));
}

DWORD
WnbdUninstallDriver(PBOOL RebootRequired)
{
	DWORD status, one;
	unsigned count = 0;
	BOOL reboot = FALSE;

	if (RebootRequired == NULL)
		return ERROR_INVALID_PARAMETER;
	status = for_each_device(count_device, &count);
	if (status == 0 && count > 0) {
		remove_disks();
		status = for_each_device(remove_device, &reboot);
	}
	/* What is left is removed even where something is not. */
	one = remove_packages();
	status = status != 0 ? status : one;
	one = remove_service();
	status = status != 0 ? status : one;
	remove_file(&reboot);
	*RebootRequired = reboot;
	return status;
}
