/*
 * test_removal.c - disks that leave: asked, not asked, under load; resets under load.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include "tap.h"

#define NAME	"nt-removal"
#define SIZE	(8 * MIB)
#define LOAD	16u

static struct user_disk user;
static HANDLE disk;
static WNBD_CONNECTION_INFO info;

static bool
start(HANDLE adapter, const char *what)
{
	if (!tap_is(user_disk_start(&user, NAME, user.data != NULL ? user.data :
	    nt_pages(SIZE), SIZE), STATUS_SUCCESS, what))
		return false;
	if (tap_is(adapter_disk(adapter, NAME, &disk, &info), STATUS_SUCCESS,
	    "the system has it"))
		return true;
	adapter_remove(adapter, NAME);
	user_disk_ended(&user);
	return false;
}

static void
test_soft(HANDLE adapter)
{
	if (!start(adapter, "a disk for a soft removal"))
		return;
	NtClose(disk);
	tap_is(adapter_test(adapter, TEST_LEAVE, info.TargetId), STATUS_SUCCESS,
	    "Plug and Play asks for its removal");
	tap_ok(adapter_is_gone(adapter, NAME), "all agree, and the mapping ends");
	tap_ok(user_disk_ended(&user), "its process was told");
}

/* ---- under load ------------------------------------------------------------ */

struct load {
	struct nt_io	 io[LOAD];
	uint8_t		*buf;
};

static void
load_start(struct load *l, bool write)
{
	unsigned i;

	l->buf = nt_pages(LOAD * 4096);
	for (i = 0; i < LOAD; i++) {
		memset(l->buf + i * 4096, (int)i + 1, 4096);
		nt_io_init(&l->io[i]);
		nt_io_move(&l->io[i], disk, write, i * 65536, l->buf + i * 4096, 4096);
	}
}

/* How many succeeded; -1: some did not end. */
static int
load_end(struct load *l)
{
	NTSTATUS status;
	int good = 0;
	unsigned i;

	for (i = 0; i < LOAD; i++) {
		status = nt_end(&l->io[i], LONG_MS);
		if (status == STATUS_TIMEOUT)
			return -1;
		good += NT_SUCCESS(status);
		nt_io_free(&l->io[i]);
	}
	return good;
}

static void
await_load(void)
{
	while (user.reads + user.writes < (LONG)SERVERS)
		nt_sleep(10);
}

static void
test_hard(HANDLE adapter)
{
	struct load load;

	if (!start(adapter, "a disk to be removed under load"))
		return;
	user.mood = MOOD_DEAF;
	user.reads = user.writes = 0;
	load_start(&load, false);
	await_load();
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	tap_ok(load_end(&load) == 0, "%u requests under way end, with errors", LOAD);
	tap_ok(user_disk_ended(&user), "its process was told");
	tap_ok(!NT_SUCCESS(exercise(disk, 0, 4096, 4096, 1, 1)), "the handle is dead");
	NtClose(disk);
}

static bool
is_stored(void)
{
	unsigned i;

	for (i = 0; i < LOAD; i++)
		if (user.data[i * 65536] != i + 1 ||
		    user.data[i * 65536 + 4095] != i + 1)
			return false;
	return true;
}

/* The process answers nothing until the port resets the logical unit. */
static void
test_reset(HANDLE adapter, bool bus)
{
	ULONG before = adapter_report(adapter).resets;
	uint64_t end = nt_now_ms() + LONG_MS;
	struct load load;

	memset(user.data, 0, SIZE);
	user.mood = MOOD_DEAF;
	user.reads = user.writes = 0;
	adapter_test(adapter, TEST_SRB_TIMEOUT, bus ? 0 : 2);
	load_start(&load, true);
	await_load();
	if (bus)
		tap_is(adapter_test(adapter, TEST_EVENT, TEST_RESET_BUS),
		    STATUS_SUCCESS, "HwResetBus with writes under way");
	while (!bus && adapter_report(adapter).resets == before &&
	    nt_now_ms() < end)
		nt_sleep(50);
	if (!bus)
		tap_ok(adapter_report(adapter).resets > before,
		    "writes take too long: a reset");
	user.mood = MOOD_WELL;
	adapter_test(adapter, TEST_SRB_TIMEOUT, 0);
	tap_ok(load_end(&load) == (int)LOAD, "all are repeated, and end well");
	tap_ok(is_stored(), "the process has the data");
}

void
test_removal(HANDLE adapter)
{
	test_soft(adapter);
	test_hard(adapter);
	if (!start(adapter, "a disk to be reset"))
		return;
	test_reset(adapter, false);
	test_reset(adapter, true);
	tap_is(exercise(disk, 0, 2 * MIB, 65536, 16, 5), STATUS_SUCCESS,
	    "it works as before");
	NtClose(disk);
	tap_is(adapter_remove(adapter, NAME), STATUS_SUCCESS, "REMOVE");
	tap_ok(user_disk_ended(&user), "its process was told");
}
