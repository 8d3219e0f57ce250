/*
 * api_sample.cpp - every function of wnbd.h, called from C++; what each one returns.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: api_sample [DISK [reset]]
 *
 * Prints "NAME STATUS" for each function.  With a name, a disk in memory is created,
 * looked at in all ways and removed; without, only what needs no disk is called.  With
 * "reset", the adapter is restarted and the driver removed.
 */
#include <winsock2.h>
#include <wnbd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#define SHOW(call) std::printf("%s %lu\n", name_of(#call).c_str(), \
    static_cast<unsigned long>(call))

static std::string
name_of(const char *call)
{
	return std::string(call, std::strcspn(call, "("));
}

/* ---- a disk in memory ---------------------------------------------------- */

static std::vector<char> memory;

static void
respond(PWNBD_DISK disk, UINT64 handle, WnbdRequestType type, void *data, UINT32 size,
    bool inside)
{
	WNBD_IO_RESPONSE response = {};

	response.RequestHandle = handle;
	response.RequestType = type;
	if (!inside)
		WnbdSetSenseEx(&response.Status, 5, 0x21, 0);
	WnbdSendResponse(disk, &response, inside ? data : nullptr, inside ? size : 0);
}

static bool
is_inside(PWNBD_DISK disk, UINT64 address, UINT32 count)
{
	UINT64 blocks = memory.size() / disk->Properties.BlockSize;

	return address <= blocks && count <= blocks - address;
}

static VOID
on_read(PWNBD_DISK disk, UINT64 handle, PVOID buffer, UINT64 address, UINT32 count,
    BOOLEAN)
{
	UINT32 size = count * disk->Properties.BlockSize;
	bool inside = is_inside(disk, address, count);

	if (inside)
		std::memcpy(buffer, &memory[address * disk->Properties.BlockSize], size);
	respond(disk, handle, WnbdReqTypeRead, buffer, size, inside);
}

static VOID
on_write(PWNBD_DISK disk, UINT64 handle, PVOID buffer, UINT64 address, UINT32 count,
    BOOLEAN)
{
	bool inside = is_inside(disk, address, count);

	if (inside)
		std::memcpy(&memory[address * disk->Properties.BlockSize], buffer,
		    count * disk->Properties.BlockSize);
	respond(disk, handle, WnbdReqTypeWrite, nullptr, 0, inside);
}

static VOID
on_flush(PWNBD_DISK disk, UINT64 handle, UINT64, UINT32)
{
	respond(disk, handle, WnbdReqTypeFlush, nullptr, 0, true);
}

static VOID
on_unmap(PWNBD_DISK disk, UINT64 handle, PWNBD_UNMAP_DESCRIPTOR, UINT32)
{
	respond(disk, handle, WnbdReqTypeUnmap, nullptr, 0, true);
}

static VOID
on_reserve_in(PWNBD_DISK disk, UINT64 handle, UINT8)
{
	char nothing[8] = {};

	respond(disk, handle, WnbdReqTypePersistResIn, nothing, sizeof(nothing), true);
}

static VOID
on_reserve_out(PWNBD_DISK disk, UINT64 handle, UINT8, UINT8, UINT8, PVOID, UINT32)
{
	respond(disk, handle, WnbdReqTypePersistResOut, nullptr, 0, true);
}

static const WNBD_INTERFACE callbacks = {
	on_read, on_write, on_flush, on_unmap, on_reserve_in, on_reserve_out, {},
};

static VOID
on_log(WnbdLogLevel level, const char *message, const char *, UINT32,
    const char *function)
{
	std::fprintf(stderr, "%s %s: %s\n", WnbdLogLevelToStr(level), function, message);
}

/* ---- groups of functions ------------------------------------------------- */

static void
library()
{
	WNBD_VERSION version = {};
	WNBD_STATUS status = {};

	WnbdSetLogger(on_log);
	WnbdSetLogLevel(WnbdLogLevelCritical);
	SHOW(WnbdGetLibVersion(&version));
	SHOW(WnbdGetDriverVersion(&version));
	WnbdSetSense(&status, 3, 0x11);
	std::printf("WnbdSetSense %d\n", status.ScsiStatus != 2 || status.SenseKey != 3 ||
	    status.ASC != 0x11 || status.InformationValid);
	WnbdSetSenseEx(&status, 3, 0x11, 99);
	std::printf("WnbdSetSenseEx %d\n", status.Information != 99 ||
	    !status.InformationValid);
	std::printf("WnbdRequestTypeToStr %s\n",
	    WnbdRequestTypeToStr(WnbdReqTypePersistResOut));
}

static void
options()
{
	WNBD_OPTION_VALUE value = {};
	DWORD size = 0;

	SHOW(WnbdGetDrvOpt("LogLevel", &value, FALSE));
	SHOW(WnbdSetDrvOpt("LogLevel", &value, FALSE));
	SHOW(WnbdResetDrvOpt("LogLevel", FALSE));
	SHOW(WnbdListDrvOpt(nullptr, &size, FALSE));
}

/* WnbdRemoveAllDisks forbids them. */
static void
allow_mappings()
{
	WNBD_OPTION_VALUE value = {};

	if (WnbdGetDrvOpt("NewMappingsAllowed", &value, FALSE) != 0)
		return;
	std::printf("NewMappingsAllowed %d\n", value.Data.AsBool);
	WnbdResetDrvOpt("NewMappingsAllowed", FALSE);
}

static void
adapter_calls(HANDLE adapter, const char *name)
{
	WNBD_PROPERTIES none = {};
	WNBD_CONNECTION_INFO info = {};
	WNBD_OPTION_VALUE value = {};
	WNBD_IO_REQUEST request = {};
	WNBD_IO_RESPONSE response = {};
	WNBD_DRV_STATS stats = {};
	WNBD_VERSION version = {};
	NBD_SERVERS servers = {};
	DWORD size = 0, lun = 0, all = 0;

	SHOW(WnbdIoctlPing(adapter, nullptr));
	SHOW(WnbdIoctlVersion(adapter, &version, nullptr));
	SHOW(WnbdIoctlReloadConfig(adapter, nullptr));
	SHOW(WnbdIoctlCreate(adapter, &none, &info, nullptr));
	SHOW(WnbdIoctlList(adapter, nullptr, &size, nullptr));
	SHOW(WnbdIoctlShow(adapter, name, &info, nullptr));
	SHOW(WnbdIoctlStats(adapter, name, &stats, nullptr));
	SHOW(WnbdIoctlRemove(adapter, "no such disk", nullptr, nullptr));
	SHOW(WnbdIoctlSetDiskSize(adapter, 0, 1, nullptr));
	SHOW(WnbdIoctlSetServers(adapter, 0, &servers, nullptr));
	SHOW(WnbdIoctlFetchRequest(adapter, 0, &request, nullptr, 0, nullptr));
	SHOW(WnbdIoctlSendResponse(adapter, 0, &response, nullptr, 0, nullptr));
	SHOW(WnbdIoctlGetDrvOpt(adapter, "LogLevel", &value, FALSE, nullptr));
	SHOW(WnbdIoctlSetDrvOpt(adapter, "LogLevel", &value, FALSE, nullptr));
	SHOW(WnbdIoctlResetDrvOpt(adapter, "LogLevel", FALSE, nullptr));
	size = 0;
	SHOW(WnbdIoctlListDrvOpt(adapter, nullptr, &size, FALSE, nullptr));
	SHOW(WnbdIoctlGetIOLimits(adapter, &lun, &all, nullptr));
}

static void
whole_disk(const char *name)
{
	WNBD_PROPERTIES properties = {};
	WNBD_CONNECTION_INFO info = {};
	WNBD_USR_STATS user = {};
	WNBD_DRV_STATS driver = {};
	WNBD_IO_RESPONSE response = {};
	WNBD_REMOVE_OPTIONS hard = {};
	PWNBD_DISK disk = nullptr;
	PVOID context = nullptr;
	DWORD number = 0, size = 0;

	memory.resize(16 << 20);
	std::snprintf(properties.InstanceName, sizeof(properties.InstanceName), "%s",
	    name);
	properties.BlockSize = WNBD_DEFAULT_BLOCK_SIZE;
	properties.BlockCount = memory.size() / properties.BlockSize;
	SHOW(WnbdCreate(&properties, const_cast<PWNBD_INTERFACE>(&callbacks), &memory,
	    &disk));
	if (disk == nullptr)
		return;
	SHOW(WnbdStartDispatcher(disk, 4));
	SHOW(WnbdPollDiskNumber(name, TRUE, FALSE, 5000, 100, &number));
	SHOW(WnbdList(nullptr, &size));
	SHOW(WnbdShow(name, &info));
	SHOW(WnbdGetConnectionInfo(disk, &info));
	SHOW(WnbdGetUserContext(disk, &context));
	SHOW(WnbdGetUserspaceStats(disk, &user));
	SHOW(WnbdGetDriverStats(name, &driver));
	SHOW(WnbdSetDiskSize(disk, properties.BlockCount / 2));
	SHOW(WnbdSendResponseEx(disk, &response, nullptr, 0, nullptr));
	hard.Flags.HardRemove = 1;
	SHOW(WnbdRemove(disk, &hard));
	SHOW(WnbdRemoveEx(name, &hard));
	SHOW(WnbdStopDispatcher(disk, &hard));
	SHOW(WnbdWaitDispatcher(disk));
	WnbdClose(disk);
}

static void
adapter(const char *name)
{
	HANDLE handle = nullptr;
	DEVINST device = 0;

	SHOW(WnbdGetAdapterDevInst(&device));
	SHOW(WnbdOpenAdapterCMDeviceInstance(&device));
	DWORD status = WnbdOpenAdapter(&handle);
	std::printf("WnbdOpenAdapter %lu\n", status);
	if (status != 0)
		handle = INVALID_HANDLE_VALUE;
	adapter_calls(handle, name);
	SHOW(WnbdRemoveAllDisks(handle));
	allow_mappings();
	if (status == 0)
		CloseHandle(handle);
	status = WnbdOpenAdapterEx(&handle, &device);
	std::printf("WnbdOpenAdapterEx %lu\n", status);
	if (status == 0)
		CloseHandle(handle);
}

static void
nbd()
{
	WNBD_PROPERTIES properties = {};
	WNBD_NBD_OPTIONS options = {};

	std::snprintf(properties.InstanceName, sizeof(properties.InstanceName), "nbd");
	options.Size = sizeof(options);
	options.Uri = "nbd+unix:///x?socket=/nowhere";
	SHOW(WnbdRunNbdDaemon(&properties));
	SHOW(WnbdRunNbdDaemonEx(&properties, &options));
}

static void
setup()
{
	BOOL reboot = FALSE;

	SHOW(WnbdInstallDriver("no such file.inf", &reboot));
}

static void
reset()
{
	BOOL reboot = FALSE;

	SHOW(WnbdResetAdapter());
	SHOW(WnbdResetAdapterEx(1000, 100));
	SHOW(WnbdUninstallDriver(&reboot));
}

int
main(int argc, char **argv)
{
	WSADATA data;

	WSAStartup(MAKEWORD(2, 2), &data);
	library();
	options();
	adapter(argc > 1 ? argv[1] : "nothing");
	if (argc > 1)
		whole_disk(argv[1]);
	nbd();
	setup();
	if (argc > 2)
		reset();
	return 0;
}
