/*
 * guard.c - calls that may raise an exception: pages of a process, the engine.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * gcc has no __try.  The function below is one, by hand: the unwind data names
 * __C_specific_handler with one scope, whose filter is "always" (1), around the
 * call.  A call out of the scope must not be its last instruction, hence the nop.
 *
 * Up to DISPATCH_LEVEL: an exception that is raised is found by its unwind data, on a
 * stack that is resident while its thread runs.  What is no such exception, such as an
 * access to memory that is not there, stops the machine as ever.
 */
#include "guard.h"

#ifdef __GNUC__
/* 0: f has returned; 1: it was left by an exception. */
int	wnbd_guarded(void (*f)(void *), void *arg);

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
    ".Lwnbd_scope:\n"
    "	call *%rax\n"
    "	nop\n"
    ".Lwnbd_scope_end:\n"
    "	xorl %eax, %eax\n"
    "	addq $40, %rsp\n"
    "	ret\n"
    ".Lwnbd_fault:\n"
    "	movl $1, %eax\n"
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
#else
static int
wnbd_guarded(void (*f)(void *), void *arg)
{
	__try {
		f(arg);
		return 0;
	} __except (EXCEPTION_EXECUTE_HANDLER) {
		return 1;
	}
}
#endif

bool
guarded(void (*f)(void *), void *arg)
{
	return wnbd_guarded(f, arg) == 0;
}

struct lock {
	MDL	*mdl;
	LOCK_OPERATION operation;
};

static void
probe(void *arg)
{
	struct lock *l = arg;

	MmProbeAndLockPages(l->mdl, UserMode, l->operation);
}

NTSTATUS
user_lock(MDL *mdl, LOCK_OPERATION operation)
{
	struct lock l = { mdl, operation };

	return guarded(probe, &l) ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
}
