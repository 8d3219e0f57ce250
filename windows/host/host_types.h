/*
 * host_types.h - the Windows types that wnbd_ioctl.h is made of, on a host.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef HOST_TYPES_H
#define HOST_TYPES_H

#include <stdint.h>

typedef uint8_t	 BYTE, UCHAR, UINT8, BOOLEAN;
typedef char	 CHAR;
typedef uint16_t USHORT, UINT16, WCHAR;
typedef uint32_t ULONG, UINT32;
typedef int32_t	 INT;
typedef int64_t	 INT64;
typedef uint64_t UINT64;
typedef void	*PVOID;
typedef struct {
	uint32_t Data1;
	uint16_t Data2, Data3;
	uint8_t	 Data4[8];
} GUID;

#endif
