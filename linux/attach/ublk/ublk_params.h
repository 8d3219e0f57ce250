/*
 * ublk_params.h - what the kernel is told of a disk.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef UBLK_PARAMS_H
#define UBLK_PARAMS_H

#include "ublk_proto.h"
#include "ublkdev.h"

void	ublk_params_make(struct ublk_params *, const struct ublkdev_config *);
/* Whole sectors of the device, in units of 512 bytes. */
uint64_t ublk_sectors(uint64_t size, uint32_t sector_size);

#endif
