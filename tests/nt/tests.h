/*
 * tests.h - the groups of tests.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef NT_TESTS_H
#define NT_TESTS_H

#include "wnbd_disk.h"

#define MIB	(UINT64_C(1) << 20)

/* A pattern is written over a range, as many requests at once as depth says, read and
 * compared. */
NTSTATUS exercise(HANDLE disk, uint64_t offset, uint64_t len, ULONG piece,
	    unsigned depth, uint64_t seed);

void	test_user(HANDLE adapter);
void	test_volume(HANDLE adapter);
void	test_process(HANDLE adapter);
void	test_removal(HANDLE adapter);
void	test_nbd(HANDLE adapter);
void	test_unload(HANDLE adapter);	/* the last; it closes the handle */

/* What the child of test_process does: serves a disk until it is killed. */
#define CHILD_NAME	"nt-child"
int	child_main(void);
/* ... of test_nbd: waits in CREATE until it is killed. */
int	child_create(void);


#endif
