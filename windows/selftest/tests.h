/*
 * tests.h - the groups of tests.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each uses disks of names of its own, which begin with SELFTEST_NAME, and leaves none.
 */
#ifndef TESTS_H
#define TESTS_H

#define SELFTEST_NAME	"wnbd-selftest-"
#define CHILD_NAME	SELFTEST_NAME "child"
#define MIB		(UINT64_C(1) << 20)
#define GIB		(UINT64_C(1) << 30)

void	test_library(void);	/* versions, options, the calls that need no disk */
void	test_user(void);	/* disks that this process serves */
void	test_kernel(void);	/* disks of the driver's NBD client, and server.c */
void	test_process(void);	/* processes that die, and calls that are cancelled */
void	test_format(void);	/* NTFS and ReFS, by PowerShell */

/* What the child of test_process does: serves a disk until it is killed. */
int	child_main(void);

#endif
