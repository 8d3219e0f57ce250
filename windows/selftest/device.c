/*
 * device.c - a disk as programs of Windows see it: \\.\PhysicalDriveN.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "device.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "wnbd.h"

#include <winioctl.h>
#include <ntddscsi.h>

#define OPEN_MS		30000
#define RETRY_MS	100
#define DEPTH_MAX	64
#define SCSI_TIMEOUT_S	30
#define DATA_MAX	32768		/* of a SCSI command */

DWORD
device_open(struct device *d, const char *instance)
{
	DWORD error = WnbdPollDiskNumber(instance, TRUE, TRUE, OPEN_MS, RETRY_MS,
	    &d->number);
	char path[64];

	d->h = INVALID_HANDLE_VALUE;
	if (error != 0)
		return error;
	snprintf(path, sizeof(path), "\\\\.\\PhysicalDrive%lu", d->number);
	d->h = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
	    FILE_FLAG_OVERLAPPED, NULL);
	return d->h != INVALID_HANDLE_VALUE ? 0 : GetLastError();
}

void
device_close(struct device *d)
{
	if (d->h != INVALID_HANDLE_VALUE)
		CloseHandle(d->h);
	d->h = INVALID_HANDLE_VALUE;
}

/* ---- one request ----------------------------------------------------------- */

static DWORD
finish(struct device *d, OVERLAPPED *o, bool done, DWORD *got)
{
	DWORD error = done ? 0 : GetLastError();

	if (done || error == ERROR_IO_PENDING)
		error = GetOverlappedResult(d->h, o, got, TRUE) ? 0 : GetLastError();
	return error;
}

static DWORD
transfer(struct device *d, uint64_t offset, void *buf, uint32_t len, bool write)
{
	OVERLAPPED o = { .Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32) };
	DWORD got = 0, error;

	o.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	error = finish(d, &o, write ? WriteFile(d->h, buf, len, NULL, &o) :
	    ReadFile(d->h, buf, len, NULL, &o), &got);
	CloseHandle(o.hEvent);
	return error == 0 && got != len ? ERROR_HANDLE_EOF : error;
}

DWORD
device_read(struct device *d, uint64_t offset, void *buf, uint32_t len)
{
	return transfer(d, offset, buf, len, false);
}

DWORD
device_write(struct device *d, uint64_t offset, const void *buf, uint32_t len)
{
	return transfer(d, offset, (void *)(uintptr_t)buf, len, true);
}

DWORD
device_flush(struct device *d)
{
	return FlushFileBuffers(d->h) ? 0 : GetLastError();
}

static DWORD
control(struct device *d, DWORD code, void *in, DWORD in_len, void *out, DWORD out_len)
{
	OVERLAPPED o = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	DWORD got = 0, error;

	error = finish(d, &o, DeviceIoControl(d->h, code, in, in_len, out, out_len,
	    NULL, &o), &got);
	CloseHandle(o.hEvent);
	return error;
}

uint64_t
device_size(struct device *d)
{
	GET_LENGTH_INFORMATION length = { .Length.QuadPart = 0 };

	return control(d, IOCTL_DISK_GET_LENGTH_INFO, NULL, 0, &length,
	    sizeof(length)) == 0 ? (uint64_t)length.Length.QuadPart : 0;
}

struct pass {
	SCSI_PASS_THROUGH p;
	ULONG	fill;
	UCHAR	sense[32];
	UCHAR	data[DATA_MAX];
};

DWORD
device_scsi(struct device *d, const void *cdb, unsigned cdb_len, void *data,
    uint32_t len, bool in, uint8_t *status, uint8_t *sense)
{
	static struct pass s;
	DWORD error;

	if (len > sizeof(s.data))
		return ERROR_INVALID_PARAMETER;
	memset(&s, 0, sizeof(s));
	s.p.Length = sizeof(s.p);
	s.p.CdbLength = (UCHAR)cdb_len;
	memcpy(s.p.Cdb, cdb, cdb_len);
	s.p.DataIn = len == 0 ? SCSI_IOCTL_DATA_UNSPECIFIED : in ? SCSI_IOCTL_DATA_IN :
	    SCSI_IOCTL_DATA_OUT;
	s.p.DataTransferLength = len;
	s.p.TimeOutValue = SCSI_TIMEOUT_S;
	s.p.DataBufferOffset = offsetof(struct pass, data);
	s.p.SenseInfoLength = sizeof(s.sense);
	s.p.SenseInfoOffset = offsetof(struct pass, sense);
	if (!in && len > 0)
		memcpy(s.data, data, len);
	error = control(d, IOCTL_SCSI_PASS_THROUGH, &s, sizeof(s), &s, sizeof(s));
	if (error != 0)
		return error;
	*status = s.p.ScsiStatus;
	memcpy(sense, s.sense, 18);
	if (in && len > 0)
		memcpy(data, s.data, len);
	return 0;
}

/* ---- many requests --------------------------------------------------------- */

static void
pattern(uint64_t *p, uint64_t offset, uint32_t len, uint64_t seed)
{
	uint64_t x;

	for (uint32_t i = 0; i < len; i += 8) {
		x = (offset + i + seed * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
		*p++ = x ^ x >> 31;
	}
}

struct job {
	struct device *d;
	uint64_t offset, end, seed;
	uint32_t piece;
	bool	write;
	uint8_t	*buf, *want;
	OVERLAPPED o[DEPTH_MAX];
	unsigned depth;
};

static DWORD
begin(struct job *j, uint64_t at, unsigned i)
{
	uint8_t *buf = j->buf + (size_t)i * j->piece;
	OVERLAPPED *o = &j->o[i];
	BOOL done;

	o->Offset = (DWORD)at;
	o->OffsetHigh = (DWORD)(at >> 32);
	ResetEvent(o->hEvent);
	if (j->write)
		pattern((uint64_t *)(void *)buf, at, j->piece, j->seed);
	done = j->write ? WriteFile(j->d->h, buf, j->piece, NULL, o) :
	    ReadFile(j->d->h, buf, j->piece, NULL, o);
	return done || GetLastError() == ERROR_IO_PENDING ? 0 : GetLastError();
}

static DWORD
end(struct job *j, uint64_t at, unsigned i)
{
	DWORD got = 0;

	if (!GetOverlappedResult(j->d->h, &j->o[i], &got, TRUE))
		return GetLastError();
	if (got != j->piece)
		return ERROR_HANDLE_EOF;
	if (j->write)
		return 0;
	pattern((uint64_t *)(void *)j->want, at, j->piece, j->seed);
	return memcmp(j->buf + (size_t)i * j->piece, j->want, j->piece) == 0 ? 0 :
	    ERROR_CRC;
}

/* The oldest request ends first; the first error counts, and nothing new begins. */
static DWORD
run(struct job *j)
{
	uint64_t begun = j->offset, ended = j->offset;
	DWORD error = 0, e;

	while (ended < j->end) {
		while (error == 0 && begun < j->end &&
		    begun - ended < (uint64_t)j->depth * j->piece) {
			error = begin(j, begun, (unsigned)((begun - j->offset) /
			    j->piece % j->depth));
			if (error == 0)
				begun += j->piece;
		}
		if (ended == begun)
			break;
		e = end(j, ended, (unsigned)((ended - j->offset) / j->piece %
		    j->depth));
		error = error != 0 ? error : e;
		ended += j->piece;
	}
	return error;
}

static DWORD
run_job(struct job *j)
{
	DWORD error = ERROR_OUTOFMEMORY;

	j->buf = VirtualAlloc(NULL, (size_t)(j->depth + 1) * j->piece,
	    MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	for (unsigned i = 0; i < j->depth; i++)
		j->o[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	if (j->buf != NULL) {
		j->want = j->buf + (size_t)j->depth * j->piece;
		error = run(j);
		VirtualFree(j->buf, 0, MEM_RELEASE);
	}
	for (unsigned i = 0; i < j->depth; i++)
		CloseHandle(j->o[i].hEvent);
	return error;
}

DWORD
device_compare(struct device *d, uint64_t offset, uint64_t len, uint32_t piece,
    uint64_t seed)
{
	struct job j = { .d = d, .offset = offset, .end = offset + len, .seed = seed,
		.piece = piece, .depth = 8 };

	return run_job(&j);
}

DWORD
device_exercise(struct device *d, uint64_t offset, uint64_t len, uint32_t piece,
    unsigned depth, uint64_t seed)
{
	struct job j = { .d = d, .offset = offset, .end = offset + len, .seed = seed,
		.piece = piece, .depth = depth, .write = true };
	DWORD error = run_job(&j);

	if (error == 0) {
		j.write = false;
		error = run_job(&j);
	}
	return error;
}
