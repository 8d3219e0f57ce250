/*
 * test_unload.c - the adapter leaves, the driver is unloaded, nothing is left.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "tests.h"

#include "tap.h"

static bool
is_closed(void)
{
	uint64_t end = nt_now_ms() + LONG_MS;
	HANDLE h;

	while (nt_now_ms() < end) {
		if (!NT_SUCCESS(adapter_open(&h)))
			return true;
		NtClose(h);
		nt_sleep(100);
	}
	return false;
}

/* Plug and Play unloads a driver with its last device. */
static bool
is_freed(const char tag[4])
{
	uint64_t end = nt_now_ms() + LONG_MS;

	while (nt_pool(tag) != 0 && nt_now_ms() < end)
		nt_sleep(100);
	tap_note("pool of %s: %ld bytes", tag, (long)nt_pool(tag));
	return nt_pool(tag) == 0;
}

void
test_unload(HANDLE adapter)
{
	struct test_report report = adapter_report(adapter);

	tap_ok(report.violations == 0, "no violation");
	tap_note("%lu requests at once at most, %lu resets", report.max_outstanding,
	    report.resets);
	tap_ok(nt_pool("Wnbd") > 0, "the driver has memory of the pool's");
	tap_is(adapter_test(adapter, TEST_LEAVE, TEST_ADAPTER), STATUS_SUCCESS,
	    "Plug and Play removes the adapter");
	NtClose(adapter);
	tap_ok(is_closed(), "its interface is closed");
	tap_ok(is_freed("Wnbd"), "the driver has no memory any more");
	tap_ok(is_freed("Stor"), "nor has the port");
}
