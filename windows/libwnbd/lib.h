/*
 * lib.h - what the files of libwnbd share.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LIB_H
#define LIB_H

#include <winsock2.h>
#include <stdbool.h>

#include "wnbd.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__) && !defined(__clang__)
#define LIB_PRINTF(f, a) __attribute__((format(gnu_printf, f, a)))
#else
#define LIB_PRINTF(f, a)
#endif

/* ---- log.c --------------------------------------------------------------- */

void	lib_log(WnbdLogLevel, const char *file, UINT32 line, const char *function,
	    const char *fmt, ...) LIB_PRINTF(5, 6);
#define LOG(level, ...) \
	lib_log(WnbdLogLevel##level, __FILE__, __LINE__, __func__, __VA_ARGS__)

/* An error of Windows in its own words; buf is of the caller. */
const char *lib_error_text(DWORD error, char *buf, size_t size);

/* ---- ioctl.c ------------------------------------------------------------- */

/* DeviceIoControl.  ov NULL: waits.  Else ERROR_IO_PENDING is possible. */
DWORD	lib_ioctl(HANDLE, DWORD code, const void *in, DWORD in_size, void *out,
	    DWORD out_size, DWORD *got, OVERLAPPED *ov);
/* An operation that lib_ioctl began with ov ends; its result. */
DWORD	lib_ioctl_wait(HANDLE, OVERLAPPED *ov, DWORD status, DWORD *got);

/* ---- adapter.c ----------------------------------------------------------- */

/* The adapter was opened for one call: close it, pass on how the call went. */
DWORD	lib_done(HANDLE adapter, DWORD status);

/* ---- text.c -------------------------------------------------------------- */

/* False: it is too long, empty, or not ended within its array. */
bool	lib_copy_name(char *to, size_t size, const char *name);
bool	lib_to_wide(WCHAR *to, size_t count, const char *text);

/* ---- removal.c ----------------------------------------------------------- */

/* When a time-out that begins now ends; 0 ms are without end.  Sleep does not count. */
ULONGLONG lib_deadline(DWORD timeout_ms);
/* Waits for another try; false: there is no time left for it. */
bool	lib_pause(ULONGLONG deadline_ms, DWORD retry_ms);

/* Ask Plug and Play to remove a device and what is below it, until it agrees. */
DWORD	lib_soft_remove(DEVINST, const char *what, ULONGLONG deadline_ms,
	    DWORD retry_ms);

#endif
