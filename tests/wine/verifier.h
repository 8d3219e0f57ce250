/*
 * verifier.h - a small driver verifier, in the importing driver's import table.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The functions that a driver imports are replaced before its DriverEntry: those
 * that Wine 8 lacks or only stubs, and those that can be misused.  A violation is
 * printed as "VERIFIER: ..." and counted.
 */
#ifndef VERIFIER_H
#define VERIFIER_H

#include <ntddk.h>

/* True if the module's imports were redirected. */
BOOLEAN	verifier_patch(UCHAR *module);
void	verifier_init(void);
/* Prints the sum, and what was not freed. */
void	verifier_report(void);
void	verifier_violation(const char *format, ...);
ULONG	verifier_violations(void), verifier_blocks(void), verifier_failed(void);
/* Every nth allocation fails; 0: none. */
void	verifier_fail_allocs(ULONG n);

/* The one device object that may be offered to programs. */
void	verifier_set_pdo(PDEVICE_OBJECT);

/* The present thread's IRQL, as the driver is to see it; the former one. */
ULONG	verifier_set_irql(ULONG);

/* wsk_provider.c: WskRegister and the like. */
extern const struct replacement { const char *name; void *function; }
    wsk_replacements[];

#endif
