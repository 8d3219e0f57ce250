/*
 * test_kernel.c - disks of the driver's own NBD client.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include <stdio.h>
#include <string.h>

#include "device.h"
#include "server.h"
#include "tap.h"
#include "wnbd.h"

#define NAME		SELFTEST_NAME "nbd"
#define TIMEOUT_MS	2000
#define DEAD_MS		60000
#define END_MS		60000

static struct server *server;
static struct device device;
static uint8_t *buf;			/* 64 KiB, aligned */
#define BUF_SIZE	65536u

static DWORD
map(unsigned port, unsigned connections, DWORD dead_ms)
{
	WNBD_PROPERTIES p = { .BlockSize = 0 };
	PWNBD_DISK disk;
	DWORD error;

	snprintf(p.InstanceName, sizeof(p.InstanceName), NAME);
	snprintf(p.NbdProperties.Hostname, sizeof(p.NbdProperties.Hostname),
	    "127.0.0.1");
	p.NbdProperties.PortNumber = port;
	p.NbdProperties.Connections = connections;
	p.NbdProperties.RequestTimeoutMs = TIMEOUT_MS;
	p.NbdProperties.DeadTimeoutMs = dead_ms;
	p.Flags.UseKernelNbd = 1;
	error = WnbdCreate(&p, NULL, NULL, &disk);
	if (error == 0)
		WnbdClose(disk);
	return error;
}

static bool
start(const struct server_config *cfg, unsigned connections, const char *what)
{
	device.h = INVALID_HANDLE_VALUE;
	server = server_start(cfg);
	return tap_ok(server != NULL, "%s: a server", what) &&
	    tap_is(map(server_port(server), connections, DEAD_MS), 0, what) &&
	    tap_is(device_open(&device, NAME), 0, "Windows has the disk");
}

static void
stop(bool hard, const char *what)
{
	WNBD_REMOVE_OPTIONS options = {
		.Flags.HardRemove = hard, .SoftRemoveTimeoutMs = END_MS,
		.SoftRemoveRetryIntervalMs = 500,
	};

	device_close(&device);
	tap_is(WnbdRemoveEx(NAME, &options), 0, what);
	if (server != NULL)
		server_stop(server);
	server = NULL;
}

static DWORD
scsi(const char *cdb, unsigned len, uint32_t data_len, bool in, uint8_t *status)
{
	uint8_t sense[18];

	return device_scsi(&device, cdb, len, buf, data_len, in, status, sense);
}

/* ---- one disk, in many ways ------------------------------------------------ */

static void
test_io(void)
{
	WNBD_DRV_STATS s = { 0 };
	WNBD_CONNECTION_INFO info = { .DiskNumber = -1 };

	tap_is(device_exercise(&device, 0, 32 * MIB, 65536, 8, 1), 0,
	    "32 MiB written, read and compared");
	tap_is(device_exercise(&device, MIB, 8 * MIB, 4096, 32, 2), 0,
	    "the same, 32 requests at once");
	tap_is(device_exercise(&device, 0, 32 * MIB, 2 << 20, 8, 3), 0,
	    "the same, by the largest transfer");
	tap_is(device_flush(&device), 0, "a flush");
	tap_ok(server_counts(server).flushes > 0, "which the server has seen");
	tap_is(WnbdShow(NAME, &info), 0, "WnbdShow");
	tap_ok(info.DiskNumber == (INT)device.number && info.Properties.Flags.UseNbd,
	    "which tells the number, and that it is NBD");
	tap_is(WnbdGetDriverStats(NAME, &s), 0, "WnbdGetDriverStats");
	tap_ok(s.TotalReceivedIORequests > 0 && s.OutstandingIOCount == 0 &&
	    s.UnsubmittedIORequests == 0, "its counters add up");
}

static void
test_scsi(void)
{
	struct server_counts was = server_counts(server), is;
	uint8_t status = 0xff;

	memset(buf, 0x22, BUF_SIZE);
	tap_ok(scsi("\x2a\x08\x00\x00\x00\x08\x00\x00\x08\x00", 10, 4096, false,
	    &status) == 0 && status == 0, "WRITE (10) with FUA");
	memset(buf, 0, BUF_SIZE);
	buf[1] = 22;
	buf[3] = 16;
	buf[14] = 1;
	buf[19] = 8;
	tap_ok(scsi("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", 10, 24, false,
	    &status) == 0 && status == 0, "UNMAP");
	memset(buf, 0, BUF_SIZE);
	tap_ok(scsi("\x93\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x08\x00\x00",
	    16, 512, false, &status) == 0 && status == 0, "WRITE SAME (16) of zeroes");
	is = server_counts(server);
	tap_ok(is.fua > was.fua && is.trims > was.trims && is.zeroes > was.zeroes,
	    "the server has seen all three");
}

static void
test_faults(void)
{
	ULONGLONG began;
	long connections;

	server_fault(server, FAULT_SLOW);
	tap_is(device_exercise(&device, 0, 4 * MIB, 65536, 32, 4), 0, "a slow server");
	server_fault(server, FAULT_NONE);
	connections = server_counts(server).connections;
	for (unsigned i = 0; i < 5; i++) {
		server_fault(server, FAULT_CUT);
		tap_is(device_exercise(&device, 0, 4 * MIB, 16384, 32, 5 + i), 0,
		    "a connection that is cut: nothing is lost");
	}
	tap_ok(server_counts(server).connections > connections,
	    "(it was made anew)");
	began = GetTickCount64();
	server_fault(server, FAULT_SILENT);
	tap_is(device_read(&device, 0, buf, 4096), 0, "a command that is not answered");
	tap_ok(GetTickCount64() - began >= TIMEOUT_MS - 500,
	    "is sent again when its time is over");
	server_fault(server, FAULT_REFUSE);
	tap_ok(device_read(&device, 0, buf, 4096) != 0, "an error is an error");
	server_fault(server, FAULT_NONE);
	tap_is(device_compare(&device, 0, 4 * MIB, 65536, 9), 0,
	    "and the data is right");
}

struct load {
	uint64_t seed;
	volatile LONG error;
};

static DWORD WINAPI
load_thread(void *arg)
{
	struct load *l = arg;

	l->error = (LONG)device_exercise(&device, 0, 16 * MIB, 65536, 32, l->seed);
	return 0;
}

static void
test_restart(void)
{
	struct load load = { .seed = 20 };
	HANDLE thread = CreateThread(NULL, 0, load_thread, &load, 0, NULL);
	bool ok = true;

	for (unsigned i = 0; i < 3; i++) {
		Sleep(200);
		server_kill(server);
		Sleep(300);
		ok &= server_revive(server);
	}
	tap_ok(ok, "a server that is killed and started, three times");
	tap_ok(WaitForSingleObject(thread, END_MS) == WAIT_OBJECT_0 && load.error == 0,
	    "loses no request: error %ld", load.error);
	CloseHandle(thread);
	tap_is(device_compare(&device, 0, 16 * MIB, 65536, 20), 0,
	    "and the data is right");
}

static void
test_hard_removal(void)
{
	struct load load = { .seed = 30 };
	struct server_config cfg = { .size = 64 * MIB };
	HANDLE thread;

	if (!start(&cfg, 1, "a disk to be removed under load"))
		return;
	server_fault(server, FAULT_DEAF);
	thread = CreateThread(NULL, 0, load_thread, &load, 0, NULL);
	Sleep(500);
	stop(true, "a hard removal, while the server is deaf");
	tap_ok(WaitForSingleObject(thread, END_MS) == WAIT_OBJECT_0 && load.error != 0,
	    "the requests under way end, with an error");
	CloseHandle(thread);
}

/* ---- servers of other kinds ------------------------------------------------ */

static unsigned
physical_sector(unsigned *logical)
{
	uint8_t status = 0xff;

	memset(buf, 0, 32);
	if (scsi("\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00", 16,
	    32, true, &status) != 0 || status != 0)
		return 0;
	*logical = (unsigned)buf[8] << 24 | buf[9] << 16 | buf[10] << 8 | buf[11];
	return *logical << (buf[13] & 15);
}

static void
test_kind(const struct server_config *cfg, unsigned logical, const char *what)
{
	unsigned got = 0, physical;

	if (!start(cfg, 1, what)) {
		stop(true, "removed");
		return;
	}
	physical = physical_sector(&got);
	tap_ok(got == logical && physical == 4096,
	    "sectors of %u, physical of %u bytes", got, physical);
	tap_ok(device_size(&device) == cfg->size, "its size");
	if (cfg->read_only)
		tap_ok(device_read(&device, 0, buf, 4096) == 0 &&
		    device_write(&device, 0, buf, 4096) != 0,
		    "it can be read, and not be written");
	else
		tap_is(device_exercise(&device, cfg->size - MIB, MIB, 65536, 8, 40), 0,
		    "I/O at its end");
	stop(true, "removed");
}

static void
test_kinds(void)
{
	static const struct {
		struct server_config cfg;
		unsigned logical;
		const char *what;
	} kinds[] = {
		{ { 64 * MIB, 0, 0, true }, 512, "a read-only server" },
		{ { 64 * MIB, 4096, 4096, false }, 4096, "a server of 4 KiB blocks" },
		{ { 64 * MIB, 1, 65536, false }, 512, "a server that prefers 64 KiB" },
		{ { 3072 * GIB, 1, 4096, false }, 512, "a server of 3 TiB" },
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		test_kind(&kinds[i].cfg, kinds[i].logical, kinds[i].what);
}

void
test_kernel(void)
{
	struct server_config cfg = { .size = 64 * MIB };

	tap_note("---- disks of the driver's NBD client");
	buf = VirtualAlloc(NULL, BUF_SIZE, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	tap_ok(map(1, 1, DEAD_MS) != 0, "nobody listens: no disk");
	if (buf == NULL || !start(&cfg, 4, "a disk of four connections"))
		return;
	tap_ok(server_counts(server).connections >= 1, "it has connections");
	test_io();
	test_scsi();
	test_faults();
	test_restart();
	stop(false, "a soft removal");
	test_hard_removal();
	test_kinds();
	VirtualFree(buf, 0, MEM_RELEASE);
}
