/*
 * test_process.c - processes that stop to wait, die, or give pointers to nowhere.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include "tap.h"

#define NAME	"nt-process"
#define SIZE	(4 * MIB)
#define BUFFER	(2u << 20)

static HANDLE port;
static WNBD_CONNECTION_ID id;

static WNBD_IOCTL_FETCH_REQ_COMMAND
fetch_of(void *buf, uint32_t size)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND c = { .IoControlCode = IOCTL_WNBD_FETCH_REQ };

	c.ConnectionId = id;
	c.DataBuffer = buf;
	c.DataBufferSize = size;
	return c;
}

static NTSTATUS
fetch(WNBD_IOCTL_FETCH_REQ_COMMAND *c, void *buf, uint32_t size)
{
	*c = fetch_of(buf, size);
	return adapter_command(port, c, sizeof(*c), c, sizeof(*c));
}

static NTSTATUS
respond(const WNBD_IOCTL_FETCH_REQ_COMMAND *q, void *data, uint32_t len)
{
	WNBD_IOCTL_SEND_RSP_COMMAND c = { .IoControlCode = IOCTL_WNBD_SEND_RSP };

	c.ConnectionId = id;
	c.Response.RequestHandle = q->Request.RequestHandle;
	c.Response.RequestType = q->Request.RequestType;
	c.DataBuffer = data;
	c.DataBufferSize = len;
	return adapter_command(port, &c, sizeof(c), NULL, 0);
}

/* ---- a process that stops to wait ------------------------------------------ */

static void
test_cancel(void *buf)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND c[8];
	struct nt_io io[8];
	bool pending = true, cancelled = true;
	IO_STATUS_BLOCK status;
	HANDLE h;
	unsigned i;

	adapter_open(&h);
	for (i = 0; i < 8; i++) {
		nt_io_init(&io[i]);
		c[i] = fetch_of(buf, BUFFER);
		pending &= nt_io_ioctl(&io[i], h, ADAPTER_IOCTL, &c[i], sizeof(c[i]),
		    &c[i], sizeof(c[i])) == STATUS_PENDING;
	}
	tap_ok(pending, "eight FETCH_REQ are pending");
	tap_is(NtCancelIoFile(h, &status), STATUS_SUCCESS, "NtCancelIoFile");
	for (i = 0; i < 8; i++) {
		cancelled &= nt_end(&io[i], LONG_MS) == STATUS_CANCELLED;
		nt_io_free(&io[i]);
	}
	tap_ok(cancelled, "all of them end as cancelled");
	NtClose(h);
}

/* ---- pointers to nowhere --------------------------------------------------- */

static void
test_bad_fetch(uint8_t *buf)
{
	uint8_t *read_only = nt_pages(BUFFER), *hole = nt_pages(BUFFER);
	struct {
		const char *what;
		void	*p;
		uint32_t size;
	} bad[] = {
		{ "the first page, where nothing is", (void *)16, 4096 },
		{ "a kernel address", (void *)(uintptr_t)0xfffff80000001000, 4096 },
		{ "no address at all", (void *)(uintptr_t)0x0123456789abc000, 4096 },
		{ "an end in the kernel", (void *)(uintptr_t)0x7fffffff0000, 1 << 20 },
		{ "read-only pages", read_only, 4096 },
		{ "pages of which the second is missing", hole, 8192 },
	};
	WNBD_IOCTL_FETCH_REQ_COMMAND c;
	unsigned i;

	(void)buf;
	nt_protect(read_only, 4096, PAGE_READONLY);
	nt_free_page(hole + 4096);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_is(fetch(&c, bad[i].p, bad[i].size), STATUS_ACCESS_VIOLATION,
		    bad[i].what);
}

static void
test_bad_response(HANDLE disk, uint8_t *buf)
{
	WNBD_IOCTL_FETCH_REQ_COMMAND c;
	uint8_t *data = nt_pages(4096);
	struct nt_io io;
	unsigned i, wrong = 0;

	nt_io_init(&io);
	nt_io_move(&io, disk, false, 0, data, 4096);
	if (tap_is(fetch(&c, buf, BUFFER), STATUS_SUCCESS, "a read is fetched")) {
		tap_is(respond(&c, (void *)(uintptr_t)0xfffff80000001000, 4096),
		    STATUS_ACCESS_VIOLATION, "answered from a kernel address");
		tap_ok(io.status.Status == STATUS_PENDING, "the read still waits");
		memset(buf, 0x5a, 4096);
		tap_is(respond(&c, buf, 4096), STATUS_SUCCESS, "answered well");
		tap_is(respond(&c, buf, 4096), STATUS_NOT_FOUND, "not twice");
	}
	tap_is(nt_end(&io, LONG_MS), STATUS_SUCCESS, "the read ends");
	for (i = 0; i < 4096; i++)
		wrong += data[i] != 0x5a;
	tap_ok(wrong == 0, "with the data of the answer");
	nt_io_free(&io);
}

/* Its pages are the driver's until the end, whatever the process does. */
static void
test_freed_buffer(HANDLE disk)
{
	uint8_t *buf = nt_pages(4096), *data = nt_pages(4096);
	WNBD_IOCTL_FETCH_REQ_COMMAND c = fetch_of(buf, 4096);
	struct nt_io pending, io;

	nt_io_init(&pending);
	nt_io_init(&io);
	nt_io_ioctl(&pending, port, ADAPTER_IOCTL, &c, sizeof(c), &c, sizeof(c));
	nt_free_page(buf);
	nt_io_move(&io, disk, true, 0, data, 4096);
	tap_is(nt_end(&pending, LONG_MS), STATUS_SUCCESS,
	    "a buffer that was freed while FETCH_REQ waits for a write");
	tap_is(respond(&c, NULL, 0), STATUS_SUCCESS, "it is answered");
	tap_is(nt_end(&io, LONG_MS), STATUS_SUCCESS, "the write ends");
	nt_io_free(&pending);
	nt_io_free(&io);
}

/* ---- a process that dies --------------------------------------------------- */

int
child_main(void)
{
	static struct user_disk user;

	user_disk_start(&user, CHILD_NAME, nt_pages(SIZE), SIZE);
	for (;;)
		nt_sleep(LONG_MS);
}

static void
load(void *disk)
{
	(void)exercise(disk, 0, SIZE, 65536, 32, 10);
}

static void
test_death(HANDLE adapter)
{
	WNBD_CONNECTION_INFO info;
	HANDLE child, disk, thread;

	if (!tap_is(nt_child(L"nt_test child", &child), STATUS_SUCCESS,
	    "a process is started"))
		return;
	while (adapter_show(adapter, CHILD_NAME, &info) != STATUS_SUCCESS)
		nt_sleep(50);
	tap_is(adapter_disk(adapter, CHILD_NAME, &disk, &info), STATUS_SUCCESS,
	    "its disk is there");
	tap_is(exercise(disk, 0, MIB, 65536, 8, 9), STATUS_SUCCESS, "and is served");
	thread = nt_thread(load, disk);
	nt_sleep(20);
	nt_kill(child);
	tap_ok(adapter_is_gone(adapter, CHILD_NAME),
	    "it is killed, with FETCH_REQ pending and under load: its disk goes");
	tap_is(nt_wait(thread, LONG_MS), STATUS_SUCCESS, "all requests end");
	tap_ok(!NT_SUCCESS(exercise(disk, 0, 4096, 4096, 1, 9)), "I/O fails");
	NtClose(thread);
	NtClose(disk);
}

/* What the class driver asks when it finds the disk. */
static void
answer_all(void *arg)
{
	volatile LONG *stop = arg;
	WNBD_IOCTL_FETCH_REQ_COMMAND c;
	uint8_t *buf = nt_pages(BUFFER), *data = nt_pages(BUFFER);

	while (*stop == 0 && NT_SUCCESS(fetch(&c, buf, BUFFER)) &&
	    c.Request.RequestType != WnbdReqTypeDisconnect)
		respond(&c, data, c.Request.RequestType == WnbdReqTypeRead ?
		    c.Request.Cmd.Read.BlockCount * 512 : 0);
}

static bool
open_served(HANDLE adapter, HANDLE *disk)
{
	volatile LONG stop = 0;
	WNBD_CONNECTION_INFO info;
	HANDLE thread = nt_thread(answer_all, (void *)(uintptr_t)&stop);
	bool ok = tap_is(adapter_disk(adapter, NAME, disk, &info), STATUS_SUCCESS,
	    "the system has it");
	uint8_t *buf = nt_pages(4096);

	/* partmgr's reads are over when ours, made after the last of them, is. */
	nt_sleep(2 * SECOND_MS);
	stop = 1;
	ok &= NT_SUCCESS(nt_read(*disk, 0, buf, 512));
	nt_wait(thread, LONG_MS);
	NtClose(thread);
	return ok;
}

void
test_process(HANDLE adapter)
{
	WNBD_PROPERTIES p = user_disk_properties(NAME, SIZE);
	WNBD_CONNECTION_INFO info;
	uint8_t *buf = nt_pages(BUFFER);
	HANDLE disk;

	adapter_open(&port);
	if (!tap_is(adapter_create(port, &p, &info), STATUS_SUCCESS,
	    "a disk that one thread serves by hand"))
		return;
	id = info.ConnectionId;
	if (open_served(adapter, &disk)) {
		test_cancel(buf);
		test_bad_fetch(buf);
		test_bad_response(disk, buf);
		test_freed_buffer(disk);
		NtClose(disk);
	}
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	NtClose(port);
	test_death(adapter);
}
