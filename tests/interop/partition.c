/*
 * partition.c - tells the kernel of a first partition, or that there is none any more.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: partition DEVICE [FIRST_SECTOR SECTORS]
 *
 * No table is written, so nobody finds it by reading.  Debian 13 has no addpart, and
 * partx wants a table.
 */
#include <fcntl.h>
#include <linux/blkpg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define SECTOR_BYTES 512

int
main(int argc, char **argv)
{
	struct blkpg_partition part = { .pno = 1 };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_DEL_PARTITION,
	    .datalen = sizeof(part), .data = &part };
	int device;

	if (argc != 2 && argc != 4)
		return 2;
	if (argc == 4) {
		arg.op = BLKPG_ADD_PARTITION;
		part.start = atoll(argv[2]) * SECTOR_BYTES;
		part.length = atoll(argv[3]) * SECTOR_BYTES;
	}
	device = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (device < 0 || ioctl(device, BLKPG, &arg) != 0) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
