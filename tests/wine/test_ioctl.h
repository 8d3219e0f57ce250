/*
 * test_ioctl.h - what the tests tell the test port: on an adapter, METHOD_BUFFERED.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Include windows.h and winioctl.h, or ntddk.h, first.
 */
#ifndef TEST_IOCTL_H
#define TEST_IOCTL_H

#define TEST_CODE(n) \
	CTL_CODE(0x8000, 0x800 + (n), METHOD_BUFFERED, FILE_ANY_ACCESS)

/* ULONG target → ULONG number of its \\.\PhysicalDrive; fails if there is none. */
#define TEST_DISK_NUMBER	TEST_CODE(0)
/* ULONG seconds: TimeOutValue of the requests that the port makes. */
#define TEST_SRB_TIMEOUT	TEST_CODE(1)
/* ULONG n: every nth allocation of the driver fails; 0: none. */
#define TEST_FAIL_ALLOCS	TEST_CODE(2)
/* struct test_srb → the same */
#define TEST_SRB		TEST_CODE(3)
/* → struct test_report */
#define TEST_REPORT		TEST_CODE(4)
/* ULONG of enum test_event: it happens to the adapter. */
#define TEST_EVENT		TEST_CODE(5)
enum test_event { TEST_RESTART, TEST_RESET_BUS, TEST_CANCEL_REMOVAL };
/* ULONG target, or TEST_ADAPTER: Plug and Play asks for its removal (tests/nt). */
#define TEST_LEAVE		TEST_CODE(6)
#define TEST_ADAPTER		0xffffffffu

struct test_srb {
	ULONG	function, target, action, flags;	/* flags: SrbPnPFlags */
	ULONG	status;					/* SrbStatus */
	ULONG	capabilities;				/* second ULONG of them */
};

struct test_report {
	ULONG	violations, allocations, max_outstanding, resets;
	ULONG	max_io, max_io_per_lun, failed_allocs, retries;
	ULONG	queries;	/* IRP_MN_QUERY_REMOVE_DEVICE of disks (tests/nt) */
};

#endif
