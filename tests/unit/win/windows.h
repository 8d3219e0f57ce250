/*
 * windows.h - the types of windows.h that wnbd_ioctl.h needs, for tests on Linux.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef TEST_WINDOWS_H
#define TEST_WINDOWS_H

#include <stdint.h>

typedef char CHAR;
typedef uint16_t WCHAR;
typedef uint8_t BYTE, UINT8, BOOLEAN;
typedef uint16_t USHORT, UINT16;
typedef uint32_t UINT32, ULONG, DWORD;
typedef int INT;
/* As on Windows, and for printf's sake. */
typedef long long INT64;
typedef unsigned long long UINT64;
typedef void *PVOID;
typedef struct {
	uint32_t Data1;
	uint16_t Data2, Data3;
	uint8_t	Data4[8];
} GUID;

#endif
