/*
 * port.h - the types of wnbd_ioctl.h: for the files that are also compiled, and
 * tested, without the Windows kernel.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef WNBD_PORT_H
#define WNBD_PORT_H

#ifdef WNBD_HOSTED
#include "host_types.h"
#else
#include <ntddk.h>
typedef UCHAR BYTE;		/* of windows.h, which a driver does not have */
#endif
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wnbd_ioctl.h"

#endif
