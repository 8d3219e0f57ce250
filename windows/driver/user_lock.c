/*
 * user_lock.c - pages of a process, without the exception.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * gcc has no __try.  The function below is one, by hand: the unwind data names
 * __C_specific_handler with one scope, whose filter is "always" (1), around the
 * call.  A call out of the scope must not be its last instruction, hence the nop.
 */
#include "kernel.h"

NTSTATUS wnbd_guarded(void (NTAPI *probe)(MDL *, KPROCESSOR_MODE, LOCK_OPERATION),
    MDL *, KPROCESSOR_MODE, LOCK_OPERATION);

__asm__(
    ".text\n"
    ".globl wnbd_guarded\n"
    ".def wnbd_guarded; .scl 2; .type 32; .endef\n"
    ".seh_proc wnbd_guarded\n"
    "wnbd_guarded:\n"
    "	subq $40, %rsp\n"
    "	.seh_stackalloc 40\n"
    "	.seh_endprologue\n"
    "	movq %rcx, %rax\n"
    "	movq %rdx, %rcx\n"
    "	movl %r8d, %edx\n"
    "	movl %r9d, %r8d\n"
    ".Lwnbd_scope:\n"
    "	call *%rax\n"
    "	nop\n"
    ".Lwnbd_scope_end:\n"
    "	xorl %eax, %eax\n"
    "	addq $40, %rsp\n"
    "	ret\n"
    ".Lwnbd_fault:\n"
    "	movl $0xc0000005, %eax\n"		/* STATUS_ACCESS_VIOLATION */
    "	addq $40, %rsp\n"
    "	ret\n"
    "	.seh_handler __C_specific_handler, @except\n"
    "	.seh_handlerdata\n"
    "	.long 1\n"
    "	.rva .Lwnbd_scope\n"
    "	.rva .Lwnbd_scope_end\n"
    "	.long 1\n"
    "	.rva .Lwnbd_fault\n"
    "	.text\n"
    "	.seh_endproc\n");

static void NTAPI
probe(MDL *mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation)
{
	MmProbeAndLockPages(mdl, mode, operation);
}

NTSTATUS
user_lock(MDL *mdl, LOCK_OPERATION operation)
{
	return wnbd_guarded(probe, mdl, UserMode, operation);
}
