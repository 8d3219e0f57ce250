/*
 * device.h - a disk as programs of Windows see it: \\.\PhysicalDriveN.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Errors are Windows's numbers; 0 is success.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <windows.h>
#include <stdbool.h>
#include <stdint.h>

struct device {
	HANDLE	h;
	DWORD	number;
};

/* Waits until Windows has the disk of this name, up to half a minute. */
DWORD	device_open(struct device *, const char *instance);
void	device_close(struct device *);
/* buf is aligned to 4096 bytes. */
DWORD	device_read(struct device *, uint64_t offset, void *buf, uint32_t len);
DWORD	device_write(struct device *, uint64_t offset, const void *buf, uint32_t len);
DWORD	device_flush(struct device *);
uint64_t device_size(struct device *);		/* 0: it does not tell */

/* A SCSI command.  data comes (in) or goes; *status and 18 bytes of *sense come. */
DWORD	device_scsi(struct device *, const void *cdb, unsigned cdb_len, void *data,
	    uint32_t len, bool in, uint8_t *status, uint8_t *sense);

/* Writes a pattern over a range, as many requests at once as depth says, reads it and
 * compares.  The first error, or ERROR_CRC. */
DWORD	device_exercise(struct device *, uint64_t offset, uint64_t len, uint32_t piece,
	    unsigned depth, uint64_t seed);
/* Only reads and compares. */
DWORD	device_compare(struct device *, uint64_t offset, uint64_t len, uint32_t piece,
	    uint64_t seed);

#endif
