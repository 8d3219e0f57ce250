/*
 * test_nbd.c - disks of the driver's NBD client, and the server that servers.py runs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The server is ordered about by lines that begin with "host: ".
 */
#include "tests.h"

#include <ntddscsi.h>
#include <stddef.h>
#include <string.h>

#include "tap.h"

#define NAME		"nt-nbd"
#define PORT		10809
#define SILENT_PORT	10810
#define REFUSED_PORT	10811
#define BOTH		"10.0.0.1,10.0.0.1:10812"	/* of one file */
#define SIZE		(64 * MIB)
#define LOAD		16u
#define PIECE		8192u
#define AREA		(MIB / 4)	/* of servers.py */
#define TIMEOUT_S	120		/* the wire is slow */

ULONG	DbgPrint(const char *, ...);

static WNBD_PROPERTIES
properties(const char *name, UINT32 port)
{
	WNBD_PROPERTIES p = { .BlockSize = 512 };

	strcpy(p.InstanceName, name);
	strcpy(p.Owner, "nt");
	strcpy(p.NbdProperties.Hostname, "10.0.0.1");
	p.NbdProperties.PortNumber = port;
	p.NbdProperties.Connections = 2;
	p.Flags.UseKernelNbd = 1;
	return p;
}

/* ---- SCSI commands --------------------------------------------------------- */

struct pass {
	SCSI_PASS_THROUGH p;
	UCHAR	sense[32];
	UCHAR	data[4096];
};

static bool
scsi(HANDLE disk, const char *cdb, UCHAR cdb_length, const void *data, ULONG length,
    const char *what)
{
	static struct pass s;
	NTSTATUS status;

	memset(&s, 0, sizeof(s));
	s.p.Length = sizeof(s.p);
	s.p.CdbLength = cdb_length;
	memcpy(s.p.Cdb, cdb, cdb_length);
	s.p.DataIn = SCSI_IOCTL_DATA_OUT;
	s.p.TimeOutValue = 60;
	s.p.SenseInfoLength = sizeof(s.sense);
	s.p.SenseInfoOffset = offsetof(struct pass, sense);
	s.p.DataTransferLength = length;
	s.p.DataBufferOffset = offsetof(struct pass, data);
	memcpy(s.data, data, length);
	status = nt_ioctl(disk, IOCTL_SCSI_PASS_THROUGH, &s, sizeof(s), &s, sizeof(s),
	    NULL);
	return tap_ok(NT_SUCCESS(status) && s.p.ScsiStatus == 0,
	    "%s: %08lx, SCSI status %u, sense %x/%02x", what, (unsigned long)status,
	    s.p.ScsiStatus, s.sense[2] & 15, s.sense[12]);
}

static void
test_scsi(HANDLE disk)
{
	static UCHAR data[4096];
	const UCHAR unmap[24] = { 0, 22, 0, 16, [13] = 0x01, [14] = 0x80, [18] = 0x08 };

	memset(data, 0x77, sizeof(data));
	scsi(disk, "\x2a\x08\x00\x01\x80\x00\x00\x00\x08\x00", 10, data, 4096,
	    "WRITE (10) with FUA");
	scsi(disk, "\x35\x00\x00\x00\x00\x00\x00\x00\x00\x00", 10, data, 0,
	    "SYNCHRONIZE CACHE");
	scsi(disk, "\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", 10, unmap, 24, "UNMAP");
}

/* ---- a server that is lost ------------------------------------------------- */

/* The server is killed, and writes are begun; then, perhaps, it is started again. */
static void
write_at_loss(HANDLE disk, uint64_t offset, bool restart, const char *what)
{
	static struct nt_io io[LOAD];
	uint8_t *buf = nt_pages(LOAD * PIECE), *back = nt_pages(PIECE);
	unsigned i, good = 0, right = 0;

	DbgPrint("\nhost: kill\n");
	for (i = 0; i < LOAD; i++) {
		memset(buf + i * PIECE, (int)i + 1, PIECE);
		nt_io_init(&io[i]);
		nt_io_move(&io[i], disk, true, offset + i * PIECE, buf + i * PIECE,
		    PIECE);
	}
	nt_sleep(SECOND_MS);
	if (restart)
		DbgPrint("\nhost: start\n");
	for (i = 0; i < LOAD; i++) {
		good += nt_end(&io[i], 2 * LONG_MS) == STATUS_SUCCESS;
		nt_io_free(&io[i]);
	}
	tap_ok(good == LOAD, "%s: %u of %u writes end well", what, good, LOAD);
	for (i = 0; i < LOAD; i++)
		right += NT_SUCCESS(nt_read(disk, offset + i * PIECE, back, PIECE)) &&
		    memcmp(back, buf + i * PIECE, PIECE) == 0;
	tap_ok(right == LOAD, "and their data is there");
}

/* ---- two servers ----------------------------------------------------------- */

static bool
servers_are(HANDLE adapter, unsigned first, unsigned second)
{
	WNBD_CONNECTION_INFO info;

	return NT_SUCCESS(adapter_show(adapter, NAME, &info)) &&
	    info.Servers.Count == 2 && info.Servers.Server[0].State == first &&
	    info.Servers.Server[1].State == second;
}

static void
test_failover(HANDLE adapter)
{
	WNBD_PROPERTIES p = properties(NAME, PORT);
	WNBD_CONNECTION_INFO info;
	HANDLE disk;

	strcpy(p.NbdProperties.Hostname, BOTH);
	p.NbdProperties.PathTimeoutMs = SECOND_MS;
	p.NbdProperties.FenceTimeMs = SECOND_MS;
	if (!tap_is(adapter_create(adapter, &p, &info), STATUS_SUCCESS,
	    "CREATE: a disk of two servers"))
		return;
	tap_ok(servers_are(adapter, NbdServerActive, NbdServerStandby),
	    "the first one is active");
	if (tap_is(adapter_disk(adapter, NAME, &disk, &info), STATUS_SUCCESS,
	    "the system has it")) {
		write_at_loss(disk, 16 * MIB, false, "the first one is killed");
		tap_ok(servers_are(adapter, NbdServerFailed, NbdServerActive),
		    "the second one is active");
		tap_is(exercise(disk, 48 * MIB, AREA, 16384, 8, 23), STATUS_SUCCESS,
		    "256 KiB written there, read and compared");
		NtClose(disk);
	}
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	DbgPrint("\nhost: start\n");
}

/* ---- CREATE that waits ----------------------------------------------------- */

static bool
is_pending(struct nt_io *io)
{
	nt_sleep(SECOND_MS);
	return io->status.Status == STATUS_PENDING;
}

static void
test_cancelled_create(HANDLE adapter)
{
	WNBD_IOCTL_CREATE_COMMAND c = { .IoControlCode = IOCTL_WNBD_CREATE };
	WNBD_CONNECTION_INFO info;
	IO_STATUS_BLOCK status;
	struct nt_io io;
	HANDLE h;

	c.Properties = properties(NAME "-silent", SILENT_PORT);
	adapter_open(&h);
	nt_io_init(&io);
	nt_io_ioctl(&io, h, ADAPTER_IOCTL, &c, sizeof(c), &info, sizeof(info));
	tap_ok(is_pending(&io), "CREATE waits for a server that says nothing");
	NtCancelIoFile(h, &status);
	tap_ok(!NT_SUCCESS(nt_end(&io, LONG_MS)), "NtCancelIoFile ends it");
	tap_ok(adapter_is_gone(adapter, NAME "-silent"), "no disk is left");
	nt_io_free(&io);
	NtClose(h);
}

int
child_create(void)
{
	WNBD_PROPERTIES p = properties(NAME "-child", SILENT_PORT);
	WNBD_CONNECTION_INFO info;
	HANDLE h;

	adapter_open(&h);
	adapter_create(h, &p, &info);
	for (;;)
		nt_sleep(LONG_MS);
}

/* The name is in use as long as CREATE waits. */
static bool
awaits(HANDLE adapter, NTSTATUS wanted)
{
	WNBD_PROPERTIES p = user_disk_properties(NAME "-child", MIB);
	uint64_t end = nt_now_ms() + LONG_MS;
	WNBD_CONNECTION_INFO info;
	NTSTATUS status;

	do {
		status = adapter_create(adapter, &p, &info);
		if (NT_SUCCESS(status))
			adapter_remove(adapter, p.InstanceName);
		if (status == wanted)
			return true;
		nt_sleep(100);
	} while (nt_now_ms() < end);
	return false;
}

static void
test_dead_create(HANDLE adapter)
{
	HANDLE child;

	if (!tap_is(nt_child(L"nt_test create", &child), STATUS_SUCCESS,
	    "a process that waits in CREATE"))
		return;
	tap_ok(awaits(adapter, STATUS_OBJECT_NAME_COLLISION), "its name is in use");
	nt_kill(child);
	tap_ok(awaits(adapter, STATUS_SUCCESS), "it is killed: the name is free");
}

void
test_nbd(HANDLE adapter)
{
	WNBD_PROPERTIES p = properties(NAME, REFUSED_PORT);
	WNBD_CONNECTION_INFO info;
	HANDLE disk;

	adapter_test(adapter, TEST_SRB_TIMEOUT, TIMEOUT_S);
	tap_ok(!NT_SUCCESS(adapter_create(adapter, &p, &info)),
	    "CREATE fails without a server");
	p = properties(NAME, PORT);
	if (!tap_is(adapter_create(adapter, &p, &info), STATUS_SUCCESS,
	    "CREATE: a disk of an NBD server"))
		return;
	tap_ok(info.Properties.BlockCount * 512 == SIZE, "of the server's size");
	if (tap_is(adapter_disk(adapter, NAME, &disk, &info), STATUS_SUCCESS,
	    "the system has it")) {
		tap_is(exercise(disk, 0, AREA, 16384, 8, 21), STATUS_SUCCESS,
		    "256 KiB written, read and compared");
		tap_is(exercise(disk, 32 * MIB, AREA, 4096, 32, 22), STATUS_SUCCESS,
		    "256 KiB, 32 requests at once");
		test_scsi(disk);
		write_at_loss(disk, 8 * MIB, true,
		    "the server is killed and comes back");
		NtClose(disk);
	}
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	test_failover(adapter);
	adapter_test(adapter, TEST_SRB_TIMEOUT, 0);
	test_cancelled_create(adapter);
	test_dead_create(adapter);
}
