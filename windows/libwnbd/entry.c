/*
 * entry.c - what Windows calls when the library is loaded.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * In the place of the compiler's start-up code, which would bring thread-local
 * storage and its call-backs; nothing here needs them.
 */
#include "lib.h"

BOOL WINAPI	DllMain(HINSTANCE, DWORD reason, void *reserved);

BOOL WINAPI
DllMain(HINSTANCE module, DWORD reason, void *reserved)
{
	(void)reserved;
	if (reason == DLL_PROCESS_ATTACH)
		DisableThreadLibraryCalls(module);
	return TRUE;
}
