/*
 * commands.c - the commands that ask the driver and print, or tell it something.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "version.h"

void
complain_text(const char *message)
{
	fprintf(stderr, "wnbd-client: %s\n", message);
}

DWORD
complain(DWORD error, const char *what)
{
	WCHAR wide[512];
	char text[1024];
	DWORD len = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM |
	    FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL,
	    error, 0, wide, 512, NULL);

	while (len > 0 && (wide[len - 1] == L' ' || wide[len - 1] == L'.'))
		len--;
	format_wide(text, sizeof(text), wide, len);
	fprintf(stderr, "wnbd-client: %s: %s%s(%lu)\n", what, text,
	    len > 0 ? " " : "error ", error);
	return error;
}

/* ---- version, help ------------------------------------------------------- */

static DWORD
run_version(const struct arguments *a)
{
	WNBD_VERSION lib = { 0 }, driver = { 0 };
	DWORD status;

	WnbdGetLibVersion(&lib);
	if (!a->json) {
		printf("wnbd-client.exe: %s\nlibwnbd.dll: %s\n", NBDISK_VERSION,
		    lib.Description);
		fflush(stdout);
	}
	status = WnbdGetDriverVersion(&driver);
	if (a->json) {
		format_version_json(stdout, NBDISK_VERSION, lib.Description,
		    status == 0 ? driver.Description : NULL);
		return status;
	}
	if (status == 0)
		printf("wnbd.sys: %s\n", driver.Description);
	return status;
}

static DWORD
run_help(const struct arguments *a)
{
	enum command_id id;

	if (a->operand[0] == NULL) {
		help_commands(stdout);
		return 0;
	}
	id = cmdline_find(a->operand[0]);
	if (id == COMMANDS) {
		fprintf(stderr, "Unknown command: %s\n", a->operand[0]);
		return ERROR_INVALID_PARAMETER;
	}
	help_command(stdout, id);
	return 0;
}

/* ---- disks --------------------------------------------------------------- */

typedef DWORD list_function(void *list, DWORD *size);

/* A list of the driver, to be freed.  It may grow between two calls. */
static DWORD
get_list(list_function *get, void **list)
{
	DWORD size = 0, room, status;

	*list = NULL;
	do {
		room = size;
		free(*list);
		*list = room == 0 ? NULL : calloc(1, room);
		if (room != 0 && *list == NULL)
			return ERROR_OUTOFMEMORY;
		status = get(*list, &size);
	} while (status == 0 && size > room);
	if (status != 0)
		free(*list);
	return status;
}

static DWORD
get_disks(void *list, DWORD *size)
{
	return WnbdList(list, size);
}

static DWORD
run_list(const struct arguments *a)
{
	WNBD_CONNECTION_LIST *list;
	void *got;
	DWORD status = get_list(get_disks, &got);

	if (status != 0)
		return complain(status, "list");
	list = got;
	format_list(stdout, list->Connections, list->Count, a->json);
	free(list);
	return 0;
}

static struct io_limits
limits_of(INT disk_number)
{
	struct io_limits limits = { -1, -1 };
	DWORD lun, adapter;
	char path[64];
	HANDLE disk;

	if (disk_number < 0)
		return limits;
	snprintf(path, sizeof(path), "\\\\.\\PhysicalDrive%d", disk_number);
	disk = CreateFileA(path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
	if (disk == INVALID_HANDLE_VALUE)
		return limits;
	if (WnbdIoctlGetIOLimits(disk, &lun, &adapter, NULL) == 0)
		limits = (struct io_limits){ lun, adapter };
	CloseHandle(disk);
	return limits;
}

static DWORD
run_show(const struct arguments *a)
{
	WNBD_CONNECTION_INFO info = { 0 };
	DWORD status = WnbdShow(a->operand[0], &info);

	if (status != 0)
		return complain(status, a->operand[0]);
	format_show(stdout, &info, limits_of(info.DiskNumber), a->json);
	return 0;
}

static DWORD
run_unmap(const struct arguments *a)
{
	WNBD_REMOVE_OPTIONS options = {
		.Flags.HardRemove = a->hard,
		.Flags.HardRemoveFallback = !a->no_fallback,
		.SoftRemoveTimeoutMs = a->soft_timeout_s * 1000,
		.SoftRemoveRetryIntervalMs = a->soft_retry_s * 1000,
	};
	DWORD status = WnbdRemoveEx(a->operand[0], &options);

	return status == 0 ? 0 : complain(status, a->operand[0]);
}

static DWORD
run_stats(const struct arguments *a)
{
	WNBD_DRV_STATS stats = { 0 };
	DWORD status = WnbdGetDriverStats(a->operand[0], &stats);

	if (status != 0)
		return complain(status, a->operand[0]);
	/* The same clock as the driver's timestamps, a little coarser. */
	format_stats(stdout, &stats, activity_of(&stats, GetTickCount64() *
	    TICKS_PER_MS), a->json);
	return 0;
}

/* ---- driver options ------------------------------------------------------ */

static DWORD
get_options(void *list, DWORD *size)
{
	return WnbdListDrvOpt(list, size, FALSE);
}

static DWORD
get_persistent_options(void *list, DWORD *size)
{
	return WnbdListDrvOpt(list, size, TRUE);
}

static DWORD
run_list_opt(const struct arguments *a)
{
	WNBD_OPTION_LIST *list;
	void *got;
	DWORD status = get_list(a->persistent ? get_persistent_options : get_options,
	    &got);

	if (status != 0)
		return complain(status, "list-opt");
	list = got;
	format_options(stdout, list->Options, list->Count, a->json);
	free(list);
	return 0;
}

static DWORD
run_get_opt(const struct arguments *a)
{
	WNBD_OPTION_VALUE value = { 0 };
	DWORD status = WnbdGetDrvOpt(a->operand[0], &value, a->persistent);

	if (status != 0)
		return complain(status, a->operand[0]);
	format_option(stdout, a->operand[0], &value, a->json);
	return 0;
}

/* The driver makes of the text what the option is. */
static DWORD
run_set_opt(const struct arguments *a)
{
	WNBD_OPTION_VALUE value = { .Type = WnbdOptWstr };
	DWORD status = ERROR_INVALID_PARAMETER;

	if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, a->operand[1], -1,
	    value.Data.AsWstr, WNBD_MAX_NAME_LENGTH) > 0)
		status = WnbdSetDrvOpt(a->operand[0], &value, a->persistent);
	return status == 0 ? 0 : complain(status, a->operand[0]);
}

static DWORD
run_reset_opt(const struct arguments *a)
{
	DWORD status = WnbdResetDrvOpt(a->operand[0], a->persistent);

	return status == 0 ? 0 : complain(status, a->operand[0]);
}

/* ---- driver -------------------------------------------------------------- */

static DWORD
run_install(const struct arguments *a)
{
	BOOL reboot = FALSE;
	DWORD status = WnbdInstallDriver(a->operand[0], &reboot);

	if (status != 0)
		return complain(status, a->operand[0]);
	if (reboot)
		fprintf(stderr, "Reboot required to complete the installation\n");
	return 0;
}

static DWORD
run_uninstall(const struct arguments *a)
{
	BOOL reboot = FALSE;
	DWORD status = WnbdUninstallDriver(&reboot);

	(void)a;
	if (reboot)
		fprintf(stderr, "Reboot required to complete the cleanup process\n");
	return status == 0 ? 0 : complain(status, "uninstall-driver");
}

static DWORD
remove_all_disks(void)
{
	HANDLE adapter;
	DWORD status = WnbdOpenAdapter(&adapter);

	if (status != 0)
		return status;
	status = WnbdRemoveAllDisks(adapter);
	CloseHandle(adapter);
	return status;
}

static DWORD
reset_adapter(const struct arguments *a)
{
	return WnbdResetAdapterEx(a->reset_timeout_s * 1000, a->reset_retry_s * 1000);
}

/* The removal of all disks allows no new ones; afterwards it is as it was. */
static DWORD
reset_without_disks(const struct arguments *a)
{
	static const char option[] = "NewMappingsAllowed";
	WNBD_OPTION_VALUE allowed;
	DWORD status = WnbdGetDrvOpt(option, &allowed, FALSE);

	if (status != 0)
		return status;
	status = remove_all_disks();
	if (status == 0)
		status = reset_adapter(a);
	(void)WnbdSetDrvOpt(option, &allowed, FALSE);
	return status;
}

static DWORD
run_reset_adapter(const struct arguments *a)
{
	DWORD status = a->hard_mappings ? reset_without_disks(a) : reset_adapter(a);

	return status == 0 ? 0 : complain(status, "reset-adapter");
}

/* ---- all ----------------------------------------------------------------- */

DWORD
command_run(const struct arguments *a)
{
	static DWORD (*const run[COMMANDS])(const struct arguments *) = {
		[CMD_VERSION] = run_version, [CMD_HELP] = run_help,
		[CMD_LIST] = run_list, [CMD_SHOW] = run_show,
		[CMD_MAP] = command_map, [CMD_UNMAP] = run_unmap,
		[CMD_STATS] = run_stats, [CMD_LIST_OPT] = run_list_opt,
		[CMD_GET_OPT] = run_get_opt, [CMD_SET_OPT] = run_set_opt,
		[CMD_RESET_OPT] = run_reset_opt, [CMD_INSTALL] = run_install,
		[CMD_UNINSTALL] = run_uninstall,
		[CMD_RESET_ADAPTER] = run_reset_adapter,
	};

	if (a->help) {
		help_command(stdout, a->command);
		return 0;
	}
	return run[a->command](a);
}
