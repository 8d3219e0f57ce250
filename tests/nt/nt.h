/*
 * nt.h - NT's own calls, for a program that has neither Win32 nor a C library.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * It runs where the session manager starts programs: ntdll.dll is all there is.
 */
#ifndef NT_H
#define NT_H

#define WIN32_NO_STATUS
#include <windows.h>
#undef WIN32_NO_STATUS
#include <winternl.h>
#include <ntstatus.h>
#include <stdbool.h>
#include <stdint.h>

#define SECOND_MS	1000u
#define LONG_MS		60000u		/* nothing takes as long, on any machine */

/* A pending operation: one at a time. */
struct nt_io {
	IO_STATUS_BLOCK	 status;
	HANDLE		 event;
};

/* The handle is for overlapped operations. */
NTSTATUS nt_open(HANDLE *, const WCHAR *name);
/* Waits, as long as it takes. */
NTSTATUS nt_ioctl(HANDLE, ULONG code, void *in, ULONG in_len, void *out, ULONG out_len,
	    ULONG_PTR *information);
NTSTATUS nt_read(HANDLE, uint64_t offset, void *, ULONG len);
NTSTATUS nt_write(HANDLE, uint64_t offset, const void *, ULONG len);
NTSTATUS nt_flush(HANDLE);

/* Starts; nt_end waits for it. */
NTSTATUS nt_io_init(struct nt_io *);
void	nt_io_free(struct nt_io *);
NTSTATUS nt_io_ioctl(struct nt_io *, HANDLE, ULONG code, void *in, ULONG in_len,
	    void *out, ULONG out_len);
NTSTATUS nt_io_move(struct nt_io *, HANDLE, bool write, uint64_t offset, void *, ULONG);
NTSTATUS nt_end(struct nt_io *, unsigned ms);

/* Files of a file system: opened or made, waiting calls. */
NTSTATUS nt_file(HANDLE *, const WCHAR *name, bool make);
NTSTATUS nt_delete(const WCHAR *name);
NTSTATUS nt_fsctl(HANDLE, ULONG code);
uint64_t nt_size(HANDLE);

typedef void thread_main(void *);
HANDLE	nt_thread(thread_main *, void *);
NTSTATUS nt_wait(HANDLE, unsigned ms);
void	nt_sleep(unsigned ms);
uint64_t nt_now_ms(void);
/* Zeroes; NULL: no memory.  They are never given back. */
void	*nt_pages(SIZE_T);
void	nt_protect(void *, SIZE_T, ULONG protection);
void	nt_free_page(void *);		/* this one; it is no memory any more */
NTSTATUS NTAPI NtCancelIoFile(HANDLE, PIO_STATUS_BLOCK);
/* A process of this program, with an argument. */
NTSTATUS nt_child(const WCHAR *argument, HANDLE *process);
void	nt_kill(HANDLE process);
/* Bytes in use of a pool tag; -1: the kernel does not tell. */
int64_t	nt_pool(const char tag[4]);
void	nt_power_off(void);

#endif
