/*
 * nbd_serve.c - requests of a WNBD disk, answered by an NBD device.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each function waits for its request, in the dispatcher's thread and with the
 * dispatcher's buffer.
 */
#include "nbd_serve.h"

/* SCSI, SPC-4 tables 27 and 28 and annex D. */
#define SENSE_MEDIUM_ERROR	0x03
#define SENSE_ILLEGAL_REQUEST	0x05
#define SENSE_DATA_PROTECT	0x07
#define ASC_WRITE_ERROR		0x0c
#define ASC_UNRECOVERED_READ	0x11
#define ASC_LBA_OUT_OF_RANGE	0x21
#define ASC_WRITE_PROTECTED	0x27

static void
set_status(WNBD_STATUS *status, WnbdRequestType type, enum nbe_err error)
{
	switch (error) {
	case NBE_OK:
		break;
	case NBE_EPERM:
	case NBE_ENOSPC:
		WnbdSetSense(status, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
		break;
	case NBE_EINVAL:
	case NBE_EOVERFLOW:
		WnbdSetSense(status, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
		break;
	default:
		WnbdSetSense(status, SENSE_MEDIUM_ERROR, type == WnbdReqTypeRead ?
		    ASC_UNRECOVERED_READ : ASC_WRITE_ERROR);
		break;
	}
}

static void
answer(PWNBD_DISK disk, UINT64 handle, WnbdRequestType type, enum nbe_err error,
    void *data, UINT32 size)
{
	WNBD_IO_RESPONSE response = { .RequestHandle = handle, .RequestType = type };
	DWORD status;
	char text[256];

	set_status(&response.Status, type, error);
	if (error != NBE_OK)
		LOG(Warning, "%s: %s failed (%d)", disk->Properties.InstanceName,
		    WnbdRequestTypeToStr(type), error);
	status = WnbdSendResponse(disk, &response, error == NBE_OK ? data : NULL,
	    error == NBE_OK ? size : 0);
	if (status != 0 && !disk->Stopping)
		LOG(Warning, "%s: an answer was not taken: %s",
		    disk->Properties.InstanceName,
		    lib_error_text(status, text, sizeof(text)));
}

/* Blocks as bytes; an address beyond all bytes is beyond the disk. */
static enum nbe_err
run(PWNBD_DISK disk, enum nbe_op op, UINT64 address, UINT64 count, void *data,
    unsigned flags)
{
	UINT64 block = disk->Properties.BlockSize;

	if (address > UINT64_MAX / block || count > UINT64_MAX / block)
		return NBE_EINVAL;
	if (count == 0 && op != NBE_FLUSH)
		return NBE_OK;
	return nbd_disk_io(disk->Context, op, address * block, count * block, data,
	    flags);
}

static VOID
serve_read(PWNBD_DISK disk, UINT64 handle, PVOID buffer, UINT64 address,
    UINT32 count, BOOLEAN fua)
{
	(void)fua;		/* nothing is cached here */
	answer(disk, handle, WnbdReqTypeRead,
	    run(disk, NBE_READ, address, count, buffer, 0), buffer,
	    count * disk->Properties.BlockSize);
}

static VOID
serve_write(PWNBD_DISK disk, UINT64 handle, PVOID buffer, UINT64 address,
    UINT32 count, BOOLEAN fua)
{
	answer(disk, handle, WnbdReqTypeWrite, run(disk, NBE_WRITE, address, count,
	    buffer, fua ? NBE_FUA : 0), NULL, 0);
}

/* NBD flushes all or nothing. */
static VOID
serve_flush(PWNBD_DISK disk, UINT64 handle, UINT64 address, UINT32 count)
{
	(void)address;
	(void)count;
	answer(disk, handle, WnbdReqTypeFlush, run(disk, NBE_FLUSH, 0, 0, NULL, 0),
	    NULL, 0);
}

static VOID
serve_unmap(PWNBD_DISK disk, UINT64 handle, PWNBD_UNMAP_DESCRIPTOR ranges,
    UINT32 count)
{
	enum nbe_err error = NBE_OK;

	for (UINT32 i = 0; i < count && error == NBE_OK; i++)
		error = run(disk, NBE_TRIM, ranges[i].BlockAddress,
		    ranges[i].BlockCount, NULL, 0);
	answer(disk, handle, WnbdReqTypeUnmap, error, NULL, 0);
}

const WNBD_INTERFACE nbd_serve_interface = {
	.Read = serve_read,
	.Write = serve_write,
	.Flush = serve_flush,
	.Unmap = serve_unmap,
};
